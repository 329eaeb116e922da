"""Some clusters of a run to look at: aligned with a gold concept, and nearly so."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.quality.overlap import FEWEST_TYPES
from conceptbench.eval.quality.records import Record, read_records
from conceptbench.eval.result import Example, Result
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NEAR = 0.2


def examples(folder: Path, result: Result) -> list[Example]:
    """Draw clusters by the seed: aligned ones, and ones that miss the threshold by at most 0.2.

    Clusters of fewer than three word types show little, and are left out where there are others. Of clusters with the
    same words in several layers, one is shown.
    """
    threshold = result.provenance["threshold"]
    clusters = [record for record in read_records(folder) if record["role"] == "cluster" and record["main"]]
    generator = generator_of("examples", result.provenance["seed"])
    distinct = list({tuple(record["words"]): record for record in clusters}.values())
    shown = []
    for low, high, good in ((threshold, 2.0, True), (threshold - _NEAR, threshold, False)):
        sort = [record for record in distinct if record["gold"] is not None and low <= record["share"] < high]
        telling = [record for record in sort if record["types"] >= FEWEST_TYPES]
        shown += [_example(record, good) for record in sample(telling or sort, SHOWN, generator)]
    return shown


def _example(record: Record, good: bool) -> Example:
    concept = load_lexicon().get(record["gold"])
    return Example(
        item=record["item"],
        shown=", ".join(record["words"]) + (", …" if record["types"] > len(record["words"]) else ""),
        answer=f"{concept.name if concept is not None else record['gold']} ({record['share']:.0%})",
        expected="",
        good=good,
    )
