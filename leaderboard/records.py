"""Reading records from strangers safely: every column is checked before any value becomes a Python object."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conceptbench.eval.task import BoardRules
from conceptbench.eval.tasks import task_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import LONGEST_TEXT, fault_of_text

MOST_ROWS: Final = 5_000_000
MOST_VALUES: Final = 50_000_000
LARGEST_TABLE: Final = 256 << 20

_THRIFT = 16 << 20
_MEMORY = 1 << 30
_MOST_ROW_GROUPS = 10_000
_MOST_PARTS = 1_000_000


def read_untrusted(path: Path, task: str) -> pa.Table:
    """Read records, and refuse those that no run of the task could have written.

    The sizes in the file's footer are checked before any data is read. Since a footer may state wrong sizes, memory is
    limited while the data is read.

    Raises
    ------
    InputError
        if the file is no such table, too large, or holds numbers or texts that records do not hold.
    """
    description = task_of(task)
    schema = description.schema()
    try:
        with _memory_limited():
            file = pq.ParquetFile(path, thrift_string_size_limit=_THRIFT, thrift_container_size_limit=_MOST_PARTS)
            _check_footer(file, schema)
            table = file.read(use_threads=False)
            _check_values(table, description.board)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except MemoryError as error:
        raise InputError(f"{path.name}: unpacks to more than {_MEMORY >> 30} GiB") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path.name}: is no Parquet file that can be read ({ascii(reason)[1:-1][:120]})") from error
    return table


def _check_footer(file: pq.ParquetFile, expected: pa.Schema) -> None:
    footer = file.metadata
    if footer.num_columns > 10 * len(expected) + 100:
        raise InputError(f"has {footer.num_columns:,} columns; the task's records have {len(expected)}")
    if footer.num_rows > MOST_ROWS or footer.num_row_groups > _MOST_ROW_GROUPS:
        raise InputError(f"has {footer.num_rows:,} rows in {footer.num_row_groups:,} groups, more than {MOST_ROWS:,}")
    schema = file.schema_arrow
    if schema.names != expected.names:
        raise InputError("the columns are not those of the task's records")
    wrong = [field.name for field in expected if not schema.field(field.name).type.equals(field.type)]
    if wrong:
        raise InputError(f"column {wrong[0]} has another type than in the task's records")
    size = values = 0
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            size += chunk.total_uncompressed_size
            values += chunk.num_values
            if min(chunk.total_uncompressed_size, chunk.num_values) < 0:
                raise InputError("its footer counts below 0")
    if size > LARGEST_TABLE or values > MOST_VALUES:
        raise InputError(f"unpacks to {size:,} bytes and {values:,} values, more than records may have")


def _check_values(table: pa.Table, rules: BoardRules) -> None:
    if table.nbytes > LARGEST_TABLE:
        raise InputError(f"unpacks to {table.nbytes:,} bytes, more than {LARGEST_TABLE:,}")
    table.validate(full=True)
    for name in table.schema.names:
        for where, values in _leaves(table[name].combine_chunks(), name):
            if pa.types.is_floating(values.type):
                if not pc.all(pc.is_finite(values), min_count=0).as_py():
                    raise InputError(f"column {where}: holds a number that is not finite")
            elif pa.types.is_integer(values.type):
                if len(values) and (pc.min(values).as_py() or 0) < 0:
                    raise InputError(f"column {where}: holds a negative number")
            elif pa.types.is_string(values.type):
                _check_texts(pc.unique(values).to_pylist(), where, of_dataset=name in rules.asked)
    if rules.unique:
        _check_unique(table, rules.unique)


def _check_texts(texts: Sequence[str | None], where: str, *, of_dataset: bool) -> None:
    for text in texts:
        if text is None:
            continue
        if len(text) > LONGEST_TEXT:
            raise InputError(f"column {where}: a text has {len(text):,} characters, more than {LONGEST_TEXT:,}")
        if not of_dataset and (fault := fault_of_text(text)):
            raise InputError(f"column {where}: a text {fault}")


def _check_unique(table: pa.Table, columns: Sequence[str]) -> None:
    """Refuse two rows with the same values in these columns."""
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    counts = Counter(row for row in rows if row[-1] is not None)
    repeated = next((row for row, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise InputError(f"two rows are of one {columns[-1]}: {ascii(repeated[-1])[:80]}")


def _leaves(values: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Give the columns that a nested column consists of, with their names."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_list(values.type):
        yield from _leaves(values.flatten(), where)
    elif pa.types.is_struct(values.type):
        for field, inner in zip(values.type, values.flatten(), strict=True):
            yield from _leaves(inner, f"{where}.{field.name}")
    elif pa.types.is_dictionary(values.type):
        yield where, values.dictionary
    else:
        yield where, values


@contextmanager
def _memory_limited() -> Iterator[None]:
    """Keep the process from growing by more than 1 GiB while a stranger's file is unpacked; only on Linux."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    # RLIMIT_DATA counts writable memory only: of the whole address space, threads and allocators reserve far more than
    # they use.
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pool, workers = pa.default_memory_pool(), (pa.cpu_count(), pa.io_thread_count())
    # Other memory pools reserve more than they use, and a thread that starts under the limit takes its whole stack.
    pa.set_memory_pool(pa.system_memory_pool())
    _set_workers(1, 1)
    pq.ParquetFile(pa.BufferReader(_tiny())).read(use_threads=False)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        _set_workers(*workers)
        pa.set_memory_pool(pool)


def _set_workers(cpu: int, io: int) -> None:
    pa.set_cpu_count(cpu)
    pa.set_io_thread_count(io)


@cache
def _tiny() -> bytes:
    """Give a small Parquet file; reading it starts the threads that pyarrow needs for reading."""
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["a"]}), out)
    content: bytes = out.getvalue().to_pybytes()
    return content
