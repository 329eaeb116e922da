"""How numbers are written on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conceptbench.eval.report.numbers import signed


def score(value: float) -> str:
    """Write a metric's value.

    Examples
    --------
    >>> score(0.25)
    '0.250'
    """
    # Adding 0.0 turns minus zero into zero.
    return signed(f"{round(value, 3) + 0.0:.3f}")


def interval(metric: Mapping[str, Any]) -> str:
    """Write a metric's interval; an empty text for figures from papers, whose n is 0 and whose interval is unknown."""
    return f"{score(metric['low'])} to {score(metric['high'])}" if metric.get("n") != 0 else ""


def with_interval(metric: Mapping[str, Any]) -> str:
    """Write a metric with its interval."""
    ends = interval(metric)
    return f"{score(metric['value'])} ({ends})" if ends else score(metric["value"])


def p_value(p: float) -> str:
    """Write a p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def dollars(amount: float) -> str:
    """Write an amount of US dollars: with cents, and below ten cents with two significant digits.

    Examples
    --------
    >>> dollars(12.5), dollars(0.00021)
    ('$12.50', '$0.00021')
    """
    if amount == 0 or amount >= 0.1:
        return f"${amount:,.2f}"
    digits = next(digits for digits in range(2, 20) if round(amount, digits) > 0) + 1
    return f"${amount:.{digits}f}"


def duration(seconds: float) -> str:
    """Write a time in seconds, minutes or hours.

    Examples
    --------
    >>> duration(600)
    '10 min'
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
