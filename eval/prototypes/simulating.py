"""Asking simulators what Proto-lm answers to some texts of the first repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from conceptbench.eval.prototypes.datasets import LabelledTexts
from conceptbench.eval.prototypes.forms import Form, read_form
from conceptbench.eval.prototypes.options import FORM, public_simulator
from conceptbench.eval.prototypes.questions import Question, ask_model, draw_texts
from conceptbench.eval.prototypes.records import Condition, SimulatorAnswer, text_item
from conceptbench.eval.prototypes.splits import Split
from conceptbench.eval.prototypes.trials import Trial
from conceptbench.runtime.clients import Clients
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.llm import LLM, parse_system
from conceptbench.runtime.progress import Progress

Simulators = Mapping[str, Form | LLM]
"""Language models, and the forms of people, by the name that the user gave."""


def open_simulators(names: Sequence[str], clients: Clients) -> dict[str, Form | LLM]:
    """Open language models, and read forms.

    Raises
    ------
    InputError
        if a form cannot be read, or a language model cannot be asked.
    """
    simulators: dict[str, Form | LLM] = {}
    for name in names:
        kind, path = parse_system(name)
        simulators[name] = read_form(Path(path)) if kind == FORM else clients.open(name)
    return simulators


def draw_questions(texts: LabelledTexts, trials: Sequence[Trial], count: int, seed: int) -> list[Question]:
    """Draw texts of the first repeat, and write the questions about them, one for each condition.

    Parameters
    ----------
    trials : all of the run; those whose reasons were tested are asked about.
    count : texts at most.
    seed : of the draws.
    """
    explained = [trial for trial in trials if trial.explained]
    rows = [(trial, int(row)) for trial in explained for row in trial.split.test]
    predicted = np.concatenate([trial.arrays["labels"] for trial in explained])
    sample = [rows[number] for number in draw_texts(predicted, count, generator_of("prototypes simulation", seed))]
    return [question for trial, row in sample for question in _questions(texts, trial, row, seed)]


def simulate(
    questions: Sequence[Question], classes: Sequence[str], simulators: Simulators, progress: Progress
) -> dict[str, tuple[SimulatorAnswer, ...]]:
    """Ask every simulator all questions.

    Returns
    -------
    the answers by item, in the order of simulators and conditions.
    """
    answers: dict[str, tuple[SimulatorAnswer, ...]] = {}
    for name, simulator in simulators.items():
        if isinstance(simulator, Form):
            predictions = simulator.predictions(questions, classes)
        else:
            predictions = ask_model(questions, classes, simulator, progress)
        for question, prediction in zip(questions, predictions, strict=True):
            answer = SimulatorAnswer(public_simulator(name), question.condition, prediction.label, prediction.reply)
            answers[question.item] = (*answers.get(question.item, ()), answer)
    return answers


def random_examples(texts: LabelledTexts, split: Split, like: Sequence[int], seed: int) -> np.ndarray:
    """Draw training texts of the classes `like`, a text for each: rows of shape (len(like),)."""
    generator = generator_of("prototypes random examples", seed, split.name)
    queues = {
        label: iter(generator.permutation(split.train[texts.labels[split.train] == label])) for label in set(like)
    }
    return np.array([next(queues[label]) for label in like], dtype=np.int64)


def _questions(texts: LabelledTexts, trial: Trial, row: int, seed: int) -> Iterator[Question]:
    labels = [int(label) for label in trial.arrays["typical_labels"]]
    random = random_examples(texts, trial.split, labels, seed)
    rows_of: dict[Condition, Sequence[int] | np.ndarray] = {
        "input": (),
        "examples": random,
        "prototypes": trial.arrays["typical"],
    }
    for condition, rows in rows_of.items():
        examples = [(texts.texts[example], texts.classes[label]) for example, label in zip(rows, labels, strict=False)]
        yield Question(text_item(row), condition, texts.texts[row], examples)
