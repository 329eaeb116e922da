"""The records of a quality run: a row a cluster, and a row a gold concept in a clustering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.eval.rows import rows_of, schema_of

CLUSTER = "cluster"
GOLD = "gold"


@dataclass(frozen=True)
class BestConcept:
    """The gold concept of one kind that most tokens of a cluster belong to.

    `gold` is its id, of equals the narrowest; None where no token belongs to one. `tokens` is how many belong to it,
    and `null` how many belong to the best one in each shuffle.
    """

    kind: str
    gold: str | None
    tokens: int
    null: tuple[int, ...]


@dataclass(frozen=True)
class HomeWord:
    """A word type with most of its tokens in a cluster, which belongs to one gold concept of the kind alone."""

    word: str
    gold: str
    kind: str


@dataclass(frozen=True)
class Record:
    """A row of the records.

    A clustering is a `layer`, a `method` and the number `k` of clusters that was asked for; `recut` marks a number that
    is not the layer's own, `main` the clustering that headline metrics are of.

    In the row of a cluster, `item` is the concept's id, or a name made here; `tokens` and `types` (word types, case
    folded) count all, `known_tokens` and `known_types` those whose word the lexicon has; `words` are the most frequent
    ones. `best` has an entry for each kind with tokens; `gold`, `kind` and `share`, of all tokens, are the best of
    these, and `share_known` is of known tokens. `alone` are the word types that are at home in the cluster.

    In the row of a gold concept, `item` and `gold` are its id; `tokens` and `types` those present in the layer; `share`
    is the largest share of a cluster's tokens that belong to it, `cluster` that cluster, `null_shares` the largest
    share in each shuffle.
    """

    role: Literal["cluster", "gold"]
    item: str
    layer: int
    method: str
    k: int
    recut: bool
    main: bool
    tokens: int
    types: int
    known_tokens: int | None = None
    known_types: int | None = None
    words: tuple[str, ...] | None = None
    gold: str | None = None
    kind: str | None = None
    share: float = 0.0
    share_known: float | None = None
    best: tuple[BestConcept, ...] = ()
    alone: tuple[HomeWord, ...] = ()
    cluster: str | None = None
    null_shares: tuple[float, ...] | None = None


def schema() -> pa.Schema:
    """Give the records' Arrow schema."""
    return schema_of(Record)


def rows(records: pa.Table) -> list[Record]:
    """Read the records' rows."""
    return rows_of(records, Record)


def main_clusters(records: pa.Table) -> pa.Table:
    """Give the rows that say what was clustered: the clusters of the main clustering."""
    return records.filter(pc.and_(records["main"], pc.equal(records["role"], CLUSTER)))
