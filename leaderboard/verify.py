"""Verification: every submission is data from a stranger, and every number is computed again before it counts."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from conceptbench.eval.report.write import TOLERANCE
from conceptbench.eval.result import Metric, package_version
from conceptbench.eval.run import TASKS
from conceptbench.leaderboard.documents import read_object
from conceptbench.leaderboard.items import check_items
from conceptbench.leaderboard.names import fault_of_folder, skeleton
from conceptbench.leaderboard.reported import reported_figures
from conceptbench.leaderboard.settings import Board, open_board
from conceptbench.leaderboard.submission import Place, Submission, file_digest, places, read_submission
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import write_json
from conceptbench.runtime.models import MINILM, model_folder
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.texts import shown

VERDICT_SCHEMA: Final = "conceptbench.verdict/1"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"

ENCODER_TOLERANCE: Final = 1e-3
"""Metrics that an encoder computes may differ by this much: its last digits hang on the machine, and a rank flips."""

_OF_ENCODER = (
    "bertscore",
    "discrimination",
    "explanation_similarity",
    "gold_similarity",
    "identification",
    "label_correlation",
)
_LARGEST_VERDICT = 1 << 16


@dataclass(frozen=True)
class Verdict:
    """What came of a submission: accepted, or rejected for a reason of one line.

    `digest` is that of the submission's files, `check` names what verified it, `items` what it was asked. `clash` marks
    a rejection for what other submissions are, not for what this one is.
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
    """A submission with its verdict; None where it could not even be read, or is rejected."""

    verdict: Verdict
    submission: Submission | None


def verify(path: str | Path, *, again: bool = False, progress: Progress | None = None) -> list[Checked]:
    """Verify all submissions of a board, and write each verdict to its folder `verdicts/`.

    What has not changed since a verdict of this version is not computed again.

    Parameters
    ----------
    path : a board's folder, with `submissions/` in it.
    again : compute everything again all the same.

    Raises
    ------
    InputError
        if there is no board there, or the pinned encoder is not installed; what is wrong with a submission is its
        verdict.
    """
    board = open_board(path)
    found = list(places(board.submissions))
    if found:
        # What this machine lacks must not become the verdict on a submission.
        model_folder(MINILM)
    progress = progress or Silent()
    checked = []
    with progress.stage("Verifying submissions", len(found)) as advance:
        for place in found:
            checked.append(_verified(place, board, again, progress))
            advance(1)
    checked = _without_clashes(checked, board)
    for own in checked:
        _write(own.verdict, board)
    return checked


def check_submission(place: Place, board: Board) -> tuple[Submission, str]:
    """Check one submission by itself; give it with the digest of its items.

    Raises
    ------
    ConceptBenchError
        if it is not as it must be; the message says why.
    """
    submission = read_submission(place)
    items = check_items(submission, board)
    _check_metrics(submission)
    return submission, items


def _verified(place: Place, board: Board, again: bool, progress: Progress) -> Checked:
    check = _check_name(board)
    digest = ""
    try:
        if not place.fault:
            digest = file_digest(place.folder)
        known = None if again else _known(place.name, board)
        if (
            known is not None
            and digest
            and known.digest == digest
            and not known.clash
            and (reused := _reused(known, place, check))
        ):
            return reused
        submission, items = check_submission(place, board)
    except ConceptBenchError as error:
        reason = str(error).replace(f"{place.folder}/", "")
    except Exception as error:  # noqa: BLE001 - one bad submission must not keep the others from their verdicts
        reason = f"cannot be scored ({type(error).__name__}: {shown(str(error))})"
        progress.note(
            f"{place.name}: {reason}. If a run of `conceptbench eval` wrote it, this is a bug: please report it."
        )
    else:
        return Checked(Verdict(place.name, ACCEPTED, "", digest, check, items), submission)
    return Checked(Verdict(place.name, REJECTED, " ".join(reason.split()), digest, check), None)


def _reused(known: Verdict, place: Place, check: str) -> Checked | None:
    """Take over a verdict on files that did not change; of an earlier version, only where that alone could give it."""
    if not known.accepted:
        return Checked(known, None) if known.check == check else None
    submission = read_submission(place, verified=True)
    return Checked(known, submission) if known.check == check or submission.archived else None


def _check_metrics(submission: Submission) -> None:
    """Compute all metrics again, and compare."""
    result = submission.result
    found = TASKS[result.task].recompute(submission.folder, result, None)
    for name in [*result.metrics, *found]:
        stated, right = result.metrics.get(name), found.get(name)
        if stated is None or right is None or not _same(stated, right, _tolerance(name)):
            raise InputError(
                f"result.json: metric {shown(name)} is {_exact(stated)}, but {_exact(right)} by its records"
            )


def _tolerance(name: str) -> float:
    return ENCODER_TOLERANCE if name.startswith(_OF_ENCODER) else TOLERANCE


def _same(stated: Metric, right: Metric, within: float) -> bool:
    pairs = ((stated.value, right.value), (stated.low, right.low), (stated.high, right.high))
    return stated.n == right.n and all(abs(one - other) <= within for one, other in pairs)


def _exact(metric: Metric | None) -> str:
    return "absent" if metric is None else f"{metric.value:.6g} ({metric.low:.6g} to {metric.high:.6g}, n {metric.n})"


def _without_clashes(checked: Sequence[Checked], board: Board) -> list[Checked]:
    """Reject names that are taken, and answers that were submitted before: who was accepted first stays."""
    owners = {skeleton(own.name): f"{own.name}, a published figure" for own in reported_figures()}
    folders: dict[str, Submission] = {}
    answers: dict[str, str] = {}
    clashes: dict[str, str] = {}
    accepted = [own.submission for own in checked if own.submission is not None]
    for submission in sorted(accepted, key=lambda own: (*_seniority(own, board), own.name)):
        clash = _clash(submission, owners, folders, answers, board)
        if clash:
            clashes[submission.name] = clash
            continue
        owners.setdefault(skeleton(submission.form.name), submission.system_folder)
        folders.setdefault(skeleton(submission.system_folder), submission)
        if submission.name not in board.rerun:
            answers.setdefault(_answers(submission), submission.name)
    return [
        Checked(replace(own.verdict, verdict=REJECTED, reason=clashes[own.verdict.submission], clash=True), None)
        if own.verdict.submission in clashes
        else own
        for own in checked
    ]


def _seniority(submission: Submission, board: Board) -> tuple[bool, str]:
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
    """Digest the records but for the raw replies, which are only for show."""
    if submission.archived:
        return submission.result.records_sha256
    columns = [name for name in submission.records.schema.names if name != "raw"]
    rows = submission.records.select(columns).to_pylist()
    return hashlib.sha256(json.dumps([submission.result.task, rows], separators=(",", ":")).encode()).hexdigest()


def _check_name(board: Board) -> str:
    """Name what decides on a submission by itself: this version, and the datasets that the board takes."""
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
        # One that cannot be read is made again.
        return None


def _write(verdict: Verdict, board: Board) -> None:
    if _known(verdict.submission, board) == verdict:
        return
    decided = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(
        _verdict_file(verdict.submission, board), {"schema": VERDICT_SCHEMA, **asdict(verdict), "decided": decided}
    )


def rejected(checked: Sequence[Checked]) -> Iterator[Verdict]:
    """Give the verdicts of those that are rejected."""
    return (own.verdict for own in checked if not own.verdict.accepted)
