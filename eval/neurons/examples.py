"""Some pairs of a run with the neurons that they share, and some concepts with their top neurons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from conceptbench.eval.methods.neurons.alignment import LEVEL
from conceptbench.eval.neurons.collect import score_of
from conceptbench.eval.neurons.records import Record, read_records
from conceptbench.eval.result import Example, Result
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NEURONS = 10


def examples(folder: Path, result: Result) -> list[Example]:
    """Draw by the seed: pairs that share more neurons than their controls, pairs that do not, and concepts."""
    records = read_records(folder)
    corrected = score_of(records, result).corrected
    sorts: dict[str, list[Example]] = {"above": [], "not above": [], "concept": []}
    for row, record in enumerate(records):
        if record["kind"] == "concept":
            sorts["concept"].append(_concept(record))
        elif row in corrected and record["scaling"] == "zscored" and not record["condition"]:
            example = _pair(record, corrected[row])
            sorts["above" if example.good else "not above"].append(example)
    generator = generator_of("examples", result.provenance["seed"])
    return [example for sort in sorts.values() for example in sample(sort, SHOWN, generator)]


def _pair(record: Record, p: float) -> Example:
    place = record["fractions"].index(record["fraction"])
    own, null = record["alignment"][place], record["null"][place]
    label = f" ({record['label']})" if record["label"] else ""
    return Example(
        item=f"{record['super']}|{record['concept']}",
        shown=f"{record['concept']}{label}: {', '.join(record['words'])}; within {record['super']} "
        f"({record['source']}): {', '.join(record['super_words'])}",
        answer=f"shares {own:.2f} of its top neurons: {_named(record['neurons'])}",
        expected=f"{null:.2f} by {len(record['controls'])} controls; corrected p {p:.3f}",
        good=p <= LEVEL and own > null,
    )


def _concept(record: Record) -> Example:
    label = f" ({record['label']})" if record["label"] else ""
    return Example(
        item=record["concept"],
        shown=f"{record['concept']}{label}: {', '.join(record['words'])}",
        answer=f"top neurons: {_named(record['neurons'])}",
        expected="",
        good=None,
    )


def _named(neurons: Sequence[int]) -> str:
    return ", ".join(map(str, neurons[:_NEURONS])) or "none"
