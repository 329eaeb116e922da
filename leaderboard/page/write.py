"""Writing the leaderboard's page: files that need no server and no other host, and can be read without scripts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2

from conceptbench.leaderboard.keys import read_key
from conceptbench.leaderboard.page import numbers
from conceptbench.leaderboard.page.direction import undirected
from conceptbench.leaderboard.page.plot import SPENT, draw_scatter
from conceptbench.leaderboard.page.tables import Table, breakdowns, names, ranking, reported
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_json, write_text

SCHEMA: Final = "conceptbench.board/1"
KINDS: Final = {"rerun": "re-run by us", "self": "self-reported", "reported": "from a paper"}
_LONGEST_SLUG = 80
_LONGEST_TEXT = 400
_DIGITS_SHOWN = 12


def write_page(board: Mapping[str, Any], out: Path) -> None:
    """Write the page of a board: its index, a page for each row, one to compare two, `board.json`, a Space's README.

    Parameters
    ----------
    board : the contents of `board.json`; every text in it may be hostile.
    out : a folder, which is made if it does not exist; pages of rows that are no longer on the board are removed.

    Raises
    ------
    InputError
        if it is not a board of this version, or two rows have one id.
    ConceptBenchError
        if the folder cannot be written to.
    """
    if board.get("schema") != SCHEMA:
        raise InputError(
            f"not a board of this version ({SCHEMA}), but {board.get('schema')!r}: run `board build` again"
        )
    # A lone surrogate, which JSON may escape, cannot be written as UTF-8.
    content = json.dumps(board, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()
    board = json.loads(undirected(content))
    pages = _pages(board)
    for name in ("style.css", "page.js"):
        write_text(out / name, _static(name))
    for task in board["tasks"]:
        for row in task["rows"]:
            write_text(out / pages[row["id"]], _system_page(board, task, row, pages))
    write_text(out / "compare.html", _render("compare.html.jinja", board, pages, data=_compared(board, pages)))
    write_text(out / "index.html", _index_page(board, pages))
    write_text(out / "README.md", _render("README.md.jinja", board, pages))
    write_json(out / "board.json", board)
    for left in (out / "systems").glob("*.html"):
        if f"systems/{left.name}" not in pages.values():
            left.unlink()


def _pages(board: Mapping[str, Any]) -> dict[str, str]:
    """Name the page of each row, from its id alone, so that links to it last."""
    pages: dict[str, str] = {}
    for task in board["tasks"]:
        for row in task["rows"]:
            if row["id"] in pages:
                raise InputError(f"row {row['id']!r} is on the board twice: remove one of them")
            pages[row["id"]] = f"systems/{_slug(row['id'])}.html"
    return pages


def _slug(name: str) -> str:
    """Name something in paths and anchors: readable, and distinct by a digest."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_SLUG]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _index_page(board: Mapping[str, Any], pages: Mapping[str, str]) -> str:
    sections = [_section(task) for task in board["tasks"]]
    return _render(
        "index.html.jinja",
        board,
        pages,
        current=[section for section in sections if section["task"]["current"]],
        old=[section for section in sections if not section["task"]["current"]],
        histories=_histories(board["history"]),
    )


