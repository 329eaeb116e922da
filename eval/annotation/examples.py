"""Some labels of a run, good and bad, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from conceptbench.eval.annotation.gold import gold_of, scorer_of
from conceptbench.eval.annotation.records import ITEM, Record
from conceptbench.eval.stats.agreement import SCALE
from conceptbench.eval.task import Example, Provenance, Scores
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_WORDS = 12


def examples(rows: Sequence[Record], _scores: Scores, provenance: Provenance) -> list[Example]:
    """Draw labels by the run's seed: right and wrong ones of gold items; else those raters were for and against."""
    items = [row for row in rows if row.role == ITEM]
    generator = generator_of("examples", provenance["seed"])
    examples = []
    for good in (True, False):
        candidates = [item for item in items if _good(item) is good]
        examples += [_example(item, good) for item in sample(candidates, SHOWN, generator)]
    return examples or [_example(item, None) for item in sample(items, SHOWN, generator)]


def _good(item: Record) -> bool | None:
    concept = gold_of(item)
    if concept is not None:
        return scorer_of(item).matches(item.label, concept)
    grades = [rating.grade for rating in item.ratings if rating.grade is not None]
    return None if not grades else 2 * sum(grade != SCALE[0] for grade in grades) > len(grades)


def _example(item: Record, good: bool | None) -> Example:
    concept = gold_of(item)
    return Example(
        item=item.item,
        shown=", ".join(item.words[:_WORDS]) + (", …" if len(item.words) > _WORDS else ""),
        answer=item.label if item.label is not None else f"({item.reason})",
        expected=concept.name if concept is not None else "",
        good=good,
        condition=item.condition,
    )
