"""Some pairs of a run with the neurons that they share, and some concepts with their top neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from conceptbench.eval.methods.neurons.choices import LEVEL
from conceptbench.eval.neurons.records import ConceptRow, PairRow, Record
from conceptbench.eval.neurons.scoring import NeuronScores
from conceptbench.eval.task import Example, Provenance
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_NEURONS: Final = 10


def examples(rows: Sequence[Record], scores: NeuronScores, provenance: Provenance) -> list[Example]:
    """Draw by the seed: pairs that share more neurons than their controls, pairs that do not, and concepts."""
    pairs = [
        _pair(row, scores.corrected[number])
        for number, row in enumerate(rows)
        if isinstance(row, PairRow) and row.scaling == "zscored" and not row.condition
    ]
    concepts = [_concept(row) for row in rows if isinstance(row, ConceptRow)]
    sorts = (
        [example for example in pairs if example.good],
        [example for example in pairs if not example.good],
        concepts,
    )
    generator = generator_of("examples", provenance["seed"])
    return [example for sort in sorts for example in sample(sort, SHOWN, generator)]


def _pair(row: PairRow, p: float) -> Example:
    alignment, null = row.alignment[row.at_fraction], row.null[row.at_fraction]
    return Example(
        item=f"{row.super}|{row.concept}",
        shown=f"{_named(row)}; within {row.super} ({row.source}): {', '.join(row.super_words)}",
        answer=f"shares {alignment:.2f} of its top neurons: {_listed(row.neurons)}",
        expected=f"{null:.2f} by {len(row.controls)} controls; corrected p {p:.3f}",
        good=p <= LEVEL and alignment > null,
    )


def _concept(row: ConceptRow) -> Example:
    return Example(
        item=row.concept, shown=_named(row), answer=f"top neurons: {_listed(row.neurons)}", expected="", good=None
    )


def _named(row: PairRow | ConceptRow) -> str:
    """Write a concept with its label and words."""
    label = f" ({row.label})" if row.label else ""
    return f"{row.concept}{label}: {', '.join(row.words)}"


def _listed(neurons: Sequence[int]) -> str:
    return ", ".join(map(str, neurons[:_NEURONS])) or "none"
