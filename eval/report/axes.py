"""The axes of plots: round ticks and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence


def axis(low: float, high: float) -> list[float]:
    """Give the ticks of an axis, 3 to 8 round numbers in even steps that enclose both ends.

    An axis of numbers between 0 and 1 does not leave them.
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
    """Give the decimals that tell even ticks apart."""
    return max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))


def signed(number: str) -> str:
    """Write a number with a minus sign instead of a hyphen."""
    return number.replace("-", "−")
