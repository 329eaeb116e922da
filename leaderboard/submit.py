"""Submitting a result: it is checked, then pull requests are opened to the board's repo and to the model's."""

from __future__ import annotations

import datetime
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from conceptbench.eval.result import RECORDS_FILE, RESULT_FILE, Result, read_result
from conceptbench.eval.run import Run, open_run
from conceptbench.leaderboard.form import FORM_FILE, Form, read_form
from conceptbench.leaderboard.names import folder_of
from conceptbench.leaderboard.settings import SETTINGS_FILE, SUBMISSIONS, Board
from conceptbench.leaderboard.submission import Location
from conceptbench.leaderboard.verify import check_submission
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import sha256, whole, write_json
from conceptbench.runtime.hub import hub_errors, hub_session, require_token
from conceptbench.runtime.texts import fault_of_text, shown

if TYPE_CHECKING:
    from huggingface_hub import Discussion, HfApi

EVAL_RESULTS: Final = ".eval_results"
"""The folder of a model's repo that holds the entries of the Hub's own leaderboards."""

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_NOT_SENT = "holds raw replies that a board does not take; they are left out of what is sent"


@dataclass(frozen=True)
class File:
    """A file of a pull request: its path in the repo, and its content."""

    path: str
    content: bytes


@dataclass(frozen=True)
class PullRequest:
    """The pull request to one repo."""

    repo: str
    repo_type: str
    title: str
    description: str
    files: Sequence[File]


@dataclass(frozen=True)
class Parcel:
    """Everything that a submission sends.

    Attributes
    ----------
    submission : its name on the board, `<system>/<task>/<date>`.
    main : the metric that systems are ranked by; None where the result has none.
    pull_requests : first that to the board's repo.
    notes : for the submitter to read before anything is sent.
    """

    submission: str
    main: str | None
    pull_requests: Sequence[PullRequest]
    notes: Sequence[str]


def pack(
    result: str | Path,
    *,
    board: str,
    model_repo: str | None = None,
    dataset: str | None = None,
    form: Mapping[str, Any] | None = None,
    datasets: Mapping[tuple[str, str], str] | None = None,
    today: datetime.date | None = None,
) -> Parcel:
    """Check a result as the board will, and put together everything that is to be sent.

    Parameters
    ----------
    result : a result's folder, or its file.
    board : the Hub dataset repo of the board's submissions, or the local folder of a board, see `put`.
    model_repo : the Hub model repo that gets an entry in `.eval_results/`; none where None.
    dataset : the Hub dataset repo that holds the benchmark's `eval.yaml`; by default that of the board.
    form : fields of the form; by default the system's name and the result's seed.
    datasets : those that the board accepts beside the package's own, as in its settings.
    today : the day of the submission; by default today, in UTC.

    Raises
    ------
    InputError
        if the board would reject the result; the message is the reason.
    """
    repos = {"--board": None if is_local(board) else board, "--model-repo": model_repo, "--dataset": dataset}
    for name, value in repos.items():
        if value is not None:
            _check_repo(name, value)
    if is_local(board) and model_repo is not None:
        raise InputError("--model-repo: it goes with a board on the Hub, not with a folder")
    run = open_run(result)
    today = today or datetime.datetime.now(datetime.UTC).date()
    filled = read_form({"schema": "conceptbench.form/1", **_default_form(run.result), **(form or {})})
    name = f"{folder_of(run.result.system, filled.variant)}/{run.result.task}/{today.isoformat()}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        folder.mkdir(parents=True)
        notes = _write(folder, run, filled)
        settings = Board(Path(scratch), Path(scratch), datasets=datasets or {})
        check_submission(Location(name, folder), settings)
        files = [
            File(f"{SUBMISSIONS}/{name}/{file}", (folder / file).read_bytes())
            for file in (FORM_FILE, RESULT_FILE, RECORDS_FILE)
        ]
    requests = [PullRequest(board, "dataset", f"Submit {name}", _summary(run, filled), files)]
    if model_repo is not None:
        requests.append(_to_model(run, board, dataset or board, model_repo))
    return Parcel(name, run.main, requests, notes)


