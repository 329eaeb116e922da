"""Simulatability: can somebody who sees a classifier's prototypes predict its answers? (Doshi-Velez and Kim 2017.)

A simulator, a language model or a person, is asked for the classifier's answer to a text under three conditions: with
the names of the classes alone (`input`), with the nearest training examples of its prototypes too (`prototypes`), and
with as many random training texts of each class instead (`examples`), since any labelled text may help. The examples
are the same for all texts of a split, so that they cannot give an answer away (Hase et al. 2020).
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple, get_args

import numpy as np

from conceptbench.eval.judges.asking import ask, fill, reply_text
from conceptbench.eval.methods.protolm.tokens import Text, joined
from conceptbench.eval.prototypes.records import Condition
from conceptbench.runtime.llm import LLM, Message, Request
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.readers import read_name

CONDITIONS: Final[tuple[Condition, ...]] = get_args(Condition)
EXAMPLES_A_CLASS: Final = 3
"""Examples of each class in a question."""

_LONGEST = 400
_ANSWER_TOKENS = 24


class Question(NamedTuple):
    """What is asked of one text under one condition: `examples` are texts and their classes."""

    item: str
    condition: Condition
    text: Text
    examples: Sequence[tuple[Text, str]]


class Prediction(NamedTuple):
    """A simulator's answer: a class, or None where `reply` names none."""

    label: str | None
    reply: str


@dataclass(frozen=True)
class Wording:
    """The words of questions, as in `simulation.toml`."""

    system: str
    question: str
    example: str
    lead: Mapping[str, str]
    sha256: str

    def write(self, question: Question, classes: Sequence[str]) -> str:
        """Write a question."""
        examples = "".join(fill(self.example, text=_shortened(text), label=label) for text, label in question.examples)
        return fill(
            self.question,
            classes=", ".join(classes),
            examples=self.lead[question.condition] + examples if examples else "",
            text=_shortened(question.text),
        )


@cache
def load_wording() -> Wording:
    """Load the packaged wording."""
    content = (files("conceptbench.eval.prototypes") / "simulation.toml").read_bytes()
    parts: dict[str, Any] = tomllib.loads(content.decode())
    return Wording(**parts, sha256=hashlib.sha256(content).hexdigest())


def draw_texts(predicted: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw texts in equal numbers of each class that was answered, as far as there are, so that guessing pays least.

    Parameters
    ----------
    predicted : int array of shape (texts,): the classes that the classifier gave.
    count : texts at most.
    generator : of the draw.

    Returns
    -------
    sorted int array of at most `count` rows.

    Examples
    --------
    >>> rows = draw_texts(np.array([0, 0, 0, 1]), 2, np.random.default_rng(0))
    >>> np.array([0, 0, 0, 1])[rows].tolist()
    [0, 1]
    """
    queues = [list(generator.permutation(np.flatnonzero(predicted == label))) for label in np.unique(predicted)]
    rows: list[int] = []
    while len(rows) < count and any(queues):
        rows += [queue.pop() for queue in queues if queue]
    return np.sort(np.array(rows[:count], dtype=np.int64))


def ask_model(
    questions: Sequence[Question], classes: Sequence[str], simulator: LLM, progress: Progress
) -> list[Prediction]:
    """Ask a language model the questions."""
    wording = load_wording()
    requests = [
        Request(
            (Message("system", wording.system), Message("user", wording.write(question, classes))),
            max_tokens=_ANSWER_TOKENS,
            stop=("\n\n",),
        )
        for question in questions
    ]
    replies, _ = ask(simulator, requests, f"Asking {simulator.system} what the classifier answers", progress)
    texts = [reply_text(reply) for reply in replies]
    return [Prediction(read_label(text, classes), text) for text in texts]


def read_label(text: str, classes: Sequence[str]) -> str | None:
    """Read the class that an answer names; None where it names none, or several.

    Examples
    --------
    >>> read_label("It is not positive.", ["positive", "not positive"])
    'not positive'
    """
    return read_name(text, classes)


def _shortened(text: Text) -> str:
    flat = " ".join(joined(text).split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
