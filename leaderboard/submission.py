"""Submissions: a folder with a form, a result and its records, which are read as data from strangers."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from conceptbench.eval.result import RECORDS_FILE, RESULT_FILE, RESULT_SCHEMA, Metric, Result
from conceptbench.eval.run import TASKS
from conceptbench.leaderboard.documents import read_bytes, read_object, texts_in
from conceptbench.leaderboard.form import FORM_FILE, LARGEST_SEED, Form, read_form
from conceptbench.leaderboard.names import fault_of_folder, fault_of_name, folder_of
from conceptbench.leaderboard.records import read_untrusted
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import fault_of_text, shown

LARGEST: Final[Mapping[str, int]] = {FORM_FILE: 1 << 18, RESULT_FILE: 8 << 20, RECORDS_FILE: 256 << 20}
"""Bytes of each of the three files at most."""

FIRST_DAY: Final = datetime.date(2025, 1, 1)
MOST_METRICS: Final = 20_000

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SYSTEM = re.compile(r"[A-Za-z0-9][\w./:@+ -]*", re.ASCII)
_KEPT = frozenset({"README.md", ".gitkeep"})
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Place:
    """Where a submission lies: its name, `<system>/<task>/<date>`, and its folder; `fault` if it is no such place."""

    name: str
    folder: Path
    fault: str = ""


@dataclass(frozen=True)
class Submission:
    """A submission whose shape is right; whether its numbers are is not known yet.

    `digest` is that of its three files. `records` have no columns where an earlier version of the
    task has verified them, which this one cannot read.
    """

    name: str
    folder: Path
    form: Form
    result: Result
    records: pa.Table
    digest: str

    @property
    def date(self) -> str:
        """The day that its folder is named after."""
        return self.name.rpartition("/")[2]

    @property
    def archived(self) -> bool:
        """Whether it is of an earlier version of its task, and its records were not read."""
        return bool(self.records.num_columns == 0)

    @property
    def system_folder(self) -> str:
        """The folder of its system."""
        return self.name.partition("/")[0]


class _Metric(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    value: float
    low: float
    high: float
    n: int = Field(ge=0)


class _Stated(BaseModel):
    """The result file of a submission, as a stranger may write it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    result_schema: str = Field(alias="schema")
    task: str
    task_version: str
    system: str
    metrics: dict[str, _Metric] = Field(min_length=1, max_length=MOST_METRICS)
    provenance: dict[str, Any]
    records: str
    records_sha256: str


def places(root: Path) -> Iterator[Place]:
    """Find the submissions below a folder, three levels down, in order; no link is followed.

    Whatever else lies there is a place with a fault, but for a README.md.
    """
    yield from _below(root, ())


def file_digest(folder: Path) -> str:
    """Digest the three files of a submission.

    Raises
    ------
    InputError
        as `read_submission`, of files that are missing, too large or no files.
    """
    _check_files(folder)
    digest = hashlib.sha256()
    for name, largest in LARGEST.items():
        digest.update(hashlib.sha256(read_bytes(folder / name, largest)).digest())
    return digest.hexdigest()


def read_submission(place: Place, today: datetime.date | None = None, *, verified: bool = False) -> Submission:
    """Read a submission.

    Parameters
    ----------
    today : the last day that it may be of; by default today, in UTC.
    verified : it was accepted as it is, and may be of an earlier version of its task, whose records are not read.

    Raises
    ------
    InputError
        if it is not one: a name, a file, a field or a value is not as it must be; the message is one line.
    """
    if place.fault:
        raise InputError(place.fault)
    system, task, date = place.name.split("/")
    digest = file_digest(place.folder)
    form = read_form(read_object(place.folder / FORM_FILE, LARGEST[FORM_FILE]))
    stated = read_object(place.folder / RESULT_FILE, LARGEST[RESULT_FILE])
    result = _result(stated)
    _check_place(result, form.variant, system, task)
    old = result.task_version != TASKS[task].version
    if old and not verified:
        raise InputError(
            f"is of {task} {shown(result.task_version)}; this version scores {task} {TASKS[task].version}: run it again"
        )
    _check_days(result, _day(date), today or datetime.datetime.now(datetime.UTC).date())
    _check_provenance(result, form)
    path = place.folder / RECORDS_FILE
    found = hashlib.sha256(read_bytes(path, LARGEST[RECORDS_FILE])).hexdigest()
    if found != result.records_sha256:
        raise InputError(f"{RECORDS_FILE}: was changed since the run: its digest is not that of {RESULT_FILE}")
    records = pa.table({}) if old else read_untrusted(path, result.task)
    return Submission(place.name, place.folder, form, result, records, digest)


