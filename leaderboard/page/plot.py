"""The plot of score against cost or time: points with intervals, laid out for SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from conceptbench.eval.report.numbers import signed
from conceptbench.eval.report.plots import axis, digits_of
from conceptbench.leaderboard.page.numbers import dollars, duration, with_interval

WIDTH: Final = 640
HEIGHT: Final = 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 626, 14, 286
_LONGEST_NAME = 26
_LETTER, _LINE = 7, 14
# Where the largest amount is this many times the smallest, a linear axis would press most points into a corner.
_WIDE = 50

SPENT: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = {
    "cost_usd": ("cost in US dollars", dollars),
    "seconds": ("seconds", duration),
}
"""The amounts that a score is drawn against, by the field of a row: the name, and how an amount is written."""


@dataclass(frozen=True)
class Point:
    """A row of the table in the drawing's units.

    Attributes
    ----------
    row : its id.
    text, name : its title, and the name written beside it; empty where it would cover another point.
    x, y : its position.
    low, high : the ends of its interval.
    series : chooses its colour and shape.
    left : whether its name is to its left.
    """

    row: str
    text: str
    name: str
    x: float
    y: float
    low: float
    high: float
    series: int
    left: bool


@dataclass(frozen=True)
class Scatter:
    """A drawing of WIDTH x HEIGHT.

    Attributes
    ----------
    key, spent : the field that the score is drawn against, and its name.
    text : the drawing in words.
    across, up : the positions and labels of the ticks.
    points : of the rows.
    missing : the names of the rows that have no such amount.
    """

    key: str
    spent: str
    text: str
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]
    points: Sequence[Point]
    missing: Sequence[str]


def draw_scatter(rows: Sequence[Mapping[str, Any]], metric: str, key: str) -> Scatter | None:
    """Lay out the rows' values of a metric over what each row spent; None where no row has both.

    Parameters
    ----------
    rows : those of a table of `board.json`, in the order of their colours.
    key : one of SPENT.
    """
    measured = [(series, row) for series, row in enumerate(rows) if metric in row["metrics"]]
    complete = [(series, row) for series, row in measured if row[key] is not None]
    if not complete:
        return None
    spent, written = SPENT[key]
    across, ticks_x = _scale([float(row[key]) for _, row in complete])
    values = [row["metrics"][metric] for _, row in complete]
    ticks_y = axis(min(value["low"] for value in values), max(value["high"] for value in values))

    def up(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (value - ticks_y[0]) / (ticks_y[-1] - ticks_y[0]), 2)

    points = [
        Point(
            row=row["id"],
            text=f"{row['name']}: {metric} {with_interval(value)}, {written(row[key])}",
            name=_shortened(row["name"]),
            x=across(row[key]),
            y=up(value["value"]),
            low=up(value["low"]),
            high=up(value["high"]),
            series=series,
            left=across(row[key]) > (_LEFT + _RIGHT) / 2,
        )
        for (series, row), value in zip(complete, values, strict=True)
    ]
    digits = digits_of(ticks_y)
    return Scatter(
        key=key,
        spent=spent,
        text=f"{metric} against {spent}, with 95 % intervals. " + "; ".join(point.text for point in points) + ".",
        across=ticks_x,
        up=[(up(tick), signed(f"{tick:.{digits}f}")) for tick in ticks_y],
        points=_without_overlap(points),
        missing=[row["name"] for _, row in measured if row[key] is None],
    )


def _scale(amounts: Sequence[float]) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """Give an axis for amounts: a function to positions, and its ticks. It is logarithmic where they differ widely."""
    low, high = min(amounts), max(amounts)
    if low > 0 and high / low >= _WIDE:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        ticks = [10.0**power for power in range(first, last + 1)]
        texts = [np.format_float_positional(tick, trim="-") for tick in ticks]
        return lambda amount: _between(math.log10(amount), first, last), [
            (_between(power, first, last), text) for power, text in zip(range(first, last + 1), texts, strict=True)
        ]
    power = 10.0 ** math.floor(math.log10(high)) if high > 0 else 1.0
    ticks = axis(0.0, high / power)
    end = ticks[-1]
    digits = max(0, digits_of(ticks) - round(math.log10(power)))
    return lambda amount: _between(amount / power, 0, end), [
        (_between(tick, 0, end), f"{tick * power:,.{digits}f}") for tick in ticks
    ]


def _between(value: float, low: float, high: float) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low), 2)


def _without_overlap(points: Sequence[Point]) -> list[Point]:
    """Leave out the names that would cover others; the point's title and the table have them."""
    names: list[tuple[float, float, float]] = []
    legible = []
    for point in points:
        width = _LETTER * len(point.name)
        start = point.x - 10 - width if point.left else point.x + 10
        covers_name = any(abs(point.y - y) < _LINE and start < end and begin < start + width for y, begin, end in names)
        covers_point = any(
            neighbour is not point and start < neighbour.x < start + width and abs(neighbour.y - point.y) < _LINE
            for neighbour in points
        )
        if covers_name or covers_point:
            legible.append(replace(point, name=""))
            continue
        names.append((point.y, start, start + width))
        legible.append(point)
    return legible


def _shortened(name: str) -> str:
    half = (_LONGEST_NAME - 1) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[-half:]}"
