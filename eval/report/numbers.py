"""How numbers are written in reports."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.result import Metric

_NBSP: Final = "\N{NO-BREAK SPACE}"


def signed(text: str) -> str:
    """Write numbers with a minus sign instead of a hyphen.

    Examples
    --------
    >>> signed("-0.5 to 1.0")
    '−0.5 to 1.0'
    """
    return text.replace("-", "−")


def value(metric: Metric) -> str:
    """Write a metric's value.

    Examples
    --------
    >>> value(Metric(-0.25, -0.5, 0.0, 40))
    '−0.250'
    """
    return signed(f"{metric.value:.3f}")


def interval(metric: Metric) -> str:
    """Write a metric's value with its interval.

    Examples
    --------
    >>> interval(Metric(0.75, 0.6, 0.9, 40))
    '0.750 (0.600 to 0.900)'
    """
    return signed(f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})")


def interval_and_n(metric: Metric) -> str:
    """Write a metric's interval and its number of items, with spaces at which no line is broken.

    Examples
    --------
    >>> interval_and_n(Metric(0.75, 0.6, 0.9, 1200)).replace(_NBSP, " ")
    '0.600 to 0.900, n 1,200'
    """
    return signed(f"{metric.low:.3f}{_NBSP}to{_NBSP}{metric.high:.3f}, n{_NBSP}{metric.n:,}")


def percent(metric: Metric) -> str:
    """Write a share as a percentage.

    Examples
    --------
    >>> percent(Metric(0.75, 0.6, 0.9, 40))
    '75 %'
    """
    return f"{100 * metric.value:.0f} %"