def is_local(board: str) -> bool:
    """Tell whether a board is a local folder with `submissions/` in it."""
    return (Path(board) / SUBMISSIONS).is_dir()


def put(parcel: Parcel, board: str | Path) -> Path:
    """Write a submission into the local folder of a board.

    Returns
    -------
    the submission's folder.

    Raises
    ------
    InputError
        if there is another submission of that name.
    """
    root = Path(board)
    for file in parcel.pull_requests[0].files:
        path = root / file.path
        if path.exists() and path.read_bytes() != file.content:
            raise InputError(f"{path} is there already, and is another: remove it, or submit on another day")
    for file in parcel.pull_requests[0].files:
        with whole(root / file.path) as temporary:
            temporary.write_bytes(file.content)
    return root / SUBMISSIONS / parcel.submission


def send(parcel: Parcel, note: Callable[[str], None] = lambda _text: None) -> list[str]:
    """Open the pull requests.

    Parameters
    ----------
    note : is called with a message for each wait and retry.

    Returns
    -------
    the addresses of the pull requests.

    Raises
    ------
    ConceptBenchError
        if the Hub refuses one. Those that were opened before it stay open, and the message names them.
    """
    require_token("submitting")
    opened: list[str] = []
    for request in parcel.pull_requests:
        try:
            opened.append(_open_pull_request(request, note))
        except ConceptBenchError as error:
            if not opened:
                raise
            raise ConceptBenchError(f"{error}. Opened before, and still open: {', '.join(opened)}") from error
    return opened


def fetch_datasets(board: str, note: Callable[[str], None] = lambda _text: None) -> Mapping[tuple[str, str], str]:
    """Read from the board's repo which datasets the board accepts beside the package's own.

    Raises
    ------
    ConceptBenchError
        if the settings cannot be read from the Hub.
    """
    from huggingface_hub import HfApi

    from conceptbench.leaderboard.settings import open_board

    _check_repo("--board", board)
    with hub_session(note), hub_errors(f"reading the settings of {board}"):
        api = HfApi()
        if not api.file_exists(board, SETTINGS_FILE, repo_type="dataset"):
            return {}
        with tempfile.TemporaryDirectory() as scratch:
            api.hf_hub_download(board, SETTINGS_FILE, repo_type="dataset", local_dir=scratch)
            (Path(scratch) / SUBMISSIONS).mkdir()
            return open_board(scratch).datasets


def _open_pull_request(request: PullRequest, note: Callable[[str], None]) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi

    operations = [CommitOperationAdd(file.path, file.content) for file in request.files]
    with hub_session(note), hub_errors(f"opening a pull request to {request.repo}"):
        api = HfApi()
        earlier = _earlier_pull_request(api, request)
        commit = api.create_commit(
            request.repo,
            operations,
            repo_type=request.repo_type,
            commit_message=request.title,
            commit_description=request.description,
            revision=None if earlier is None else earlier.git_reference,
            create_pr=earlier is None,
        )
    return str(commit.pr_url if earlier is None else earlier.url)


def _earlier_pull_request(api: HfApi, request: PullRequest) -> Discussion | None:
    """Find an open pull request of an earlier try, which is updated instead of opening a second one."""
    user = api.whoami()["name"]
    pull_requests = api.get_repo_discussions(
        request.repo, repo_type=request.repo_type, author=user, discussion_type="pull_request", discussion_status="open"
    )
    return next((each for each in pull_requests if each.title == request.title and each.author == user), None)


def _check_repo(name: str, repo: str) -> None:
    if _REPO.fullmatch(repo) is None or "--" in repo or ".." in repo:
        raise InputError(
            f"{name} {shown(repo)}: is no repo's name; give ORG/NAME, or as --board a folder with {SUBMISSIONS}/ in it"
        )


def _default_form(result: Result) -> dict[str, Any]:
    decoding = result.provenance.get("decoding")
    plain = {name: value for name, value in (decoding or {}).items() if isinstance(value, str | int | float | None)}
    return {"name": result.system, "seeds": [result.provenance["seed"]], "decoding": plain}


