"""Building a board: rankings of the accepted submissions, with the rejected ones and the figures that papers report."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from conceptbench.eval.result import Metric, Result, package_version
from conceptbench.eval.task import PanelRanking, Task
from conceptbench.eval.tasks import task_names, task_of
from conceptbench.leaderboard.names import folder_of
from conceptbench.leaderboard.page import write_page
from conceptbench.leaderboard.ranking import Ranking, Scored, rank_systems
from conceptbench.leaderboard.reported import Figure, reported_figures
from conceptbench.leaderboard.settings import SETTINGS_FILE, Board, open_board
from conceptbench.leaderboard.split import read_splits
from conceptbench.leaderboard.submission import Submission
from conceptbench.leaderboard.tables import csv_text, markdown_text
from conceptbench.leaderboard.verify import Checked, rejected, verify
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import whole, write_text
from conceptbench.runtime.progress import Progress, Silent

BOARD_SCHEMA: Final = "conceptbench.board/1"

_MOST_RECORDS_SHOWN = 200
_MOST_PARTS_SHOWN = 12
_LONGEST_CELL = 300
_NOT_STATED = 0


@dataclass(frozen=True)
class _Entry:
    """An accepted submission, and the digest of its items."""

    submission: Submission
    items: str


@dataclass(frozen=True)
class _Table:
    """The entries of the same items and one version of a task.

    Attributes
    ----------
    main : the metric that they are ranked by; None where they have none in common.
    why_not : why they are not ranked; empty where they are.
    suffix : what tells a second table of the same entries from the first.
    """

    task: Task
    version: str
    items: str
    entries: Sequence[_Entry]
    main: str | None
    why_not: str = ""
    suffix: str = ""
    ranking: Ranking = field(default_factory=lambda: Ranking({}, [], None))

    @property
    def name(self) -> str:
        return f"{self.task.name}-{self.version}-{self.items[:8]}{self.suffix}"

    def id_of(self, submission: Submission) -> str:
        """Name a row; a submission that is in two tables has two names."""
        return submission.name + self.suffix.replace("-", "/", 1)


def build_board(path: str | Path, out: str | Path, *, again: bool = False, progress: Progress | None = None) -> Path:
    """Verify a board's submissions, rank them, and write the board as JSON, CSV, Markdown and a page.

    Parameters
    ----------
    path : the board's folder, with `submissions/` in it.
    out : the folder that gets `board.json`, `leaderboard.csv`, `leaderboard.md`, `records/`, and the page.
    again : whether to verify every submission, even one that has a verdict.

    Returns
    -------
    the folder that was written.

    Raises
    ------
    InputError
        if there is no board there, or its own files are wrong.
    """
    board = open_board(path)
    folder = Path(out)
    if folder.resolve().is_relative_to(board.submissions.resolve()):
        raise InputError(f"--out {out}: lies among the submissions; give another folder")
    progress = progress or Silent()
    tables, content = _built(path, board, again, progress)
    written = {_write_records(entry.submission, folder) for table in tables for entry in table.entries}
    for left in (folder / "records").glob("*.parquet"):
        if left not in written:
            left.unlink()
    write_text(folder / "leaderboard.csv", csv_text(content))
    write_text(folder / "leaderboard.md", markdown_text(content))
    write_page(content, folder)
    return folder


def board_content(path: str | Path, *, again: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Give the contents of `board.json`; only verdicts are written. See `build_board`."""
    return _built(path, open_board(path), again, progress or Silent())[1]


def _built(path: str | Path, board: Board, again: bool, progress: Progress) -> tuple[list[_Table], dict[str, Any]]:
    checked = verify(path, again=again, progress=progress)
    absent = board.rerun - {each.verdict.submission for each in checked}
    if absent:
        raise InputError(f"{board.root / SETTINGS_FILE}, rerun: there is no submission {min(absent)}")
    tables = _ranked(_tables(checked, board), board, progress)
    return tables, _content(tables, checked, board)


def _tables(checked: Sequence[Checked], board: Board) -> list[_Table]:
    groups: dict[tuple[str, str, str], list[_Entry]] = {}
    for each in checked:
        if each.submission is not None:
            result = each.submission.result
            key = (result.task, result.task_version, each.verdict.items)
            groups.setdefault(key, []).append(_Entry(each.submission, each.verdict.items))
    order = task_names()
    keys = sorted(groups, key=lambda key: (order.index(key[0]), key[1:]))
    return [table for key in keys for table in _tables_of(groups[key], *key, board)]


