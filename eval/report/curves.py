"""Curves: metrics over a number that breaks them down, such as `name/top=0.05` or `name/k=50`, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conceptbench.eval.report.axes import axis, digits_of, signed
from conceptbench.eval.result import Metric

WIDTH: Final = 480
HEIGHT: Final = 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 466, 12, 236


@dataclass(frozen=True)
class CurvePlot:
    """What a task wants drawn: `metrics` as lines over the numbers of the breakdown `by`."""

    caption: str
    by: str
    metrics: Sequence[str]


@dataclass(frozen=True)
class Point:
    """A point in the drawing's units, with the words for it."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line: its points, and the outline of the intervals around them as an SVG polygon."""

    name: str
    points: Sequence[Point]
    band: str

    @property
    def path(self) -> str:
        """The points as an SVG polyline."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)


@dataclass(frozen=True)
class Curves:
    """Lines over one axis; ticks are places with labels."""

    caption: str
    text: str
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]
    lines: Sequence[Line]


def draw_curves(caption: str, lines: Mapping[str, Sequence[tuple[float, Metric]]]) -> Curves:
    """Lay out lines in a drawing of WIDTH x HEIGHT.

    Parameters
    ----------
    lines : of each name, its points: a number and the metric there; at least two points in all, at distinct numbers.
    """
    points = [point for line in lines.values() for point in line]
    numbers = [number for number, _ in points]
    ticks_x = axis(min(numbers), max(numbers))
    ticks_y = axis(min(metric.low for _, metric in points), max(metric.high for _, metric in points))

    def across(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (value - ticks_x[0]) / (ticks_x[-1] - ticks_x[0]), 2)

    def up(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (value - ticks_y[0]) / (ticks_y[-1] - ticks_y[0]), 2)

    drawn, said = [], []
    for name, unsorted in lines.items():
        line = sorted(unsorted, key=lambda point: point[0])
        texts = [f"{number:g}: {metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})" for number, metric in line]
        outline = [(number, metric.high) for number, metric in line] + [(n, m.low) for n, m in reversed(line)]
        drawn.append(
            Line(
                name=name,
                points=[
                    Point(across(number), up(metric.value), signed(f"{name} at {text}"))
                    for (number, metric), text in zip(line, texts, strict=True)
                ],
                band=" ".join(f"{across(number):g},{up(value):g}" for number, value in outline),
            )
        )
        said.append(signed(f"{name} at {', '.join(texts)}"))
    return Curves(
        caption=caption,
        text=f"{caption}, with 95 % intervals. {'; '.join(said)}.",
        across=[(across(tick), _label(tick, ticks_x)) for tick in ticks_x],
        up=[(up(tick), _label(tick, ticks_y)) for tick in ticks_y],
        lines=drawn,
    )


def _label(tick: float, ticks: Sequence[float]) -> str:
    return signed(f"{tick:.{digits_of(ticks)}f}")
