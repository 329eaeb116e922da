"""The result of a run: one JSON file, the same shape for every task, and the records that it points to."""

from __future__ import annotations

import importlib.metadata
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256, whole, write_json, writing_failed

RESULT_SCHEMA: Final = "conceptbench.result/1"
RESULT_FILE: Final = "result.json"
RECORDS_FILE: Final = "records.parquet"
_FIELDS: Final = {"schema", "task", "task_version", "system", "metrics", "provenance", "records", "records_sha256"}


@dataclass(frozen=True)
class Metric:
    """A measured value with its 95 % interval, and the number of items asked."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Result:
    """What a run of a task on a system came to.

    A breakdown is a metric of its own, `name/group`. A metric that cannot be computed is absent.
    """

    task: str
    task_version: str
    system: str
    metrics: Mapping[str, Metric]
    provenance: Mapping[str, Any]
    records_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Give the contents of the result file."""
        return {
            "schema": RESULT_SCHEMA,
            "task": self.task,
            "task_version": self.task_version,
            "system": self.system,
            "metrics": {name: asdict(metric) for name, metric in self.metrics.items()},
            "provenance": dict(self.provenance),
            "records": RECORDS_FILE,
            "records_sha256": self.records_sha256,
        }


@dataclass(frozen=True)
class ItemScores:
    """The values behind a run's metrics: by metric, the value of each item; and the group (concept) of each item."""

    values: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class Example:
    """One item to look at: what was shown, what was answered, what was expected; `good` is None where unknown."""

    item: str
    shown: str
    answer: str
    expected: str
    good: bool | None
    condition: str = ""


def write_records(folder: Path, records: pa.Table) -> str:
    """Write a run's records to its folder; give their SHA-256."""
    path = folder / RECORDS_FILE
    with whole(path) as temporary:
        pq.write_table(records, temporary, compression="zstd")
    return sha256(path)


def read_rows(folder: Path, schema: pa.Schema, task: str) -> list[dict[str, Any]]:
    """Read the records of a run's folder as rows.

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
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def open_folder(out: str | Path) -> Path:
    """Make a run's folder, if it is not there.

    Raises
    ------
    ConceptBenchError
        if it cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(folder, error) from error
    return folder


def write_result(folder: Path, result: Result) -> None:
    """Write a run's result file."""
    write_json(folder / RESULT_FILE, result.to_json())


def read_result(path: Path) -> Result:
    """Read a result file, or that of a run's folder, and check the digest of its records.

    Raises
    ------
    InputError
        if it is missing, of another shape, holds numbers that are not finite, or its records were changed.
    """
    file = path / RESULT_FILE if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema") != RESULT_SCHEMA or set(content) != _FIELDS:
        raise InputError(f"{file}: not a result of this version ({RESULT_SCHEMA})")
    records = file.parent / RECORDS_FILE
    if content["records"] != RECORDS_FILE or not records.is_file():
        raise InputError(f"{file}: its records must lie beside it as {RECORDS_FILE}")
    if sha256(records) != content["records_sha256"]:
        raise InputError(f"{records}: was changed since the run (its digest is not that of {file.name})")
    return Result(
        task=content["task"],
        task_version=content["task_version"],
        system=content["system"],
        metrics={name: _metric(value, f"{file}, metric {name!r}") for name, value in content["metrics"].items()},
        provenance=content["provenance"],
        records_sha256=content["records_sha256"],
    )


def package_version() -> str:
    """The version of ConceptBench that stands in a result."""
    return importlib.metadata.version("conceptbench")


def _metric(value: Any, where: str) -> Metric:
    try:
        metric = Metric(**value)
        finite = all(math.isfinite(number) for number in (metric.value, metric.low, metric.high))
    except TypeError as error:
        raise InputError(f"{where}: must have value, low, high and n, all numbers") from error
    if not finite or not isinstance(metric.n, int) or metric.n < 0:
        raise InputError(f"{where}: must have value, low, high and n, all finite")
    return metric