def _tables_of(entries: Sequence[_Entry], name: str, version: str, items: str, board: Board) -> Iterator[_Table]:
    """Make the table of the same items of one version of a task, and that of what the board's panel judged."""
    task = task_of(name)
    results = [entry.submission.result for entry in entries]
    main = next((metric for metric in task.ranked_by if all(metric in result.metrics for result in results)), None)
    why_not = task.unranked if version == task.version else "Of an earlier version of the task."
    if main is None and not why_not:
        why_not = "The results have no metric in common that systems are ranked by."
    yield _Table(task, version, items, entries, main, why_not)
    panel = task.board.panel
    if panel is None or why_not:
        return
    judged = [entry for entry in entries if _by_panel(entry.submission.result, panel, board)]
    if judged:
        yield _Table(task, version, items, judged, panel.metric, suffix=f"-{panel.metric}")


def _by_panel(result: Result, panel: PanelRanking, board: Board) -> bool:
    """Tell whether the board's own judges, and no others, rated the answers with the prompt of this version."""
    provenance = result.provenance
    judges = {str(judge.get("system")) for judge in provenance.get("judges") or [] if isinstance(judge, dict)}
    prompt = (provenance.get("prompts") or {}).get(panel.prompt)
    return bool(board.panel) and judges == board.panel and prompt == panel.sha256() and panel.metric in result.metrics


def _ranked(tables: Sequence[_Table], board: Board, progress: Progress) -> list[_Table]:
    ranked = []
    with progress.stage("Ranking", len(tables)) as advance:
        for table in tables:
            ranked.append(table if table.why_not else _with_ranking(table, board))
            advance(1)
    return ranked


def _with_ranking(table: _Table, board: Board) -> _Table:
    metric = table.task.metric(str(table.main))
    lower = metric is not None and metric.higher_is_better is False
    scored = [_scored(table, submission) for submission in _competing(table, board)]
    try:
        return replace(table, ranking=rank_systems(scored, higher_is_better=not lower))
    except InputError as error:
        return replace(table, why_not=f"The systems cannot be paired: {error}.")


def _competing(table: _Table, board: Board) -> list[Submission]:
    """Give the newest submission of each system; one that the board's keepers ran is preferred to any other."""
    newest: dict[str, Submission] = {}
    for entry in table.entries:
        submission = entry.submission
        known = newest.get(submission.system_folder)
        if known is None or _preference(submission, board) > _preference(known, board):
            newest[submission.system_folder] = submission
    return list(newest.values())


def _preference(submission: Submission, board: Board) -> tuple[bool, str]:
    return submission.name in board.rerun, submission.date


def _scored(table: _Table, submission: Submission) -> Scored:
    scores = submission.run.item_scores
    return Scored(table.id_of(submission), scores.values.get(str(table.main), {}), scores.groups)


def _content(tables: Sequence[_Table], checked: Sequence[Checked], board: Board) -> dict[str, Any]:
    contents = [_table(table, board) for table in tables]
    for name in dict.fromkeys(figure.task for figure in reported_figures()):
        _add_reported(contents, task_of(name))
    return {
        "schema": BOARD_SCHEMA,
        "title": board.title,
        "version": package_version(),
        "built": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "tasks": contents,
        "rejected": [{"submission": verdict.submission, "reason": verdict.reason} for verdict in rejected(checked)],
        "history": [line for table in tables if table.main and not table.suffix for line in _history(table)],
        "splits": [asdict(split) for split in read_splits(board.root)],
    }


def _table(table: _Table, board: Board) -> dict[str, Any]:
    task = table.task
    return {
        "task": task.name,
        "version": table.version,
        "what": task.summary,
        "items": table.items,
        "board": table.name,
        "dataset": _dataset(table, board),
        "current": table.version == task.version,
        "ranked": not table.why_not,
        "why_not": table.why_not,
        "main": table.main,
        "resolution": table.ranking.resolution,
        "metrics": task.descriptions,
        "rows": [_row(table, entry.submission, board) for entry in table.entries],
        "pairs": [{**asdict(pair), "metric": table.main} for pair in table.ranking.pairs],
    }


def _dataset(table: _Table, board: Board) -> str:
    """Name the dataset as the board's settings do, or by its seed and the private split that the seed is of."""
    name = board.datasets.get((table.task.name, table.items))
    if name is not None:
        return name
    provenance = table.entries[0].submission.result.provenance
    seeded = f"{provenance['dataset']}, seed {provenance['seed']}"
    days = [split.date for split in read_splits(board.root) if split.seed == provenance["seed"]]
    return f"{seeded}, the private split of {days[0]}" if days else seeded


def _row(table: _Table, submission: Submission, board: Board) -> dict[str, Any]:
    result, form = submission.result, submission.form
    rank = table.ranking.ranks.get(table.id_of(submission))
    provenance = result.provenance
    return {
        "id": table.id_of(submission),
        "system": result.system,
        "name": form.name,
        "kind": "rerun" if submission.name in board.rerun else "self",
        "rank": rank.rank if rank else None,
        "rank_low": rank.low if rank else None,
        "rank_high": rank.high if rank else None,
        "metrics": {name: asdict(metric) for name, metric in _in_order(result.metrics, table.task)},
        "cost_usd": provenance.get("cost_usd"),
        "tokens": provenance.get("tokens") or {"in": 0, "out": 0},
        "seconds": provenance.get("seconds"),
        "date": submission.date,
        "model_link": form.model_link,
        "code_link": form.code_link,
        "source": "",
        "decoding": form.decoding,
        "seeds": form.seeds,
        "notes": form.notes,
        "prompts": {str(name): str(digest) for name, digest in (provenance.get("prompts") or {}).items()},
        "examples": _examples(submission),
        "records": None if submission.archived else _records_file(submission),
        "rows_shown": _rows_shown(submission),
    }


