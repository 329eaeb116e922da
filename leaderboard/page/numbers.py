"""How numbers are written on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conceptbench.eval.report.axes import signed


def score(value: float) -> str:
    """Write a metric's value."""
    # Added 0.0 makes a zero of a minus zero.
    return signed(f"{round(value, 3) + 0.0:.3f}")


def interval(metric: Mapping[str, Any]) -> str:
    """Write a metric's interval; nothing where none is known, as of figures from papers, whose n is 0."""
    return f"{score(metric['low'])} to {score(metric['high'])}" if metric.get("n") != 0 else ""


def with_interval(metric: Mapping[str, Any]) -> str:
    """Write a metric with its interval."""
    found = interval(metric)
    return f"{score(metric['value'])} ({found})" if found else score(metric["value"])


def p_value(p: float) -> str:
    """Write a p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def dollars(amount: float) -> str:
    """Write an amount of US dollars: cents, and of less than ten cents two digits that tell something."""
    if amount == 0 or amount >= 0.1:
        return f"${amount:,.2f}"
    digits = next(digits for digits in range(2, 20) if round(amount, digits) > 0) + 1
    return f"${amount:.{digits}f}"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
