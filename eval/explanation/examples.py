"""Some explanations of a run, right and wrong, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from conceptbench.eval.explanation.collect import rescore
from conceptbench.eval.explanation.records import Record
from conceptbench.eval.result import Example, Result
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NGRAMS = 8


def examples(folder: Path, result: Result) -> list[Example]:
    """Draw runs by the seed: with right, with wrong best explanations, without a known answer, and of controls."""
    scores = rescore(folder, result)
    sorts: dict[str, list[Example]] = {"right": [], "wrong": [], "": [], "control": []}
    for row, record in enumerate(scores.runs):
        best = next(iter(scores.candidates[row]), None)
        right = scores.values.get("accuracy", {}).get(row)
        example = Example(
            item=record["run"],
            shown=", ".join(record["top_ngrams"][:_NGRAMS]),
            answer=best.text if best is not None else f"({record['reason']})",
            expected=_expected(record),
            good=None if right is None else bool(right),
        )
        sort = {True: "right", False: "wrong", None: "control" if record["control"] else ""}[example.good]
        sorts[sort].append(example)
    generator = generator_of("examples", result.provenance["seed"])
    return [example for sort in sorts.values() for example in sample(sort, SHOWN, generator)]


def _expected(record: Record) -> str:
    if record["answer"] is not None:
        return str(record["answer"]["name"])
    return "nothing (a control)" if record["control"] else "(not known)"