def _in_order(metrics: Mapping[str, Metric], task: Task) -> list[tuple[str, Metric]]:
    """Sort metrics in the order of the task, each followed by its breakdowns."""
    order = {name: rank for rank, name in enumerate(task.descriptions)}

    def position(item: tuple[str, Metric]) -> tuple[int, bool]:
        key = task.key(item[0])
        return order.get(key.name, len(order)), not key.headline

    return sorted(metrics.items(), key=position)


def _examples(submission: Submission) -> list[dict[str, Any]]:
    return [] if submission.archived else [asdict(example) for example in submission.run.examples]


def _rows_shown(submission: Submission) -> list[dict[str, Any]]:
    """Give the first records with nested columns as one line of text each, and long texts cut."""
    if submission.archived:
        return []
    table = submission.run.task.board.shown(submission.records)
    rows = table.slice(0, _MOST_RECORDS_SHOWN).to_pylist()
    small = [{name: _small(value) for name, value in row.items() if value not in (None, [])} for row in rows]
    return [{name: value for name, value in row.items() if value is not None} for row in small]


def _small(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_CELL else value[:_LONGEST_CELL] + "…"
    if isinstance(value, dict):
        return _small(value.get("name") or value.get("text"))
    if isinstance(value, list):
        parts = [_small(part) for part in value[:_MOST_PARTS_SHOWN]]
        texts = [str(part) for part in parts if part is not None]
        return _small(", ".join(texts)) if texts else None
    return value


def _records_file(submission: Submission) -> str:
    return f"records/{submission.name.replace('/', '--')}.parquet"


def _write_records(submission: Submission, folder: Path) -> Path | None:
    """Write the records anew, without anything that a stranger's file may hold beside its rows."""
    if submission.archived:
        return None
    path = folder / _records_file(submission)
    with whole(path) as temporary:
        pq.write_table(submission.records.replace_schema_metadata(None), temporary, compression="zstd")
    return path


def _history(table: _Table) -> list[dict[str, Any]]:
    lines = []
    for entry in table.entries:
        submission = entry.submission
        metric = submission.result.metrics[str(table.main)]
        rank = table.ranking.ranks.get(table.id_of(submission))
        lines.append(
            {
                "task": table.task.name,
                "version": table.version,
                "items": table.items,
                "system": submission.result.system,
                "metric": table.main,
                "value": metric.value,
                "low": metric.low,
                "high": metric.high,
                "date": submission.date,
                "rank": rank.rank if rank else None,
            }
        )
    return sorted(lines, key=lambda line: (line["date"], line["system"]))


def _add_reported(tables: list[dict[str, Any]], task: Task) -> None:
    """Add a task's published figures to its current tables, or as a table where there is none."""
    figures = [figure for figure in reported_figures() if figure.task == task.name]
    current = [table for table in tables if table["task"] == task.name and table["current"]]
    if not current:
        current = [
            {
                "task": task.name,
                "version": task.version,
                "what": task.summary,
                "items": "published",
                "board": f"{task.name}-published",
                "dataset": "those of each paper",
                "current": True,
                "ranked": False,
                "why_not": "All figures are from papers, each of which has other items.",
                "main": next((name for name in task.ranked_by if name in figures[0].metrics), None),
                "resolution": None,
                "metrics": task.descriptions,
                "rows": [],
                "pairs": [],
            }
        ]
        tables += current
    for table in current:
        table["rows"] += [_reported_row(figure, table["board"]) for figure in figures]


def _reported_row(figure: Figure, board: str) -> dict[str, Any]:
    # Figures of papers have no interval, and no number of items that could be compared with those here.
    metrics = {
        name: {"value": value, "low": value, "high": value, "n": _NOT_STATED} for name, value in figure.metrics.items()
    }
    return {
        "id": f"published/{board}/{folder_of(figure.name)}",
        "system": "published",
        "name": figure.name,
        "kind": "reported",
        "rank": None,
        "rank_low": None,
        "rank_high": None,
        "metrics": metrics,
        "cost_usd": None,
        "tokens": {"in": 0, "out": 0},
        "seconds": None,
        "date": "",
        "model_link": "",
        "code_link": "",
        "source": figure.source,
        "decoding": {},
        "seeds": [],
        "notes": "",
        "prompts": {},
        "examples": [],
        "records": None,
        "rows_shown": [],
    }
