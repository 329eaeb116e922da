"""What one measurement of a layer gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conceptbench.eval.neurons.records import Record

Reason = str | Mapping[str, int]
"""Why something is left out: in words, or how many concepts there are for each reason."""


@dataclass(frozen=True)
class Measured:
    """What one measurement of a layer gives.

    Attributes
    ----------
    rows : of the records.
    counts : how much was measured, by what it is, such as `tree pairs`.
    skipped : why some or all of it was left out, by what it is.
    """

    rows: Sequence[Record] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, Reason] = field(default_factory=dict)


def joined(measurements: Iterable[Measured]) -> Measured:
    """Join several measurements of a layer, whose names differ."""
    rows: list[Record] = []
    counts: dict[str, int] = {}
    skipped: dict[str, Reason] = {}
    for measured in measurements:
        rows += measured.rows
        counts |= measured.counts
        skipped |= measured.skipped
    return Measured(rows, counts, skipped)


def total_counts(layers: Mapping[str, Measured]) -> dict[str, int]:
    """Sum the counts over the layers."""
    totals: dict[str, int] = {}
    for measured in layers.values():
        for what, count in measured.counts.items():
            totals[what] = totals.get(what, 0) + count
    return totals


def skipped_by_layer(layers: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """Give what was left out, and in each layer why."""
    skipped: dict[str, dict[str, Any]] = {}
    for name, measured in layers.items():
        for what, reason in measured.skipped.items():
            skipped.setdefault(what, {})[name] = dict(reason) if isinstance(reason, Mapping) else reason
    return skipped
