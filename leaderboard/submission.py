"""Submissions: folders with a form, a result and its records, which are read as data from strangers."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from conceptbench.eval.result import RECORDS_FILE, RESULT_FILE, Result, parse_result
from conceptbench.eval.run import Run
from conceptbench.eval.tasks import task_names, task_of
from conceptbench.leaderboard.documents import read_bytes, read_object, texts_in
from conceptbench.leaderboard.form import FORM_FILE, LARGEST_SEED, Form, read_form
from conceptbench.leaderboard.names import fault_of_folder, fault_of_name, folder_of
from conceptbench.leaderboard.records import read_untrusted
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import fault_of_text, shown

LARGEST: Final[Mapping[str, int]] = {FORM_FILE: 1 << 18, RESULT_FILE: 8 << 20, RECORDS_FILE: 256 << 20}
"""The three files of a submission, each with the most bytes that it may have."""

FIRST_DAY: Final = datetime.date(2025, 1, 1)
MOST_METRICS: Final = 20_000

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SYSTEM = re.compile(r"[A-Za-z0-9][\w./:@+ -]*", re.ASCII)
_IGNORED = frozenset({"README.md", ".gitkeep"})
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Location:
    """Where a submission lies.

    Attributes
    ----------
    name : `<system>/<task>/<date>`.
    folder : that of its three files.
    fault : why no submission can lie there; empty where one can.
    """

    name: str
    folder: Path
    fault: str = ""


@dataclass(frozen=True)
class Submission:
    """A submission whose files have the right shape; its numbers have not been checked yet.

    Attributes
    ----------
    name : `<system>/<task>/<date>`.
    folder : that of its three files.
    form, result : what the submitter states.
    records : without columns where they were verified with an earlier version of the task, and are not read again.
    digest : of the three files.
    """

    name: str
    folder: Path
    form: Form
    result: Result
    records: pa.Table
    digest: str

    @property
    def date(self) -> str:
        """The day after which its folder is named."""
        return self.name.rpartition("/")[2]

    @property
    def archived(self) -> bool:
        """Whether it is of an earlier version of its task, and its records were not read."""
        return bool(self.records.num_columns == 0)

    @property
    def system_folder(self) -> str:
        """The name of its system's folder."""
        return self.name.partition("/")[0]

    @cached_property
    def run(self) -> Run:
        """The run that it states, which is scored once however often its scores are asked for."""
        return Run(self.folder, self.result, task_of(self.result.task))


def locations(root: Path) -> Iterator[Location]:
    """Find the submissions below a folder, three levels down, in order; no link is followed.

    Anything else that lies there, except for a README.md, gives a location with a fault.
    """
    yield from _below(root, ())


def file_digest(folder: Path) -> str:
    """Digest the three files of a submission.

    Raises
    ------
    InputError
        if one is missing, too large or no regular file, or there are other files.
    """
    _check_files(folder)
    digest = hashlib.sha256()
    for name, largest in LARGEST.items():
        digest.update(hashlib.sha256(read_bytes(folder / name, largest)).digest())
    return digest.hexdigest()


def read_submission(location: Location, today: datetime.date | None = None, *, verified: bool = False) -> Submission:
    """Read a submission.

    Parameters
    ----------
    today : the latest day on which it may have been submitted; by default today, in UTC.
    verified : whether the same files were accepted before; they may then be of an earlier version of the task, and
        their records are not read.

    Raises
    ------
    InputError
        if a name, a file, a field or a value is not as it must be; the message is one line.
    """
    if location.fault:
        raise InputError(location.fault)
    system, task, date = location.name.split("/")
    digest = file_digest(location.folder)
    form = read_form(read_object(location.folder / FORM_FILE, LARGEST[FORM_FILE]))
    result = _result(read_object(location.folder / RESULT_FILE, LARGEST[RESULT_FILE]))
    _check_location(result, form.variant, system, task)
    version = task_of(task).version
    outdated = result.task_version != version
    if outdated and not verified:
        raise InputError(
            f"is of {task} {shown(result.task_version)}; this version scores {task} {version}: run it again"
        )
    _check_days(result, _day(date), today or datetime.datetime.now(datetime.UTC).date())
    _check_provenance(result, form)
    path = location.folder / RECORDS_FILE
    if hashlib.sha256(read_bytes(path, LARGEST[RECORDS_FILE])).hexdigest() != result.records_sha256:
        raise InputError(f"{RECORDS_FILE}: was changed since the run: its digest is not that of {RESULT_FILE}")
    records = pa.table({}) if outdated else read_untrusted(path, task)
    return Submission(location.name, location.folder, form, result, records, digest)


