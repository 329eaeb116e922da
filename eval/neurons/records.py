"""The records of a neurons run: rows of four kinds in one table, told apart by their column `kind`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.eval.methods.neurons.choices import Mode, Order, Scaling
from conceptbench.eval.neurons.options import Source
from conceptbench.eval.rows import Int32, rows_of, schema_of, table_of

RankingName = Literal["probeless", "probeless_raw", "weights", "average_precision"]


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """The alignment of a super-concept and its part, the concept, under one scaling of the neurons.

    Attributes
    ----------
    k : the concepts of the layer that the pair is from.
    condition : that of the study, such as `k=50`; empty for the layer's own concepts.
    source : where the pair is from.
    super, concept : the names of the two; `label` is that of the concept, if the store has one.
    super_words, words : their most frequent word types, those of the super-concept without the tokens of its part.
    family : super-concepts that have a part in common are of one; intervals are resampled over families.
    size : tokens of the concept.
    fraction : of the neurons that count as top.
    controls : the alignments of the controls at `fraction`.
    p : from the rank of the alignment among the controls, not corrected.
    fractions, alignment, null : the curves: fractions of top neurons, the alignment at each, and the controls' mean.
    neurons : those that both have among their top ones at `fraction`.
    """

    kind: Literal["pair"] = "pair"
    layer: Int32
    k: int
    condition: str
    source: Source
    scaling: Scaling
    super: str
    concept: str
    label: str | None
    super_words: tuple[str, ...]
    words: tuple[str, ...]
    family: str
    size: int
    fraction: float
    controls: tuple[float, ...]
    p: float
    fractions: tuple[float, ...]
    alignment: tuple[float, ...]
    null: tuple[float, ...]
    neurons: tuple[int, ...]

    @property
    def at_fraction(self) -> int:
        """The position on the curves that `controls` and `p` are of."""
        return self.fractions.index(self.fraction)


@dataclass(frozen=True, kw_only=True)
class ConceptRow:
    """A concept of the layer, which has `k` of them, with its first neurons by `ranking` over all tokens."""

    kind: Literal["concept"] = "concept"
    layer: Int32
    k: int
    concept: str
    label: str | None
    words: tuple[str, ...]
    size: int
    neurons: tuple[int, ...]
    ranking: RankingName


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """The test of a concept's probe while its neurons are changed as `mode` says, by `order` of the `ranking`.

    `accuracy` (balanced) and `auroc` are on the probe's test tokens when as many neurons as `grid` says, of the `width`
    that there are, are changed (or kept).
    """

    kind: Literal["ablation"] = "ablation"
    layer: Int32
    k: int
    concept: str
    ranking: RankingName
    mode: Mode
    order: Order
    width: int
    grid: tuple[int, ...]
    accuracy: tuple[float, ...]
    auroc: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StabilityRow:
    """The agreement of a concept's ranking with others: over `resamples` of the corpus, or `seeds` of the probe.

    `overlap` is the share of the top neurons, a `fraction` of all, that both have; `spearman` the rank correlation of
    all scores; both are means over as many rankings as `resamples` says.
    """

    kind: Literal["stability"] = "stability"
    layer: Int32
    k: int
    concept: str
    fraction: float
    ranking: RankingName
    over: Literal["resamples", "seeds"]
    overlap: float
    spearman: float
    resamples: int


Record: TypeAlias = PairRow | ConceptRow | AblationRow | StabilityRow

_KINDS: Final = (PairRow, ConceptRow, AblationRow, StabilityRow)


def schema() -> pa.Schema:
    """Give the records' Arrow schema: the columns of all kinds; those that a row's kind does not have are null."""
    return schema_of(*_KINDS)


def table(records: Sequence[Record]) -> pa.Table:
    """Put the records into a table."""
    return table_of(records, *_KINDS)


def rows(records: pa.Table) -> list[Record]:
    """Read the records' rows, each as its kind."""
    return rows_of(records, *_KINDS)


def concept_rows(records: pa.Table) -> pa.Table:
    """Give the rows that say what was measured: the concepts of each layer."""
    return records.filter(pc.equal(records["kind"], "concept"))
