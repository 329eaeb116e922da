"""Some decisions of a run to look at, right and wrong, and the prototypes that decide anything."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.prototypes.contenders import PROTOTYPES
from conceptbench.eval.prototypes.records import PrototypeRow, Rows, TextRow
from conceptbench.eval.task import Example, Provenance, Scores
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Decisions of each sort at most."""

_LONGEST = 160
_NEAREST = 3


def examples(rows: Rows, _scores: Scores, provenance: Provenance) -> list[Example]:
    """Draw decisions by the seed, right ones and wrong ones, and show the prototypes that decide anything."""
    generator = generator_of("examples", provenance["seed"])
    decisions = [_decision(row) for row in rows.texts if row.repeat == 0]
    right, wrong = (
        sample([decision for decision in decisions if decision.good == good], SHOWN, generator)
        for good in (True, False)
    )
    return [*right, *wrong, *(_prototype(row) for row in rows.prototypes if row.used)]


def _decision(row: TextRow) -> Example:
    answer = next(answer for answer in row.answers if answer.classifier == PROTOTYPES)
    return Example(
        item=row.item,
        shown=_shortened(row.text),
        answer=f"{answer.label} ({answer.probability:.2f}), like “{_shortened(row.reason or '')}”",
        expected=row.label,
        good=answer.label == row.label,
        condition="decision",
    )


def _prototype(row: PrototypeRow) -> Example:
    return Example(
        item=row.item,
        shown=" · ".join(_shortened(text) for text in row.nearest[:_NEAREST]),
        answer=row.name or "(no name)",
        expected=row.label,
        good=None,
        condition="prototype",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
