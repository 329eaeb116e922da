"""Some labels of a run, good and bad, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from conceptbench.eval.annotation.labels import scorer_of
from conceptbench.eval.annotation.records import Record, read_records
from conceptbench.eval.annotation.scores import gold_of
from conceptbench.eval.result import Example, Result
from conceptbench.eval.stats.agreement import SCALE
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_WORDS = 12


def examples(folder: Path, result: Result) -> list[Example]:
    """Draw labels by the run's seed: right and wrong ones of gold items; else those raters were for and against."""
    records = [record for record in read_records(folder) if record["role"] == "item"]
    generator = generator_of("examples", result.provenance["seed"])
    shown = []
    for good in (True, False):
        sort = [record for record in records if _good(record) is good]
        shown += [_example(record, good) for record in sample(sort, SHOWN, generator)]
    if shown:
        return shown
    return [_example(record, None) for record in sample(records, SHOWN, generator)]


def _good(record: Record) -> bool | None:
    concept = gold_of(record)
    if concept is not None:
        return scorer_of(record).matches(record["label"], concept)
    grades = [rating["grade"] for rating in record["ratings"] if rating["grade"] is not None]
    return None if not grades else 2 * sum(grade != SCALE[0] for grade in grades) > len(grades)


def _example(record: Record, good: bool | None) -> Example:
    concept = gold_of(record)
    return Example(
        item=record["item"],
        shown=", ".join(record["words"][:_WORDS]) + (", …" if len(record["words"]) > _WORDS else ""),
        answer=record["label"] if record["label"] is not None else f"({record['reason']})",
        expected=concept.name if concept is not None else "",
        good=good,
        condition=record["condition"],
    )