def _below(folder: Path, above: tuple[str, ...]) -> Iterator[Place]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        parts = (*above, entry.name)
        name = "/".join(part if not fault_of_folder(part) else shown(part, 100)[1:-1] for part in parts)
        path = Path(entry.path)
        if entry.is_symlink():
            yield Place(name, path, "is a symbolic link")
        elif entry.name in _KEPT and len(parts) == 1:
            continue
        elif not entry.is_dir(follow_symlinks=False):
            yield Place(name, path, "is a file where a folder belongs: submissions/<system>/<task>/<date>/")
        elif fault := fault_of_folder(entry.name):
            yield Place(name, path, f"the folder's name {fault}")
        elif len(parts) < 3:
            yield from _below(path, parts)
        else:
            yield Place(name, path)


def _check_files(folder: Path) -> None:
    with os.scandir(folder) as entries:
        found = {entry.name for entry, _ in zip(entries, range(100), strict=False)}
    more = sorted(found - set(LARGEST))
    missing = sorted(set(LARGEST) - found)
    if more:
        raise InputError(f"holds {shown(more[0])} besides {', '.join(LARGEST)}")
    if missing:
        raise InputError(f"lacks {missing[0]}")


def _result(content: Mapping[str, Any]) -> Result:
    for where, text in texts_in(content):
        if fault := fault_of_text(text):
            raise InputError(f"{RESULT_FILE}, {where}: {fault}")
    try:
        stated = _Stated.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(shown(str(part), 40)[1:-1] for part in first["loc"]) or "the result"
        raise InputError(f"{RESULT_FILE}, {where}: {first['msg']}") from error
    if stated.result_schema != RESULT_SCHEMA or stated.records != RECORDS_FILE:
        raise InputError(f"{RESULT_FILE}: is no result of this version ({RESULT_SCHEMA})")
    return Result(
        task=stated.task,
        task_version=stated.task_version,
        system=stated.system,
        metrics={name: Metric(own.value, own.low, own.high, own.n) for name, own in stated.metrics.items()},
        provenance=stated.provenance,
        records_sha256=stated.records_sha256,
    )


def _check_place(result: Result, variant: str, system: str, task: str) -> None:
    if result.task not in TASKS:
        raise InputError(f"{RESULT_FILE}: there is no task {shown(result.task)}; there are {', '.join(TASKS)}")
    if result.task != task:
        raise InputError(f"lies in the folder {task}, but is of the task {result.task}")
    if fault := fault_of_name(result.system):
        raise InputError(f"{RESULT_FILE}, system: {fault}")
    folder = folder_of(result.system, variant)
    if not _SYSTEM.fullmatch(result.system) or folder != system:
        raise InputError(
            f"lies in the folder {system}, but is of the system {shown(result.system)}, whose folder is {shown(folder)}"
        )


def _day(text: str) -> datetime.date:
    try:
        # `fromisoformat` alone also takes weeks, and dates without dashes.
        return datetime.date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise InputError("the last folder must be a date, such as 2026-11-21") from error


def _check_days(result: Result, day: datetime.date, today: datetime.date) -> None:
    try:
        started = datetime.datetime.fromisoformat(str(result.provenance.get("started")))
    except ValueError as error:
        raise InputError(f"{RESULT_FILE}, provenance.started: is no time, such as 2026-11-21T20:15:00+00:00") from error
    if started.tzinfo is None:
        raise InputError(f"{RESULT_FILE}, provenance.started: has no time zone")
    ran = started.astimezone(datetime.UTC).date()
    # The world's clocks are up to a day apart.
    if day > today + _DAY or ran > today + _DAY:
        raise InputError(f"is from the future: submitted on {day}, run on {ran}, and today is {today}")
    if ran < FIRST_DAY or day < ran - _DAY:
        raise InputError(f"was submitted on {day}, but run on {ran}: a run is before its submission, after {FIRST_DAY}")
    seconds = result.provenance.get("seconds")
    if not _number(seconds) or not 0 <= float(seconds or 0) < 366 * 86400:
        raise InputError(f"{RESULT_FILE}, provenance.seconds: must be a number of seconds from 0, below a year")


def _check_provenance(result: Result, form: Form) -> None:
    given = result.provenance
    seed = given.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"{RESULT_FILE}, provenance.seed: must be a whole number from 0")
    if seed not in form.seeds:
        raise InputError(f"{FORM_FILE}, seeds: the result's own seed, {seed}, is not among those that were run")
    for name in ("conceptbench", "dataset"):
        if not isinstance(given.get(name), str):
            raise InputError(f"{RESULT_FILE}, provenance.{name}: must be a text")
    if _SHA256.fullmatch(str(given.get("dataset_sha256"))) is None:
        raise InputError(f"{RESULT_FILE}, provenance.dataset_sha256: must be a SHA-256 in hex")
    cost = given.get("cost_usd")
    if cost is not None and (not _number(cost) or cost < 0):
        raise InputError(f"{RESULT_FILE}, provenance.cost_usd: must be null or a number from 0")
    tokens = given.get("tokens", {"in": 0, "out": 0})
    if (
        not isinstance(tokens, dict)
        or set(tokens) != {"in", "out"}
        or not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in tokens.values())
    ):
        raise InputError(f"{RESULT_FILE}, provenance.tokens: must have in and out, whole numbers from 0")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
