"""The result of a run: one JSON file, the same shape for every task, and the records that it points to."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256, write_json, writing_failed

RESULT_SCHEMA: Final = "conceptbench.result/1"
RESULT_FILE: Final = "result.json"
RECORDS_FILE: Final = "records.parquet"


class MetricKey(NamedTuple):
    """What a metric is of: its name, the condition of a study, and the group of a breakdown.

    In a result file it is written `name`, `name/group`, `name/condition` or `name/condition/group`. A condition begins
    with the name of a study and an equals sign, as in `prompt=zero-shot`.

    Examples
    --------
    >>> MetricKey.parse("gold_match/prompt=few-shot/semantic", studies=["prompt"])
    MetricKey(name='gold_match', condition='prompt=few-shot', group='semantic')
    >>> MetricKey.parse("auroc/L03")
    MetricKey(name='auroc', condition='', group='L03')
    >>> str(MetricKey("auroc", group="L03"))
    'auroc/L03'
    """

    name: str
    condition: str = ""
    group: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    @classmethod
    def parse(cls, text: str, studies: Collection[str] = ()) -> MetricKey:
        """Read a key as it stands in a result file.

        Parameters
        ----------
        text : the key.
        studies : the names of the task's studies, which tell conditions from groups.
        """
        name, _, rest = text.partition("/")
        first, _, after = rest.partition("/")
        if first.partition("=")[0] in studies and "=" in first:
            return cls(name, first, after)
        return cls(name, "", rest)

    @property
    def headline(self) -> bool:
        """Whether the metric is over all items, in no condition of a study."""
        return not self.condition and not self.group


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Metric:
    """A measured value with its 95 % interval, and the number of items that it is of.

    Examples
    --------
    >>> Metric(0.75, 0.6, 0.9, 40).value
    0.75
    """

    value: _Number
    low: _Number
    high: _Number
    n: Annotated[int, Field(strict=True, ge=0)]


class Result(BaseModel):
    """The result of one run of a task on a system.

    A breakdown is a metric of its own, see `MetricKey`. A metric that cannot be computed is absent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)

    result_schema: Annotated[Literal["conceptbench.result/1"], Field(alias="schema")] = RESULT_SCHEMA
    task: str
    task_version: str
    system: str
    metrics: dict[str, Metric]
    provenance: dict[str, Any]
    records: Literal["records.parquet"] = RECORDS_FILE
    records_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Give the contents of the result file."""
        return self.model_dump(by_alias=True)


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
    result = parse_result(content, str(file))
    records = file.parent / RECORDS_FILE
    if not records.is_file():
        raise InputError(f"{file}: its records must lie beside it as {RECORDS_FILE}")
    if sha256(records) != result.records_sha256:
        raise InputError(f"{records}: was changed since the run (its digest is not that of {file.name})")
    return result


def parse_result(content: Any, where: str) -> Result:
    """Read the contents of a result file.

    Parameters
    ----------
    content : what the JSON holds.
    where : the file's name, for messages.

    Raises
    ------
    InputError
        if it is of another shape; the message names the first field that is wrong.
    """
    if not isinstance(content, Mapping) or content.get("schema") != RESULT_SCHEMA:
        raise InputError(f"{where}: not a result of this version ({RESULT_SCHEMA})")
    try:
        return Result.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(ascii(str(part))[1:-1][:40] for part in first["loc"]) or "the result"
        raise InputError(f"{where}, {field}: {first['msg']}") from error


def package_version() -> str:
    """The version of ConceptBench that stands in a result."""
    return importlib.metadata.version("conceptbench")
