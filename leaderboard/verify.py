"""Verification: a submission is data from a stranger, and all of its numbers are computed again from its records."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from conceptbench.eval.result import package_version
from conceptbench.eval.run import TOLERANCE, exact, same_metric
from conceptbench.eval.task import Task
from conceptbench.leaderboard.documents import read_object
from conceptbench.leaderboard.items import check_items
from conceptbench.leaderboard.names import fault_of_folder, skeleton
from conceptbench.leaderboard.reported import reported_figures
from conceptbench.leaderboard.settings import Board, open_board
from conceptbench.leaderboard.submission import Location, Submission, file_digest, locations, read_submission
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import write_json
from conceptbench.runtime.models import MINILM, model_folder
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.texts import shown

VERDICT_SCHEMA: Final = "conceptbench.verdict/1"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"

ENCODER_TOLERANCE: Final = 1e-3
"""Metrics that an encoder computes may differ by this much: its last digits depend on the machine, and may turn ranks
around."""

_LARGEST_VERDICT = 1 << 16


@dataclass(frozen=True)
class Verdict:
    """The decision on a submission.

    Attributes
    ----------
    submission : its name.
    verdict : `accepted` or `rejected`.
    reason : why it is rejected, in one line.
    digest : of the submission's files.
    check : names the version and the settings that it was verified with.
    items : the digest of its items.
    clash : whether it is rejected because of another submission, such as one that has the same name.
    """

    submission: str
    verdict: str
    reason: str = ""
    digest: str = ""
    check: str = ""
    items: str = ""
    clash: bool = False

    @property
    def accepted(self) -> bool:
        """Whether it counts."""
        return self.verdict == ACCEPTED


@dataclass(frozen=True)
class Checked:
    """A verdict with the submission; None where that is rejected."""

    verdict: Verdict
    submission: Submission | None


def verify(path: str | Path, *, again: bool = False, progress: Progress | None = None) -> list[Checked]:
    """Verify all submissions of a board, and write each verdict to its folder `verdicts/`.

    A submission that has not changed since a verdict of this version is not verified again.

    Parameters
    ----------
    path : a board's folder, with `submissions/` in it.
    again : whether to verify every submission, even one that has not changed.

    Raises
    ------
    InputError
        if there is no board there, or the pinned encoder is not installed. An error in a submission is not raised; it
        is the reason of its verdict.
    """
    board = open_board(path)
    to_verify = list(locations(board.submissions))
    if to_verify:
        # A model that is missing on this machine must not become the verdict on a submission.
        model_folder(MINILM)
    progress = progress or Silent()
    checked = []
    with progress.stage("Verifying submissions", len(to_verify)) as advance:
        for location in to_verify:
            checked.append(_verified(location, board, again, progress))
            advance(1)
    checked = _without_clashes(checked, board)
    for each in checked:
        _write(each.verdict, board)
    return checked


def check_submission(location: Location, board: Board) -> tuple[Submission, str]:
    """Check one submission by itself; give it with the digest of its items.

    Raises
    ------
    ConceptBenchError
        if it is not as it must be; the message says why.
    """
    submission = read_submission(location)
    items = check_items(submission, board)
    _check_metrics(submission)
    return submission, items


def _verified(location: Location, board: Board, again: bool, progress: Progress) -> Checked:
    check = _check_name(board)
    digest = ""
    try:
        if not location.fault:
            digest = file_digest(location.folder)
        known = None if again else _known(location.name, board)
        if (
            known is not None
            and digest
            and known.digest == digest
            and not known.clash
            and (reused := _reused(known, location, check))
        ):
            return reused
        submission, items = check_submission(location, board)
    except ConceptBenchError as error:
        reason = str(error).replace(f"{location.folder}/", "")
    except Exception as error:  # noqa: BLE001 - one bad submission must not keep the others from their verdicts
        reason = f"cannot be scored ({type(error).__name__}: {shown(str(error))})"
        progress.note(
            f"{location.name}: {reason}. If a run of `conceptbench eval` wrote it, this is a bug: please report it."
        )
    else:
        return Checked(Verdict(location.name, ACCEPTED, "", digest, check, items), submission)
    return Checked(Verdict(location.name, REJECTED, " ".join(reason.split()), digest, check), None)


def _reused(known: Verdict, location: Location, check: str) -> Checked | None:
    """Reuse a verdict on files that did not change; that of an earlier version only where this one cannot decide."""
    if not known.accepted:
        return Checked(known, None) if known.check == check else None
    submission = read_submission(location, verified=True)
    return Checked(known, submission) if known.check == check or submission.archived else None


def _check_metrics(submission: Submission) -> None:
    """Compute all metrics again from the records, and compare them with those of the result."""
    stated, computed, task = submission.result.metrics, submission.run.metrics, submission.run.task
    for name in {**stated, **computed}:
        if not same_metric(stated.get(name), computed.get(name), _tolerance(name, task)):
            raise InputError(
                f"result.json: metric {shown(name)} is {exact(stated.get(name))}, but {exact(computed.get(name))} by "
                "its records"
            )


def _tolerance(key: str, task: Task) -> float:
    metric = task.metric(task.key(key).name)
    return ENCODER_TOLERANCE if metric is not None and metric.by_encoder else TOLERANCE


def _without_clashes(checked: Sequence[Checked], board: Board) -> list[Checked]:
    """Reject names that are taken, and answers that were submitted before; the first accepted submission stays."""
    owners = {skeleton(figure.name): f"{figure.name}, a published figure" for figure in reported_figures()}
    folders: dict[str, Submission] = {}
    answers: dict[str, str] = {}
    clashes: dict[str, str] = {}
    accepted = [each.submission for each in checked if each.submission is not None]
    for submission in sorted(accepted, key=lambda accepted: (*_seniority(accepted, board), accepted.name)):
        clash = _clash(submission, owners, folders, answers, board)
        if clash:
            clashes[submission.name] = clash
            continue
        owners.setdefault(skeleton(submission.form.name), submission.system_folder)
        folders.setdefault(skeleton(submission.system_folder), submission)
        if submission.name not in board.rerun:
            answers.setdefault(_answers(submission), submission.name)
    return [
        Checked(replace(each.verdict, verdict=REJECTED, reason=clashes[each.verdict.submission], clash=True), None)
        if each.verdict.submission in clashes
        else each
        for each in checked
    ]


def _seniority(submission: Submission, board: Board) -> tuple[bool, str]:
    """Give a sort key: submissions that have a verdict come first, then the earlier ones."""
    known = _known(submission.name, board)
    return known is None or not known.accepted or known.digest != submission.digest, submission.date


def _clash(
    submission: Submission,
    owners: Mapping[str, str],
    folders: Mapping[str, Submission],
    answers: Mapping[str, str],
    board: Board,
) -> str:
    owner = owners.get(skeleton(submission.form.name), submission.system_folder)
    if owner != submission.system_folder:
        return f"form.json, name: {shown(submission.form.name)} is taken, or is easily mistaken for the name of {owner}"
    first = folders.get(skeleton(submission.system_folder))
    if (
        first is not None
        and first.result.system != submission.result.system
        and submission.result.task == first.result.task
    ):
        return f"its system's name is taken, or is easily mistaken for that of {first.system_folder}"
    if first is not None and first.system_folder != submission.system_folder:
        return f"its system's folder is easily mistaken for {first.system_folder}, which was there first"
    if submission.name not in board.rerun:
        twin = answers.get(_answers(submission))
        if twin is not None:
            return f"its answers are those of {twin}, which was there first"
    return ""


def _answers(submission: Submission) -> str:
    """Digest the records without the raw replies, on which no score depends."""
    if submission.archived:
        return submission.result.records_sha256
    columns = [name for name in submission.records.schema.names if name != "raw"]
    rows = submission.records.select(columns).to_pylist()
    return hashlib.sha256(json.dumps([submission.result.task, rows], separators=(",", ":")).encode()).hexdigest()


def _check_name(board: Board) -> str:
    """Name what the verdict on a single submission depends on: this version, and the datasets of the board."""
    decides = json.dumps([package_version(), sorted(map(list, board.datasets))])
    return f"{package_version()}+{hashlib.sha256(decides.encode()).hexdigest()[:12]}"


def _verdict_file(name: str, board: Board) -> Path:
    if all(not fault_of_folder(part) for part in name.split("/")):
        return board.verdicts / f"{name}.json"
    return board.verdicts / "unnamed" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def _known(name: str, board: Board) -> Verdict | None:
    path = _verdict_file(name, board)
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = read_object(path, _LARGEST_VERDICT)
        if content.pop("schema", None) != VERDICT_SCHEMA:
            return None
        content.pop("decided", None)
        return Verdict(**content)
    except (InputError, TypeError):
        # A verdict that cannot be read is made again.
        return None


def _write(verdict: Verdict, board: Board) -> None:
    if _known(verdict.submission, board) == verdict:
        return
    decided = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(
        _verdict_file(verdict.submission, board), {"schema": VERDICT_SCHEMA, **asdict(verdict), "decided": decided}
    )


def rejected(checked: Sequence[Checked]) -> Iterator[Verdict]:
    """Give the verdicts on the submissions that are rejected."""
    return (each.verdict for each in checked if not each.verdict.accepted)