def _write(folder: Path, run: Run, form: Form) -> list[str]:
    """Write the three files without raw replies that would be refused, on which no score depends; give notes on it."""
    table = pq.ParquetFile(run.folder / RECORDS_FILE).read()
    cleaned = _without_raw(table)
    notes = [] if cleaned is None else [f"{RECORDS_FILE}: {_NOT_SENT}"]
    records = folder / RECORDS_FILE
    if cleaned is None:
        records.write_bytes((run.folder / RECORDS_FILE).read_bytes())
    else:
        pq.write_table(cleaned, records, compression="zstd")
    content = run.result.to_json() | {"records_sha256": sha256(records)}
    write_json(folder / RESULT_FILE, content)
    write_json(folder / FORM_FILE, form.to_json())
    read_result(folder)
    return notes


def _without_raw(table: pa.Table) -> pa.Table | None:
    """Give the records without the raw replies that a board refuses; None where there are none of these."""
    rows = table.to_pylist()
    # The fields called `raw` hold the unparsed replies of models for people to read; scoring never reads them.
    left_out = sum(_drop_raw(row) for row in rows)
    return pa.Table.from_pylist(rows, schema=table.schema) if left_out else None


def _drop_raw(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_drop_raw, value))
    if not isinstance(value, dict):
        return 0
    count = sum(map(_drop_raw, value.values()))
    if isinstance(value.get("raw"), str) and fault_of_text(value["raw"]):
        value["raw"] = None
        count += 1
    return count


def _summary(run: Run, form: Form) -> str:
    main = "no main metric" if run.main is None else f"{run.main} {run.result.metrics[run.main].value:.3f}"
    return f"{form.name} on {run.result.task} {run.result.task_version}: {main}, self-reported."


def _to_model(run: Run, board: str, dataset: str, model_repo: str) -> PullRequest:
    """Make the entry with which the Hub's own leaderboard shows the result."""
    from huggingface_hub import EvalResultEntry, constants, eval_result_entries_to_yaml

    candidates = (run.task.board.hub_metric, run.main)
    name = next((metric for metric in candidates if metric in run.result.metrics), None)
    if name is None:
        raise InputError(f"--model-repo {model_repo}: the result has no main metric of {run.result.task} to report")
    metric = run.result.metrics[name]
    entry = EvalResultEntry(
        dataset_id=dataset,
        task_id=run.result.task,
        value=metric.value,
        date=run.result.provenance["started"],
        source_url=f"{constants.ENDPOINT}/datasets/{board}",
        source_name="ConceptBench leaderboard",
        notes=f"{name}, 95 % interval {metric.low:.3f} to {metric.high:.3f}, n {metric.n}, "
        f"seed {run.result.provenance['seed']}, {run.result.task} {run.result.task_version}",
    )
    text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)
    path = f"{EVAL_RESULTS}/{dataset.replace('/', '--')}-{run.result.task}.yaml"
    return PullRequest(
        model_repo,
        "model",
        f"Add the ConceptBench result on {run.result.task}",
        "An entry for the Hub's leaderboard of the benchmark.",
        [File(path, text.encode())],
    )


def parcel_json(parcel: Parcel) -> dict[str, Any]:
    """Give everything that is to be sent as JSON: files with their sizes, and the small ones with their contents."""
    return {
        "submission": parcel.submission,
        "main": parcel.main,
        "notes": list(parcel.notes),
        "pull_requests": [
            {
                "repo": request.repo,
                "repo_type": request.repo_type,
                "title": request.title,
                "files": [
                    {"path": file.path, "bytes": len(file.content), "shown": _contents_shown(file)}
                    for file in request.files
                ],
            }
            for request in parcel.pull_requests
        ],
    }


def _contents_shown(file: File) -> Any:
    if file.path.endswith(FORM_FILE):
        return json.loads(file.content)
    return file.content.decode() if file.path.endswith(".yaml") else None
