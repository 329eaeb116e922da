"""The tables of the page: which columns they have, and what stands in their cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from conceptbench.eval.result import Metric
from conceptbench.leaderboard.page import numbers

if TYPE_CHECKING:
    from conceptbench.eval.report.write import Plot

_SHOWN: Final = 2
"""Metrics shown beside the main one, until the reader chooses others."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the small print below, and what it is sorted by (a number, or its text)."""

    text: str = ""
    note: str = ""
    value: float | str | None = None


@dataclass(frozen=True)
class Column:
    """A column; `key` names it in links, `extra` is one that is hidden until the reader chooses it."""

    key: str
    title: str
    note: str = ""
    words: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Table:
    """A table of rows of the board (`rows`), or of texts (`rows` is empty)."""

    columns: Sequence[Column]
    cells: Sequence[Sequence[Cell]]
    rows: Sequence[Row] = ()

    @classmethod
    def of_texts(cls, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
        """Make a table of texts alone."""
        return cls(
            [Column(name, name, words=True) for name in columns], [[Cell(text) for text in row] for row in cells]
        )


@dataclass(frozen=True)
class Breakdown:
    """A row's metrics by group: a table, and the main metric drawn."""

    title: str
    table: Table
    plot: Plot | None


def ranking(task: Mapping[str, Any], rows: Sequence[Row]) -> Table | None:
    """Lay out the systems of a table of the board; None where there are none.

    The main metric has a column for runs re-run by us and another for self-reported ones.
    """
    if not rows:
        return None
    found = [
        (Column("rank", "rank"), [_rank(row) for row in rows]),
        *_scores(task, rows),
        (Column("cost", "cost"), [_amount(row["cost_usd"], numbers.dollars) for row in rows]),
        (Column("seconds", "time"), [_amount(row["seconds"], numbers.duration) for row in rows]),
        (Column("tokens", "tokens in, out", extra=True), [_tokens(row["tokens"]) for row in rows]),
        (Column("date", "date", words=True), [Cell(row["date"], value=row["date"]) for row in rows]),
    ]
    return _table(found, rows)


def reported(task: Mapping[str, Any], rows: Sequence[Row]) -> Table | None:
    """Lay out the figures of papers; None where there are none."""
    if not rows:
        return None
    source = (Column("source", "source", words=True), [Cell(row["source"], value=row["source"]) for row in rows])
    return _table([*_metrics(task, rows, hide=False), source], rows)


def breakdowns(task: Mapping[str, Any], row: Row) -> list[Breakdown]:
    """Break a row's metrics down, by what their groups are."""
    groups: dict[str, list[str]] = {}
    for key in row["metrics"]:
        _, slash, group = key.partition("/")
        sort = _sort(task["task"], group)
        if slash and group not in groups.setdefault(sort, []):
            groups[sort].append(group)
    # One group alone is all that there is.
    return [_breakdown(task, row, sort, _natural(own)) for sort, own in groups.items() if len(own) > 1]


def names(task: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Give the metrics that the rows have, without their groups: the main one first, then as the task lists them."""
    known = list(dict.fromkeys([*([task["main"]] if task["main"] else []), *task["metrics"]]))
    there = dict.fromkeys(key for row in rows for key in row["metrics"] if "/" not in key)
    return [name for name in [*known, *(name for name in there if name not in known)] if name in there]


def _breakdown(task: Mapping[str, Any], row: Row, sort: str, groups: Sequence[str]) -> Breakdown:
    # This brings torch along, which serving a page must not wait for.
    from conceptbench.eval.report.write import draw

    metrics, main = row["metrics"], task["main"]
    inside = [name for name in names(task, [row]) if any(f"{name}/{group}" in metrics for group in groups)]
    cells = [
        [Cell(_bare(group)), *(_metric(metrics.get(f"{name}/{group}"), with_n=True) for name in inside)]
        for group in groups
    ]
    measured = [(_bare(group), metrics[f"{main}/{group}"]) for group in groups if f"{main}/{group}" in metrics]
    bars = [(name, [(0, main, Metric(**metric))]) for name, metric in measured]
    columns = [Column("group", sort, words=True), *(Column(name, name) for name in inside)]
    return Breakdown(f"By {sort}", Table(columns, cells), draw(f"{main} by {sort}", bars) if bars else None)


def _scores(task: Mapping[str, Any], rows: Sequence[Row]) -> list[tuple[Column, list[Cell]]]:
    """Give the columns of the main metric, of the others, and of the main metric's breakdown."""
    main = task["main"]
    split = [
        (Column(f"{main}.{kind}", str(main), what), [_of_kind(row, kind, main) for row in rows])
        for kind, what in (("rerun", "re-run by us"), ("self", "self-reported"))
        if main
    ]
    return [*split, *_metrics(task, rows, hide=True)]


def _metrics(task: Mapping[str, Any], rows: Sequence[Row], *, hide: bool) -> list[tuple[Column, list[Cell]]]:
    main = task["main"]
    whole = [name for name in names(task, rows) if not hide or name != main]
    groups = _natural({key for row in rows for key in row["metrics"] if main and key.startswith(f"{main}/")})
    found = []
    for place, name in enumerate([*whole, *groups]):
        own = [row["metrics"][name] for row in rows if name in row["metrics"]]
        same = len({metric["n"] for metric in own}) == 1
        note = f"n {own[0]['n']:,}" if same and own[0]["n"] else ""
        column = Column(name, name, note, extra=hide and place >= _SHOWN)
        found.append((column, [_metric(row["metrics"].get(name), with_n=not same) for row in rows]))
    return found


def _table(found: Sequence[tuple[Column, list[Cell]]], rows: Sequence[Row]) -> Table:
    """Put columns together, without those that are empty."""
    kept = [(column, cells) for column, cells in found if any(cell.value is not None for cell in cells)]
    return Table(
        columns=[column for column, _ in kept],
        cells=[[cells[place] for _, cells in kept] for place in range(len(rows))],
        rows=rows,
    )


def _rank(row: Row) -> Cell:
    if row["rank"] is None:
        return Cell("—")
    low, high = row["rank_low"], row["rank_high"]
    return Cell(str(row["rank"]), f"{low} to {high}" if low != high else "", row["rank"])


def _of_kind(row: Row, kind: str, metric: str) -> Cell:
    return _metric(row["metrics"].get(metric) if row["kind"] == kind else None, with_n=True)


def _metric(metric: Mapping[str, Any] | None, *, with_n: bool) -> Cell:
    if metric is None:
        return Cell("—")
    n = f", n {metric['n']:,}" if with_n and metric["n"] else ""
    return Cell(numbers.score(metric["value"]), numbers.interval(metric) + n, metric["value"])


def _amount(amount: float | None, written: Callable[[float], str]) -> Cell:
    return Cell("—") if amount is None else Cell(written(amount), value=amount)


def _tokens(tokens: Mapping[str, int]) -> Cell:
    return Cell(f"{tokens['in']:,}, {tokens['out']:,}", value=tokens["in"] + tokens["out"])


def _sort(task: str, group: str) -> str:
    """Tell what a group is one of."""
    from conceptbench.eval.run import TASKS

    known = TASKS[task].groups if task in TASKS else {}
    if group in known:
        return known[group]
    if "=" in group:
        return group.partition("=")[0]
    return "layer" if re.fullmatch(r"(.+-)?L\d+", group) else "kind"


def _bare(group: str) -> str:
    return group.partition("=")[2] or group


def _natural(groups: Sequence[str] | set[str]) -> list[str]:
    """Sort with numbers by their size."""
    return sorted(
        groups,
        key=lambda group: [
            (1, float(part), "") if part[:1].isdecimal() else (0, 0.0, part) for part in _NUMBER.split(group)
        ],
    )


_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)")
