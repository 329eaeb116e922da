"""Some clusters of a run to look at: aligned with a gold concept, and nearly so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.quality.overlap import FEWEST_TYPES
from conceptbench.eval.quality.records import CLUSTER, Record
from conceptbench.eval.task import Example, Provenance, Scores
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NEAR = 0.2


def examples(rows: Sequence[Record], _scores: Scores, provenance: Provenance) -> list[Example]:
    """Draw clusters by the seed: aligned ones, and ones that miss the threshold by at most 0.2.

    Clusters of fewer than three word types show little, and are left out where there are others. Of clusters with the
    same words in several layers, one is shown.
    """
    threshold = provenance["threshold"]
    clusters = [row for row in rows if row.role == CLUSTER and row.main]
    generator = generator_of("examples", provenance["seed"])
    distinct = list({row.words: row for row in clusters}.values())
    examples = []
    for low, high, good in ((threshold, 2.0, True), (threshold - _NEAR, threshold, False)):
        candidates = [row for row in distinct if row.gold is not None and low <= row.share < high]
        telling = [row for row in candidates if row.types >= FEWEST_TYPES]
        examples += [_example(row, good) for row in sample(telling or candidates, SHOWN, generator)]
    return examples


def _example(row: Record, good: bool) -> Example:
    concept = load_lexicon().get(row.gold or "")
    words = row.words or ()
    return Example(
        item=row.item,
        shown=", ".join(words) + (", …" if row.types > len(words) else ""),
        answer=f"{concept.name if concept is not None else row.gold} ({row.share:.0%})",
        expected="",
        good=good,
    )
