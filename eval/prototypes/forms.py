"""The form in which people answer the questions of simulators: a CSV file, written by a run and read by another."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from conceptbench.eval.judges.asking import quoted
from conceptbench.eval.prototypes.questions import Prediction, Question, load_wording, read_label
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_text

FORM_FILE: Final = "simulation.csv"

_COLUMNS = ("item", "condition", "question", "answer")


def write_form(path: Path, questions: Sequence[Question], classes: Sequence[str]) -> None:
    """Write the questions as a CSV file for a person to fill in: the column `answer` is empty."""
    wording = load_wording()
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for question in questions:
        text = wording.write(question, classes)
        # A spreadsheet takes a cell that begins like this for a formula.
        cell = text if text[:1] not in "=+-@" else f"'{text}"
        writer.writerow([question.item, question.condition, cell, ""])
    write_text(path, out.getvalue())


@dataclass(frozen=True)
class Form:
    """A form that was filled in: what stands in the column `answer`, by item and condition."""

    path: Path
    answers: dict[tuple[str, str], str] = field(repr=False)

    def predictions(self, questions: Sequence[Question], classes: Sequence[str]) -> list[Prediction]:
        """Give the answers to the questions.

        Raises
        ------
        InputError
            if the form is of another run, or an answer is missing or no class.
        """
        return [self._prediction(question, classes) for question in questions]

    def _prediction(self, question: Question, classes: Sequence[str]) -> Prediction:
        reply = self.answers.get((question.item, question.condition))
        if reply is None:
            raise InputError(
                f"--simulators file:{self.path}: there is no row for {question.item}, {question.condition}: it is the "
                f"form of another run; fill in the {FORM_FILE} of this one"
            )
        label = read_label(reply, classes)
        if label is None:
            what = quoted(reply) + " is no class" if reply else "there is no answer"
            raise InputError(
                f"--simulators file:{self.path}: {question.item}, {question.condition}: {what}; give one of "
                f"{', '.join(classes)}"
            )
        return Prediction(label, reply)


def read_form(path: Path) -> Form:
    """Read a form that was filled in.

    Raises
    ------
    InputError
        if the file cannot be read, or is no form.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--simulators file:{path}: cannot be read ({error})") from error
    if not rows or set(rows[0]) != set(_COLUMNS):
        raise InputError(f"--simulators file:{path}: give a filled-in {FORM_FILE}, with columns {', '.join(_COLUMNS)}")
    return Form(path, {(row["item"], row["condition"]): (row["answer"] or "").strip() for row in rows})