def _below(folder: Path, above: tuple[str, ...]) -> Iterator[Location]:
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        parts = (*above, entry.name)
        name = "/".join(part if not fault_of_folder(part) else shown(part, 100)[1:-1] for part in parts)
        path = Path(entry.path)
        if entry.is_symlink():
            yield Location(name, path, "is a symbolic link")
        elif entry.name in _IGNORED and len(parts) == 1:
            continue
        elif not entry.is_dir(follow_symlinks=False):
            yield Location(name, path, "is a file where a folder belongs: submissions/<system>/<task>/<date>/")
        elif fault := fault_of_folder(entry.name):
            yield Location(name, path, f"the folder's name {fault}")
        elif len(parts) < 3:
            yield from _below(path, parts)
        else:
            yield Location(name, path)


def _check_files(folder: Path) -> None:
    with os.scandir(folder) as entries:
        names = {entry.name for entry in islice(entries, 100)}
    unknown = sorted(names - set(LARGEST))
    missing = sorted(set(LARGEST) - names)
    if unknown:
        raise InputError(f"holds {shown(unknown[0])} besides {', '.join(LARGEST)}")
    if missing:
        raise InputError(f"lacks {missing[0]}")


def _result(content: Mapping[str, Any]) -> Result:
    for where, text in texts_in(content):
        if fault := fault_of_text(text):
            raise InputError(f"{RESULT_FILE}, {where}: {fault}")
    result = parse_result(content, RESULT_FILE)
    if not 1 <= len(result.metrics) <= MOST_METRICS:
        raise InputError(f"{RESULT_FILE}, metrics: must be from 1 to {MOST_METRICS:,}, not {len(result.metrics):,}")
    return result


def _check_location(result: Result, variant: str, system: str, task: str) -> None:
    if result.task not in task_names():
        raise InputError(f"{RESULT_FILE}: there is no task {shown(result.task)}; there are {', '.join(task_names())}")
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
        # `fromisoformat` alone also accepts weeks, and dates without dashes.
        return datetime.date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise InputError("the last folder must be a date, such as 2026-11-21") from error


def _check_days(result: Result, day: datetime.date, today: datetime.date) -> None:
    try:
        started = datetime.datetime.fromisoformat(str(result.provenance.get("started")))
    except ValueError as error:
        raise InputError(f"{RESULT_FILE}, provenance.started: is no time such as 2026-11-21T20:15:00+00:00") from error
    if started.tzinfo is None:
        raise InputError(f"{RESULT_FILE}, provenance.started: has no time zone")
    ran = started.astimezone(datetime.UTC).date()
    # The world's clocks are up to a day apart.
    if day > today + _DAY or ran > today + _DAY:
        raise InputError(f"is from the future: submitted on {day}, run on {ran}, and today is {today}")
    if ran < FIRST_DAY or day < ran - _DAY:
        raise InputError(
            f"was submitted on {day}, but run on {ran}: a run is before its submission and after {FIRST_DAY}"
        )
    seconds = result.provenance.get("seconds")
    if not _number(seconds) or not 0 <= float(seconds or 0) < 366 * 86400:
        raise InputError(f"{RESULT_FILE}, provenance.seconds: must be a number of seconds from 0, below a year")


def _check_provenance(result: Result, form: Form) -> None:
    provenance = result.provenance
    seed = provenance.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"{RESULT_FILE}, provenance.seed: must be a whole number from 0")
    if seed not in form.seeds:
        raise InputError(f"{FORM_FILE}, seeds: the seed of the result, {seed}, is not among those that were run")
    for name in ("conceptbench", "dataset"):
        if not isinstance(provenance.get(name), str):
            raise InputError(f"{RESULT_FILE}, provenance.{name}: must be a text")
    if _SHA256.fullmatch(str(provenance.get("dataset_sha256"))) is None:
        raise InputError(f"{RESULT_FILE}, provenance.dataset_sha256: must be a SHA-256 in hex")
    cost = provenance.get("cost_usd")
    if cost is not None and (not _number(cost) or cost < 0):
        raise InputError(f"{RESULT_FILE}, provenance.cost_usd: must be null or a number from 0")
    tokens = provenance.get("tokens", {"in": 0, "out": 0})
    if (
        not isinstance(tokens, dict)
        or set(tokens) != {"in", "out"}
        or not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in tokens.values())
    ):
        raise InputError(f"{RESULT_FILE}, provenance.tokens: must have in and out, whole numbers from 0")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
