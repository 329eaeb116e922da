"""Typed rows and Arrow tables: a task's records are frozen dataclasses, and their schema follows from the fields."""

from __future__ import annotations

import types
from collections.abc import Hashable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from conceptbench.eval.result import RECORDS_FILE
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256, whole

RowT = TypeVar("RowT")

Int16 = Annotated[int, pa.int16()]
Int32 = Annotated[int, pa.int32()]
Float32 = Annotated[float, pa.float32()]

_ARROW: Final[dict[Any, pa.DataType]] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}


@cache
def schema_of(row: type) -> pa.Schema:
    """Give the Arrow schema of a row's dataclass.

    `str`, `int`, `float` and `bool` become string, int64, float64 and bool; `Int16`, `Int32` and `Float32` are the
    smaller types. `tuple[X, ...]` is a list of X, a dataclass a struct; every column may be null.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Row:
    ...     item: str
    ...     words: tuple[str, ...]
    >>> schema_of(Row).names
    ['item', 'words']
    """
    return pa.schema([(name, _arrow(hint)) for name, hint in _hints(row)])


def table_of(rows: Sequence[object], row: type) -> pa.Table:
    """Put rows into a table.

    Parameters
    ----------
    rows : instances of the dataclass `row`.
    """
    return pa.Table.from_pylist(_reader(row).dump_python(list(rows)), schema=schema_of(row))


def rows_of(table: pa.Table, row: type[RowT]) -> list[RowT]:
    """Read the rows of a table.

    Raises
    ------
    InputError
        if a value is not of the field's type.
    """
    try:
        validated: list[RowT] = _reader(row).validate_python(table.to_pylist())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        number, *path = first["loc"]
        where = ".".join(str(part) for part in path)
        raise InputError(f"records, row {number}, {where}: {first['msg']}") from error
    return validated


def write_records(folder: Path, records: pa.Table) -> str:
    """Write a run's records to its folder; give their SHA-256."""
    path = folder / RECORDS_FILE
    with whole(path) as temporary:
        pq.write_table(records, temporary, compression="zstd")
    return sha256(path)


def read_records(folder: Path, schema: pa.Schema, task: str) -> pa.Table:
    """Read the records of a run's folder.

    Raises
    ------
    InputError
        if they cannot be read, or have other columns than those of the task.
    """
    path = folder / RECORDS_FILE
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if table.schema.names != schema.names:
        raise InputError(f"{path}: the columns are not those of the {task} task of this version")
    return table


@cache
def _reader(row: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(list[row])  # type: ignore[valid-type]


def _hints(row: type) -> list[tuple[str, Any]]:
    hints = get_type_hints(row, include_extras=True)
    return [(field.name, hints[field.name]) for field in fields(row)]  # type: ignore[arg-type]


def _arrow(hint: Any) -> pa.DataType:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return next((extra for extra in arguments[1:] if isinstance(extra, pa.DataType)), None) or _arrow(arguments[0])
    if origin in {Union, types.UnionType}:
        (inner,) = [argument for argument in arguments if argument is not types.NoneType]
        return _arrow(inner)
    if origin is tuple:
        return pa.list_(_arrow(arguments[0]))
    if origin is Literal:
        return _ARROW[type(arguments[0])]
    if is_dataclass(hint):
        return pa.struct([(name, _arrow(inner)) for name, inner in _hints(hint)])
    return _ARROW[hint]
