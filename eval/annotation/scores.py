"""The scores of a run on the way from records to metrics, with their breakdowns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from conceptbench.benchmark.lexicon import LANGUAGE_PREFIX, GoldConcept, load_language, load_lexicon
from conceptbench.eval.annotation.items import layer_group
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric

SIZES: Final = ((10, "size=1-9"), (30, "size=10-29"), (100, "size=30-99"))
LARGEST: Final = "size=100+"


@dataclass
class Scores:
    """What the records come to.

    `values[metric]` has a number for each row it is defined for, by the row's place among the items (`items`);
    `metrics` their means and all that is no mean, with breakdowns; `undefined` why a metric is absent.
    """

    items: list[Record]
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def concepts(self, rows: Sequence[int]) -> list[str]:
        """Give the concepts of some rows: what is resampled. Those of two stores are apart, whatever their ids."""
        records = [self.items[row] for row in rows]
        return [
            f"{r['condition']}|{r['concept']}" if r["condition"].startswith("corpus=") else r["concept"]
            for r in records
        ]

    def summarise(self, seed: int) -> None:
        """Turn all values into metrics: their means, over all rows and by group."""
        for name, values in self.values.items():
            for group, rows in self.groups(list(values)).items():
                self.metrics[name + group] = mean_metric([values[row] for row in rows], self.concepts(rows), seed)

    def groups(self, rows: Sequence[int]) -> dict[str, list[int]]:
        """Group rows for the breakdowns: all of them, and by condition, kind, purity, layer and size."""
        models = len({record["model"] for record in self.items})
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            for group in _groups_of(self.items[row], models):
                groups[group].append(row)
        return groups


def gold_of(record: Record) -> GoldConcept | None:
    """Give the gold concept of an item; None for a concept of a store."""
    if record["language"] is None:
        return None
    small = record["concept"].startswith(LANGUAGE_PREFIX)
    return (load_language(record["language"]) if small else load_lexicon()).get(record["concept"])


def _groups_of(record: Record, models: int) -> list[str]:
    condition = f"/{record['condition']}" if record["condition"] else ""
    groups = ["", condition] if condition else [""]
    if record["kind"] is not None:
        groups += [f"{condition}/{record['kind']}", f"{condition}/purity={record['purity']:g}"]
    if record["layer"] is not None:
        size = next((name for limit, name in SIZES if record["size"] < limit), LARGEST)
        groups += [f"{condition}/{layer_group(record['model'], record['layer'], models)}", f"{condition}/{size}"]
    return groups
