"""The records of a quality run: a row a cluster, and a row a gold concept in a clustering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from conceptbench.eval.result import read_rows

Record = dict[str, Any]

_COUNTS = pa.list_(pa.int64())

RECORDS: Final = pa.schema(
    [
        ("role", pa.string()),
        ("item", pa.string()),
        ("layer", pa.int64()),
        ("method", pa.string()),
        ("k", pa.int64()),
        ("recut", pa.bool_()),
        ("main", pa.bool_()),
        ("tokens", pa.int64()),
        ("types", pa.int64()),
        ("known_tokens", pa.int64()),
        ("known_types", pa.int64()),
        ("words", pa.list_(pa.string())),
        ("gold", pa.string()),
        ("kind", pa.string()),
        ("share", pa.float64()),
        ("share_known", pa.float64()),
        (
            "best",
            pa.list_(
                pa.struct([("kind", pa.string()), ("gold", pa.string()), ("tokens", pa.int64()), ("null", _COUNTS)])
            ),
        ),
        ("alone", pa.list_(pa.struct([("word", pa.string()), ("gold", pa.string()), ("kind", pa.string())]))),
        ("cluster", pa.string()),
        ("null_shares", pa.list_(pa.float64())),
    ]
)
"""`role` is `cluster` or `gold`. A clustering is a `layer`, a `method` and the number `k` of clusters asked for;
`recut` marks a number that is not the layer's own, `main` the clustering that headline metrics are of.

Of a cluster: `item` is the concept's id, or a name made here; `tokens` and `types` (word types, case folded) all and
those whose word the lexicon has (`known_`); `words` the most frequent ones. `best` has, for each kind with tokens, the
gold concept that most tokens belong to (of equals the narrowest), how many these are, and how many the best one has in
each shuffle (`null`). `gold`, `kind` and `share`, of all tokens, are the best of these; `share_known` is of known
tokens. `alone` are the word types with most of their tokens here that belong to one gold concept of the kind alone.

Of a gold concept: `item` and `gold` are its id; `tokens` and `types` those present in the layer; `share` the largest
share of a cluster's tokens that belong to it, `cluster` that cluster, `null_shares` the share in each shuffle."""


def records_table(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Put records into a table."""
    return pa.Table.from_pylist(list(records), schema=RECORDS)


def read_records(folder: Path) -> list[Record]:
    """Read the records of a run's folder; see `result.read_rows`."""
    return read_rows(folder, RECORDS, "quality")
