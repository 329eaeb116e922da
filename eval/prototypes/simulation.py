"""Simulatability: who sees a classifier's prototypes, can they say what it will answer? (Doshi-Velez and Kim 2017.)

A simulator, a language model or a person, is asked for the classifier's output on a text under three conditions: with
the names of the classes alone (`input`), with the nearest training examples of its prototypes too (`prototypes`), and
with as many random training texts of each class instead (`examples`), since any labelled text may help. What is shown
is the same for all texts of a split, so that it cannot give an answer away (Hase et al. 2020).
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from conceptbench.eval.judges.asking import ask, fill, quoted, reply_text
from conceptbench.eval.methods.protolm.tokens import Text
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_text
from conceptbench.runtime.llm import LLM, Message, Request
from conceptbench.runtime.progress import Progress

CONDITIONS: Final = ("input", "examples", "prototypes")
SHOWN_A_CLASS: Final = 3
"""Examples that are shown of each class."""
FORM_FILE: Final = "simulation.csv"
ANSWER_FILE: Final = "file"
"""The kind of a simulator whose answers are read from a form: `file:<path>`."""

_LONGEST = 400
_ANSWER_TOKENS = 24
_COLUMNS = ("item", "condition", "question", "answer")


class Question(NamedTuple):
    """What is asked of one text under one condition: `shown` are texts and their classes."""

    item: str
    condition: str
    text: Text
    shown: Sequence[tuple[Text, str]]


class Answer(NamedTuple):
    """A simulator's answer: a class, or None where there is none in `reply`."""

    label: str | None
    reply: str


@dataclass(frozen=True)
class Wording:
    """The words of questions."""

    system: str
    question: str
    example: str
    lead: Mapping[str, str]
    sha256: str

    def ask(self, question: Question, classes: Sequence[str]) -> str:
        """Write a question."""
        shown = "".join(fill(self.example, text=_shown(text), label=label) for text, label in question.shown)
        return fill(
            self.question,
            classes=", ".join(classes),
            examples=self.lead[question.condition] + shown if shown else "",
            text=_shown(question.text),
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
    predicted : int array of shape (texts,).

    Returns
    -------
    sorted int array of at most `count` rows.
    """
    queues = [list(generator.permutation(np.flatnonzero(predicted == label))) for label in np.unique(predicted)]
    drawn: list[int] = []
    while len(drawn) < count and any(queues):
        drawn += [queue.pop() for queue in queues if queue]
    return np.sort(np.array(drawn[:count], dtype=np.int64))


def simulate(questions: Sequence[Question], classes: Sequence[str], simulator: LLM, progress: Progress) -> list[Answer]:
    """Ask a language model."""
    wording = load_wording()
    requests = [
        Request(
            (Message("system", wording.system), Message("user", wording.ask(question, classes))),
            max_tokens=_ANSWER_TOKENS,
            stop=("\n\n",),
        )
        for question in questions
    ]
    replies, _ = ask(simulator, requests, f"Asking {simulator.system} what the classifier answers", progress)
    texts = [reply_text(reply) for reply in replies]
    return [Answer(read_label(text, classes), text) for text in texts]


def write_form(path: Path, questions: Sequence[Question], classes: Sequence[str]) -> None:
    """Write the questions as a CSV file for a person to fill in: the column `answer` is empty."""
    wording = load_wording()
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for question in questions:
        asked = wording.ask(question, classes)
        # A spreadsheet takes a cell that begins like this for a formula.
        writer.writerow([question.item, question.condition, asked if asked[:1] not in "=+-@" else f"'{asked}", ""])
    write_text(path, out.getvalue())


def read_form(path: Path, questions: Sequence[Question], classes: Sequence[str]) -> list[Answer]:
    """Read what a person filled in.

    Raises
    ------
    InputError
        if the file cannot be read, is of another run, or an answer is missing or no class.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--simulators file:{path}: cannot be read ({error})") from error
    if not rows or set(rows[0]) != set(_COLUMNS):
        raise InputError(f"--simulators file:{path}: give a filled-in {FORM_FILE}, with columns {', '.join(_COLUMNS)}")
    given = {(row["item"], row["condition"]): (row["answer"] or "").strip() for row in rows}
    answers = []
    for question in questions:
        reply = given.get((question.item, question.condition))
        if reply is None:
            raise InputError(
                f"--simulators file:{path}: there is no row for {question.item}, {question.condition}: it is the form "
                f"of another run; fill in the {FORM_FILE} of this one"
            )
        label = read_label(reply, classes)
        if label is None:
            what = quoted(reply) + " is no class" if reply else "there is no answer"
            raise InputError(
                f"--simulators file:{path}: {question.item}, {question.condition}: {what}; give one of "
                f"{', '.join(classes)}"
            )
        answers.append(Answer(label, reply))
    return answers


def read_label(text: str, classes: Sequence[str]) -> str | None:
    """Find the class that an answer names: the first one named, of those the longest; None where there is none."""
    found: list[tuple[int, int, str]] = []
    for label in classes:
        match = re.search(rf"(?<!\w){re.escape(label)}(?!\w)", text, re.IGNORECASE)
        if match is not None:
            found.append((match.start(), -len(label), label))
    return min(found)[2] if found else None


def _shown(text: Text) -> str:
    whole = text if isinstance(text, str) else " / ".join(text)
    flat = " ".join(whole.split())
    return flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
