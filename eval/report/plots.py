"""The charts of a report, laid out for SVG: intervals as bars, and curves over a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conceptbench.eval.report.numbers import interval, signed
from conceptbench.eval.result import Metric

WIDTH: Final = 480
HEIGHT: Final = 270
"""The size of a drawing of curves."""

_ROW, _LINE, _AXIS = 24, 16, 26
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 466, 12, 236
_LONGEST_NAME = 30


@dataclass(frozen=True)
class Bar:
    """An interval with its value, drawn at a height, in percent of the width; `series` gives colour and shape."""

    name: str
    x: float
    low: float
    high: float
    y: int
    series: int


@dataclass(frozen=True)
class Plot:
    """A plot of intervals: rows with a label, and the value where a row has but one, above the bars."""

    caption: str
    text: str
    height: int
    ticks: Sequence[tuple[float, str]]
    rows: Sequence[tuple[int, str, str]]
    bars: Sequence[Bar]
    legend: Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Point:
    """A point of a curve in the drawing's units, with the words for it."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve: its points, and the outline of the intervals around them as an SVG polygon."""

    name: str
    points: Sequence[Point]
    band: str

    @property
    def path(self) -> str:
        """The points as an SVG polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


@dataclass(frozen=True)
class Curves:
    """Curves over one axis; ticks are positions with labels."""

    caption: str
    text: str
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]
    lines: Sequence[Line]


def draw(
    caption: str, rows: Sequence[tuple[str, Sequence[tuple[int, str, Metric]]]], legend: Sequence[tuple[int, str]] = ()
) -> Plot:
    """Lay out a plot of intervals.

    Parameters
    ----------
    rows : a label, and the bars below it: series, name, metric; at least one bar in all.
    legend : series and their names; none where the rows' labels are these.

    Examples
    --------
    >>> draw("accuracy", [("lexical", [(0, "lexical", Metric(0.5, 0.25, 0.75, 8))])]).text
    'accuracy with 95 % intervals. lexical: 0.500 (0.250 to 0.750).'
    """
    metrics = [metric for _, bars in rows for _, _, metric in bars]
    ticks = axis(min(metric.low for metric in metrics), max(metric.high for metric in metrics))

    def across(number: float) -> float:
        return round(3 + 94 * (number - ticks[0]) / (ticks[-1] - ticks[0]), 3)

    drawn, labels, y = [], [], 0
    for label, bars in rows:
        labels.append((y + _ROW - 8, shortened(label), interval(bars[0][2]) if len(bars) == 1 else ""))
        y += _ROW
        for series, name, metric in bars:
            x, low, high = map(across, (metric.value, metric.low, metric.high))
            drawn.append(Bar(f"{name}: {interval(metric)}", x, low, high, y + 5, series))
            y += _LINE
    texts = [
        f"{label}: " + ", ".join((f"{name} " if legend else "") + interval(metric) for _, name, metric in bars)
        for label, bars in rows
    ]
    return Plot(
        caption=caption,
        text=f"{caption} with 95 % intervals. {'; '.join(texts)}.",
        height=y + _AXIS,
        ticks=[(across(tick), _label(tick, ticks)) for tick in ticks],
        rows=labels,
        bars=drawn,
        legend=legend,
    )


def draw_curves(caption: str, lines: Mapping[str, Sequence[tuple[float, Metric]]]) -> Curves:
    """Lay out curves in a drawing of WIDTH x HEIGHT.

    Parameters
    ----------
    lines : of each name, its points: a number and the metric there; at least two points in all, at distinct numbers.
    """
    points = [point for line in lines.values() for point in line]
    numbers = [number for number, _ in points]
    ticks_x = axis(min(numbers), max(numbers))
    ticks_y = axis(min(metric.low for _, metric in points), max(metric.high for _, metric in points))

    def across(number: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (number - ticks_x[0]) / (ticks_x[-1] - ticks_x[0]), 2)

    def up(number: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (number - ticks_y[0]) / (ticks_y[-1] - ticks_y[0]), 2)

    drawn, texts = [], []
    for name, unsorted in lines.items():
        line = sorted(unsorted, key=lambda point: point[0])
        point_texts = [f"{number:g}: {interval(metric)}" for number, metric in line]
        outline = [(number, metric.high) for number, metric in line] + [(n, m.low) for n, m in reversed(line)]
        drawn.append(
            Line(
                name=name,
                points=[
                    Point(across(number), up(metric.value), signed(f"{name} at {text}"))
                    for (number, metric), text in zip(line, point_texts, strict=True)
                ],
                band=" ".join(f"{across(number):g},{up(height):g}" for number, height in outline),
            )
        )
        texts.append(signed(f"{name} at {', '.join(point_texts)}"))
    return Curves(
        caption=caption,
        text=f"{caption}, with 95 % intervals. {'; '.join(texts)}.",
        across=[(across(tick), _label(tick, ticks_x)) for tick in ticks_x],
        up=[(up(tick), _label(tick, ticks_y)) for tick in ticks_y],
        lines=drawn,
    )


def axis(low: float, high: float) -> list[float]:
    """Give the ticks of an axis, 3 to 8 round numbers in even steps that enclose both ends.

    An axis of numbers between 0 and 1 does not leave them.

    Examples
    --------
    >>> axis(0.203, 0.35)
    [0.2, 0.25, 0.3, 0.35]
    """
    if high - low < 0.1:
        middle = (low + high) / 2
        low, high = max(middle - 0.05, min(low, 0.0)), min(middle + 0.05, max(high, 1.0))
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(first, last + 1)]


def digits_of(ticks: Sequence[float]) -> int:
    """Give the number of decimals that tell even ticks apart.

    Examples
    --------
    >>> digits_of([0.2, 0.25, 0.3])
    2
    """
    return max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))


def shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    """Cut a name in the middle, so that it has at most so many characters.

    Examples
    --------
    >>> shortened("local:smollm2/few-shot", 11)
    'local…-shot'
    """
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def _label(tick: float, ticks: Sequence[float]) -> str:
    return signed(f"{tick:.{digits_of(ticks)}f}")
