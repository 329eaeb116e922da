"""Rows of a run and the groups that metrics are broken down by; the values of single rows and their means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from conceptbench.benchmark.schema import slug
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.intervals import mean_metric

SIZES: Final = ((10, "size=1-9"), (30, "size=10-29"), (100, "size=30-99"))
LARGEST: Final = "size=100+"

Values = Mapping[int, float]
"""The values of single items, by their number among the items of a run."""


@dataclass(frozen=True)
class Measured:
    """What one set of scores gives.

    `values` has for each metric the values of single items, whose means are metrics; `metrics` are those that are no
    such means; `undefined` says why a metric is absent.
    """

    values: Mapping[str, Values] = field(default_factory=dict)
    metrics: Mapping[MetricKey, Metric] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)


def resampled_units(items: Sequence[Record], numbers: Sequence[int]) -> list[str]:
    """Give the concepts of some items, which intervals resample; those of two corpora are apart, whatever their ids."""
    return [
        f"{item.condition}|{item.concept}" if item.condition.startswith("corpus=") else item.concept
        for item in (items[number] for number in numbers)
    ]


def breakdowns(items: Sequence[Record], numbers: Sequence[int]) -> dict[MetricKey, list[int]]:
    """Group some items: all of them, and by condition, kind, purity, layer and size.

    Returns
    -------
    the numbers of the items in each group, by the key of a metric without a name.
    """
    models = len({item.model for item in items})
    groups: defaultdict[MetricKey, list[int]] = defaultdict(list)
    for number in numbers:
        for key in _groups_of(items[number], models):
            groups[key].append(number)
    return groups


def means(items: Sequence[Record], values: Mapping[str, Values], seed: int) -> dict[MetricKey, Metric]:
    """Average the values of each metric over all items that have one, and in each group."""
    return {
        key._replace(name=name): mean_metric(
            [by_item[number] for number in numbers], resampled_units(items, numbers), seed
        )
        for name, by_item in values.items()
        for key, numbers in breakdowns(items, list(by_item)).items()
    }


def _groups_of(item: Record, models: int) -> Iterator[MetricKey]:
    condition = item.condition
    yield MetricKey("")
    if condition:
        yield MetricKey("", condition)
    if item.kind is not None:
        yield MetricKey("", condition, item.kind)
        yield MetricKey("", condition, f"purity={item.purity:g}")
    if item.layer is not None and item.size is not None:
        yield MetricKey("", condition, _layer_name(item.model or "", item.layer, models))
        yield MetricKey("", condition, next((name for limit, name in SIZES if item.size < limit), LARGEST))


def _layer_name(model: str, layer: int, models: int) -> str:
    """Name a layer in a breakdown: `L03`, with the model before it where there are several."""
    return f"L{layer:02d}" if models == 1 else f"{slug(model)}-L{layer:02d}"
