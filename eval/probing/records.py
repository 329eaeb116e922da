"""The records of the probing task: what each probe says of each of its test tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.eval.result import RECORDS_FILE
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
"""One row a test token of a probe. `kind` is what is probed: `gold` concepts, the `store`'s, those of the `null`; or
the store's on a split by token, `token` with their own and `control` with control labels, which `positive` then holds.
`k` is that of a study's cut, null for the store's own concepts and their null. `group` and `split` are those of a gold
concept, `label` that of a store's. `hard` marks a negative from a near concept. Above 0, a `logit` says positive."""


def read_records(folder: Path) -> pa.Table:
    """Read the records of a run's folder.

    Raises
    ------
    InputError
        if they cannot be read, or have other columns.
    """
    path = folder / RECORDS_FILE
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if table.schema.names != RECORDS.names:
        raise InputError(f"{path}: the columns are not those of the probing task of this version")
    return table


def coded(table: pa.Table, name: str) -> tuple[np.ndarray, Sequence[Any]]:
    """Give a column of names as numbers, -1 for null, and the names that they stand for."""
    column = table[name].unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.array([], _NAMES) if column.num_chunks == 0 else column.chunk(0)
    return column.indices.fill_null(-1).to_numpy(zero_copy_only=False), column.dictionary.to_pylist()
