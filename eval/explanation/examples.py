"""Some explanations of a run, right and wrong, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from conceptbench.eval.explanation.records import Record
from conceptbench.eval.explanation.scoring import ExplanationScores, ScoredRun
from conceptbench.eval.task import Example, Provenance
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NGRAMS = 8


def examples(_rows: Sequence[Record], scores: ExplanationScores, provenance: Provenance) -> list[Example]:
    """Draw runs by the seed: with right, with wrong best explanations, without a known answer, and of controls."""
    sorts: dict[str, list[Example]] = {"right": [], "wrong": [], "unknown": [], "control": []}
    for run in scores.runs:
        example = _example(run)
        without_answer = "control" if run.record.control else "unknown"
        sorts[{True: "right", False: "wrong", None: without_answer}[example.good]].append(example)
    generator = generator_of("examples", provenance["seed"])
    return [example for sort in sorts.values() for example in sample(sort, SHOWN, generator)]


def _example(run: ScoredRun) -> Example:
    record = run.record
    return Example(
        item=record.run or record.module,
        shown=", ".join(record.top_ngrams[:_NGRAMS]),
        answer=run.best if run.best is not None else f"({record.reason})",
        expected=_expected(record),
        good=None if run.matches is None else run.matches[:1] == (True,),
    )


def _expected(record: Record) -> str:
    if record.answer is not None:
        return record.answer.name
    return "nothing (a control)" if record.control else "(not known)"
