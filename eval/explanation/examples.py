"""Some explanations of a run, right and wrong, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from conceptbench.eval.explanation.run import rescore
from conceptbench.eval.result import Example, Result
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NGRAMS = 8


def examples(folder: Path, result: Result) -> list[Example]:
    """Draw runs by the run's seed: with right, with wrong best explanations, and of controls."""
    scores = rescore(folder, result)
    sorts: dict[bool | None, list[Example]] = {True: [], False: [], None: []}
    for row, record in enumerate(scores.runs):
        best = next(iter(scores.candidates[row]), None)
        right = scores.values.get("accuracy", {}).get(row)
        example = Example(
            item=record["run"],
            shown=", ".join(record["top_ngrams"][:_NGRAMS]),
            answer=best.text if best is not None else f"({record['reason']})",
            expected=record["answer"]["name"] if record["answer"] is not None else "nothing (a control)",
            good=None if right is None else bool(right),
        )
        sorts[example.good].append(example)
    generator = generator_of("examples", result.provenance["seed"])
    return [example for sort in sorts.values() for example in sample(sort, SHOWN, generator)]