def _section(task: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out one table of the board for the index."""
    submitted = [row for row in task["rows"] if row["kind"] != "reported"]
    main = task["main"]
    ranked = sorted(submitted, key=lambda row: (row["rank"] is None, row["rank"] or 0, -_value(row, main), row["id"]))
    papers = sorted(
        (row for row in task["rows"] if row["kind"] == "reported"), key=lambda row: (-_value(row, main), row["id"])
    )
    plots = [draw_scatter(ranked, main, key) for key in SPENT] if main else []
    return {
        "task": task,
        "ranking": ranking(task, ranked),
        "reported": reported(task, papers),
        "plots": [plot for plot in plots if plot is not None],
    }


def _value(row: Mapping[str, Any], metric: str | None) -> float:
    measured = row["metrics"].get(metric)
    return measured["value"] if measured else float("-inf")


def _histories(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Give the history by task, latest first."""
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for entry in sorted(history, key=lambda entry: entry["date"], reverse=True):
        by_task.setdefault(entry["task"], []).append(entry)
    return by_task


def _system_page(
    board: Mapping[str, Any], task: Mapping[str, Any], row: Mapping[str, Any], pages: Mapping[str, str]
) -> str:
    rows = {each["id"]: each for each in task["rows"]}
    return _render(
        "system.html.jinja",
        board,
        pages,
        root="../",
        task=task,
        row=row,
        scores=[(name, row["metrics"][name]) for name in names(task, [row])],
        breakdowns=breakdowns(task, row),
        against=_against(task["pairs"], row["id"], rows),
        history=[
            entry for entry in board["history"] if (entry["task"], entry["system"]) == (task["task"], row["system"])
        ],
        records=_records(row["rows_shown"]),
        file=_records_file(row["records"]),
    )


def _against(
    pairs: Sequence[Mapping[str, Any]], row: str, rows: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Give the tests of a row against the others: each rival, and the difference of the row minus the rival."""
    tests = []
    for pair in pairs:
        if pair["first"] == row:
            tests.append((rows[pair["second"]], dict(pair)))
        elif pair["second"] == row:
            turned = {"value": -pair["value"], "low": -pair["high"], "high": -pair["low"]}
            tests.append((rows[pair["first"]], {**pair, **turned}))
    return tests


def _records(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Lay out records, whatever their columns."""
    if not rows:
        return None
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return Table.of_texts(columns, [[_written(row.get(name)) for name in columns] for row in rows])


def _written(value: Any) -> str:
    """Write a value of a record, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        value = ", ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def _records_file(path: str | None) -> str:
    """Give the path of a row's records as a link; an empty text if it leads out of the page's folder."""
    inside = path is not None and re.fullmatch(r"records/[\w.@+-]+(/[\w.@+-]+)*", path) and ".." not in path
    return path if path is not None and inside else ""


def _compared(board: Mapping[str, Any], pages: Mapping[str, str]) -> dict[str, Any]:
    """Give the data of the page that compares two rows."""
    return {
        "tables": [
            {
                **{name: task[name] for name in ("main", "metrics", "pairs")},
                "title": _title(task),
                "rows": [_side(task, row, pages) for row in task["rows"] if row["kind"] != "reported"],
            }
            for task in board["tasks"]
        ],
        "kinds": KINDS,
    }


def _side(task: Mapping[str, Any], row: Mapping[str, Any], pages: Mapping[str, str]) -> dict[str, Any]:
    """Give the fields of a row that are compared; of its breakdowns only that of the main metric."""
    texts = ("id", "name", "system", "kind", "date", "examples")
    amounts = ("rank", "rank_low", "rank_high", "cost_usd", "seconds")
    keys = {text: read_key(task["task"], text) for text in row["metrics"]}
    return {
        **{field: row[field] for field in (*texts, *amounts)},
        "page": pages[row["id"]],
        "metrics": {
            text: row["metrics"][text] for text, key in keys.items() if key.headline or key.name == task["main"]
        },
    }


def _title(task: Mapping[str, Any]) -> str:
    return f"{task['task'].capitalize()} {task['version']}, items {task['items'][:_DIGITS_SHOWN]}"


def _link(url: str) -> str:
    """Give an address that may be followed, or an empty text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    plain = not re.search(r"[\s\x00-\x1f\x7f]", url)
    return url if plain and parts.scheme in {"http", "https"} and parts.netloc else ""


def _static(name: str) -> str:
    package = "conceptbench.leaderboard" if name == "style.css" else "conceptbench.leaderboard.page"
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _render(template: str, board: Mapping[str, Any], pages: Mapping[str, str], **values: Any) -> str:
    page = {"root": "", "board": board, "pages": pages, "kinds": KINDS, **values}
    return _environment().get_template(template).render(page)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.leaderboard.page", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # By default, jinja2 would sort the metrics by name.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    environment.filters.update(
        score=numbers.score,
        interval=numbers.interval,
        with_interval=numbers.with_interval,
        p_value=numbers.p_value,
        dollars=numbers.dollars,
        duration=numbers.duration,
        link=_link,
        slug=_slug,
        written=_written,
        table_title=_title,
    )
    return environment
