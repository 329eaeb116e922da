"""The board as CSV and as Markdown; no text in them can become a formula or markup."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from conceptbench.leaderboard.keys import read_key

COLUMNS: Final = (
    "board",
    "task",
    "task_version",
    "items",
    "rank",
    "rank_low",
    "rank_high",
    "name",
    "system",
    "kind",
    "metric",
    "rerun_by_us",
    "self_reported",
    "reported",
    "low",
    "high",
    "n",
    "resolution",
    "cost_usd",
    "tokens_in",
    "tokens_out",
    "seconds",
    "date",
    "model_link",
    "code_link",
    "source",
)
_COLUMN_OF = {"rerun": "rerun_by_us", "self": "self_reported", "reported": "reported"}


def csv_text(board: Mapping[str, Any]) -> str:
    """Write the board as CSV: a line for each headline metric of each row of its tables.

    An apostrophe is put before a text that a spreadsheet would take for a formula.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for task in board["tasks"]:
        for row in task["rows"]:
            for line in _lines(task, row):
                writer.writerow({name: _cell(value) for name, value in line.items()})
    return out.getvalue()


def markdown_text(board: Mapping[str, Any]) -> str:
    """Write the board as Markdown: each of its tables with ranks, scores and costs."""
    parts = [
        f"# {_escaped(board.get('title', 'ConceptBench'))}\n",
        f"Built {board['built']} by ConceptBench {board['version']}.\n",
    ]
    for task in board["tasks"]:
        parts += _section(task)
    if board["rejected"]:
        parts.append("## Rejected\n\n| submission | reason |\n|---|---|")
        parts += [f"| {_escaped(each['submission'])} | {_escaped(each['reason'])} |" for each in board["rejected"]]
        parts.append("")
    return "\n".join(parts)


def _lines(task: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, metric in row["metrics"].items():
        if not read_key(task["task"], name).headline:
            continue
        main = name == task["main"]
        yield {
            "board": task["board"],
            "task": task["task"],
            "task_version": task["version"],
            "items": task["items"],
            **{rank: row[rank] if main else None for rank in ("rank", "rank_low", "rank_high")},
            "name": row["name"],
            "system": row["system"],
            "kind": row["kind"],
            "metric": name,
            _COLUMN_OF[row["kind"]]: metric["value"],
            **({} if row["kind"] == "reported" else {end: metric[end] for end in ("low", "high", "n")}),
            "resolution": task["resolution"] if main else None,
            "cost_usd": row["cost_usd"],
            "tokens_in": row["tokens"]["in"],
            "tokens_out": row["tokens"]["out"],
            **{field: row[field] for field in ("seconds", "date", "model_link", "code_link", "source")},
        }


def _section(task: Mapping[str, Any]) -> list[str]:
    main = task["main"]
    lines = [f"## {_escaped(task['task'])} {_escaped(task['version'])}, items {_escaped(task['items'][:9])}\n"]
    if task["rows"][0]["kind"] != "reported":
        lines.append(f"Of {_escaped(task['dataset'])}.")
    if task["why_not"]:
        lines.append(f"Not ranked. {_escaped(task['why_not'])}")
    elif task["resolution"] is not None:
        lines.append(
            f"Ranked by {main}: 1 + the number of systems that are significantly better (paired permutation tests, "
            f"Holm-corrected). The smallest difference that these items show in four runs of five: "
            f"{task['resolution']:.3f}."
        )
    lines.append("")
    submitted = [row for row in task["rows"] if row["kind"] != "reported"]
    if submitted and main:
        lines += _ranking(submitted, main)
    papers = [row for row in task["rows"] if row["kind"] == "reported"]
    if papers:
        lines.append("Figures from papers, of other items, not ranked:\n\n| name | figures | source |\n|---|---|---|")
        for row in papers:
            figures = ", ".join(f"{name} {metric['value']:g}" for name, metric in row["metrics"].items())
            lines.append(f"| {_escaped(row['name'])} | {_escaped(figures)} | {_escaped(row['source'])} |")
        lines.append("")
    return lines


def _ranking(rows: list[Mapping[str, Any]], main: str) -> list[str]:
    lines = [f"| rank | name | system | {main}, re-run by us | {main}, self-reported | cost (USD) | seconds | date |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0, -row["metrics"][main]["value"])):
        score = _score(row["metrics"][main])
        cells = [
            _rank(row),
            _escaped(row["name"]),
            _escaped(row["system"]),
            score if row["kind"] == "rerun" else "",
            score if row["kind"] == "self" else "",
            "" if row["cost_usd"] is None else f"{row['cost_usd']:g}",
            "" if row["seconds"] is None else f"{row['seconds']:g}",
            _escaped(row["date"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _rank(row: Mapping[str, Any]) -> str:
    if row["rank"] is None:
        return "—"
    low, high = row["rank_low"], row["rank_high"]
    return f"{row['rank']} ({low} to {high})" if low != high else str(row["rank"])


def _score(metric: Mapping[str, Any]) -> str:
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    flat = " ".join(value.split())
    return "'" + flat if re.match(r"[=+\-@|%]", flat) else flat


def _escaped(text: str) -> str:
    """Escape a text so that Markdown and HTML show it literally."""
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", flat)
