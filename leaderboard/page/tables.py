"""The tables of the page: their columns, and the texts of their cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from conceptbench.eval.report.groups import bare, group_kind, natural
from conceptbench.eval.report.plots import Plot, draw
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.leaderboard.keys import known_task, read_key
from conceptbench.leaderboard.page import numbers

_METRICS_SHOWN: Final = 2
"""Metrics shown beside the main one, until the reader chooses others."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the small print below it, and the number or text that it is sorted by."""

    text: str = ""
    note: str = ""
    value: float | str | None = None


@dataclass(frozen=True)
class Column:
    """A column; `key` names it in links; an `extra` one is hidden until the reader chooses it."""

    key: str
    title: str
    note: str = ""
    words: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Table:
    """A table of rows of the board, or of texts; then `rows` is empty."""

    columns: Sequence[Column]
    cells: Sequence[Sequence[Cell]]
    rows: Sequence[Row] = ()

    @classmethod
    def of_texts(cls, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
        """Make a table of texts."""
        return cls(
            [Column(name, name, words=True) for name in columns], [[Cell(text) for text in row] for row in cells]
        )


@dataclass(frozen=True)
class Breakdown:
    """A row's metrics by group: a table, and a plot of the main metric."""

    title: str
    table: Table
    plot: Plot | None


def ranking(task: Mapping[str, Any], rows: Sequence[Row]) -> Table | None:
    """Lay out the systems of a table of the board; None where there are none.

    The main metric has a column for runs re-run by us and another for self-reported ones.
    """
    if not rows:
        return None
    columns = [
        (Column("rank", "rank"), [_rank(row) for row in rows]),
        *_scores(task, rows),
        (Column("cost", "cost"), [_amount(row["cost_usd"], numbers.dollars) for row in rows]),
        (Column("seconds", "time"), [_amount(row["seconds"], numbers.duration) for row in rows]),
        (Column("tokens", "tokens in, out", extra=True), [_tokens(row["tokens"]) for row in rows]),
        (Column("date", "date", words=True), [Cell(row["date"], value=row["date"]) for row in rows]),
    ]
    return _table(columns, rows)


def reported(task: Mapping[str, Any], rows: Sequence[Row]) -> Table | None:
    """Lay out the figures of papers; None where there are none."""
    if not rows:
        return None
    source = (Column("source", "source", words=True), [Cell(row["source"], value=row["source"]) for row in rows])
    return _table([*_metrics(task, rows, hide=False), source], rows)


def breakdowns(task: Mapping[str, Any], row: Row) -> list[Breakdown]:
    """Break a row's metrics down: a breakdown for each kind of group, such as layers."""
    by_group: dict[str, dict[str, Any]] = {}
    for text, metric in row["metrics"].items():
        key = read_key(task["task"], text)
        if not key.headline:
            by_group.setdefault(_group(key), {})[key.name] = metric
    known = known_task(task["task"])
    kinds: dict[str, list[str]] = {}
    for group in by_group:
        kinds.setdefault(group_kind(group, known.groups if known is not None else {}), []).append(group)
    # A single group would only repeat the numbers of the whole.
    return [
        _breakdown(task, row, kind, {group: by_group[group] for group in natural(groups)})
        for kind, groups in kinds.items()
        if len(groups) > 1
    ]


def names(task: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Give the headline metrics of the rows: the main one first, then the others in the order of the task."""
    listed = [*([task["main"]] if task["main"] else []), *task["metrics"]]
    present = dict.fromkeys(text for row in rows for text in row["metrics"] if read_key(task["task"], text).headline)
    return [name for name in dict.fromkeys([*listed, *present]) if name in present]


def _group(key: MetricKey) -> str:
    """Name what a metric of a breakdown is of: its condition, its group, or both."""
    return str(key._replace(name=""))


def _breakdown(
    task: Mapping[str, Any], row: Row, kind: str, by_group: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Breakdown:
    main = task["main"]
    measured = [name for name in names(task, [row]) if any(name in metrics for metrics in by_group.values())]
    cells = [
        [Cell(bare(group)), *(_metric(metrics.get(name), with_n=True) for name in measured)]
        for group, metrics in by_group.items()
    ]
    bars = [
        (bare(group), [(0, main, Metric(**metrics[main]))]) for group, metrics in by_group.items() if main in metrics
    ]
    columns = [Column("group", kind, words=True), *(Column(name, name) for name in measured)]
    return Breakdown(f"By {kind}", Table(columns, cells), draw(f"{main} by {kind}", bars) if bars else None)


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
    headlines = [name for name in names(task, rows) if not hide or name != main]
    keys = {text: read_key(task["task"], text) for row in rows for text in row["metrics"]}
    breakdown = natural(text for text, key in keys.items() if key.name == main and not key.headline)
    columns = []
    for position, text in enumerate([*headlines, *breakdown]):
        metrics = [row["metrics"][text] for row in rows if text in row["metrics"]]
        same = len({metric["n"] for metric in metrics}) == 1
        note = f"n {metrics[0]['n']:,}" if same and metrics[0]["n"] else ""
        column = Column(text, text, note, extra=hide and position >= _METRICS_SHOWN)
        columns.append((column, [_metric(row["metrics"].get(text), with_n=not same) for row in rows]))
    return columns


def _table(columns: Sequence[tuple[Column, list[Cell]]], rows: Sequence[Row]) -> Table:
    """Put columns together, without those that are empty."""
    filled = [(column, cells) for column, cells in columns if any(cell.value is not None for cell in cells)]
    return Table(
        columns=[column for column, _ in filled],
        cells=[[cells[number] for _, cells in filled] for number in range(len(rows))],
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
