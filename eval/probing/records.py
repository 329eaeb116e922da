"""The records of the probing task: a row for each test token of each probe, with the probe's logit.

They are many, so that they are read in bulk as an Arrow table, and not as a list of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.runtime.errors import InputError

_NAMES = pa.dictionary(pa.int32(), pa.string())

RECORDS: Final = pa.schema(
    [
        ("kind", _NAMES),
        ("k", pa.int32()),
        ("layer", pa.int16()),
        ("concept", _NAMES),
        ("group", _NAMES),
        ("split", _NAMES),
        ("label", _NAMES),
        ("word", _NAMES),
        ("sentence", pa.int32()),
        ("positive", pa.bool_()),
        ("hard", pa.bool_()),
        ("logit", pa.float32()),
    ]
)
"""The columns of the records.

On a split by word type, `kind` says what is probed: `gold` concepts, concepts of the `store`, clusters of the `null`.
On a split by token, the store's concepts are probed, and `kind` says whether `positive` holds the concept's labels
(`token`) or control labels (`control`). `k` is the number of clusters of a study's cut; null for the store's own
concepts and their null. `group` and `split` are those of a gold concept, `label` is that of a concept of the store.
`hard` marks a negative from a near concept. The probe takes tokens with a `logit` above 0 for positive.
"""

_FILLED: Final = ("kind", "layer", "concept", "word", "sentence", "positive", "hard", "logit")


def schema() -> pa.Schema:
    """Give the records' Arrow schema."""
    return RECORDS


def rows(records: pa.Table) -> pa.Table:
    """Give the records' table, with the columns' types as in `RECORDS`.

    Raises
    ------
    InputError
        if a column is of another type, or misses a value.
    """
    try:
        table = records.cast(RECORDS)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"records: {error}") from error
    for name in _FILLED:
        if table[name].null_count:
            raise InputError(f"records, {name}: {table[name].null_count} rows have no value")
    return table


def gold_of_lowest_layer(records: pa.Table) -> pa.Table:
    """Give the rows of gold concepts at one layer: all layers, and all encoders, are asked the same."""
    gold = records.filter(pc.equal(records["kind"].cast(pa.string()), "gold"))
    return gold.filter(pc.equal(gold["layer"], pc.min(gold["layer"])))


def coded(table: pa.Table, name: str) -> tuple[np.ndarray, Sequence[Any]]:
    """Give a column of names as numbers, -1 for null, and the names that they stand for."""
    column = table[name].unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.array([], _NAMES) if column.num_chunks == 0 else column.chunk(0)
    return column.indices.fill_null(-1).to_numpy(zero_copy_only=False), column.dictionary.to_pylist()
