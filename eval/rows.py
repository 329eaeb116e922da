"""Typed rows and Arrow tables: a task's records are frozen dataclasses, and their schema follows from the fields."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError

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
def schema_of(*kinds: type) -> pa.Schema:
    """Give the Arrow schema of a row's dataclass, or of a table with rows of several kinds.

    `str`, `int`, `float` and `bool` become string, int64, float64 and bool; `Int16`, `Int32` and `Float32` are the
    smaller types. `tuple[X, ...]` is a list of X, a dataclass a struct; every column may be null. The columns of
    several kinds are those of the first, then those that the next ones add.

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
    columns: dict[str, pa.DataType] = {}
    for row in kinds:
        for name, hint in _hints(row):
            if columns.setdefault(name, _arrow(hint)) != _arrow(hint):
                raise TypeError(f"{row.__name__}.{name} is of another type than the same column of another kind")
    return pa.schema(list(columns.items()))


def table_of(rows: Sequence[object], *kinds: type) -> pa.Table:
    """Put rows into a table.

    Parameters
    ----------
    rows : instances of the dataclasses `kinds`; a column that a row's kind does not have is null.
    kinds : one dataclass; or several, each with a field `kind` of a `Literal` that tells it from the others.
    """
    return pa.Table.from_pylist(_reader(kinds).dump_python(list(rows)), schema=schema_of(*kinds))


def rows_of(table: pa.Table, *kinds: type[RowT]) -> list[RowT]:
    """Read the rows of a table; for several kinds of rows see `table_of`.

    Raises
    ------
    InputError
        if a value is not of the field's type.
    """
    try:
        validated: list[RowT] = _reader(kinds).validate_python(table.to_pylist())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        number, *path = first["loc"]
        where = ".".join(str(part) for part in path) or "kind"
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
def _reader(kinds: tuple[Any, ...]) -> TypeAdapter[Any]:
    row: Any = kinds[0] if len(kinds) == 1 else Annotated[reduce(or_, kinds), Field(discriminator="kind")]
    return TypeAdapter(list[row])


def _hints(row: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(row, include_extras=True)
    return [(field.name, hints[field.name]) for field in fields(row)]


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
