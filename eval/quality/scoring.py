"""From records to numbers: every score of the quality task, computed from the records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from conceptbench.eval.quality.information import Table, mean_information, mutual_information
from conceptbench.eval.quality.overlap import FEWEST_TYPES
from conceptbench.eval.quality.records import Record
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric

CURVE: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Thresholds of the breakdown `at=`."""

_LIMITED = "It takes all clusters of a layer: leave --limit out."
_CURVED = ("alignment", "alignment_null", "alignment_known", "alignment_known_null", "coverage", "coverage_null")
_OF_CELLS = ("alignment", "alignment_null", "coverage", "coverage_null")


@dataclass
class Scores:
    """What the records come to.

    `values` of single rows by metric, by the row's place in `rows`, which are those of the main clustering; and the
    metrics with their breakdowns.
    """

    rows: list[Record]
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Group:
    """A breakdown: its name, its rows, the kind that alone counts, and the metrics to give; all where empty."""

    name: str
    rows: Sequence[Record]
    kind: str = ""
    only: Sequence[str] = ()


def score(records: Sequence[Record], *, threshold: float, limited: bool = False, seed: int = 0) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    records : rows as in `records.RECORDS`.
    threshold : the share of a cluster's tokens from which it is aligned.
    limited : not all clusters are there, so that what needs all is not given.
    seed : of the intervals.
    """
    main = [record for record in records if record["main"]]
    scores = Scores(main)
    for name, values in row_values(main, threshold).items():
        if values:
            scores.values[name] = values
    tables = _Tables()
    for group in _groups(records):
        found = row_values(group.rows, threshold, group.kind)
        for name, values in found.items():
            if values and (not group.only or name in group.only):
                scores.metrics[name + group.name] = _mean(group.rows, values, seed)
        information = None if limited else tables.metric(group.rows, group.kind)
        if information is not None:
            scores.metrics["ami" + group.name] = information
    for at in CURVE:
        found = row_values(main, at)
        for name in _CURVED:
            if found[name]:
                scores.metrics[f"{name}/at={at:g}"] = _mean(main, found[name], seed)
    if "alignment_known" not in scores.metrics:
        scores.undefined["alignment_known"] = f"No cluster has {FEWEST_TYPES} word types that the lexicon has."
    if "coverage" not in scores.metrics:
        scores.undefined["coverage"] = (
            _LIMITED if limited else f"No gold concept has {FEWEST_TYPES} word types among the tokens."
        )
    if "ami" not in scores.metrics:
        scores.undefined["ami"] = _LIMITED if limited else "No kind has enough words of two gold concepts."
    return scores


def row_values(rows: Sequence[Record], threshold: float, kind: str = "") -> dict[str, dict[int, float]]:
    """Give the values of single clusters and gold concepts, by metric and place; of one kind alone if it is named."""
    values: dict[str, dict[int, float]] = {
        name + suffix: {}
        for name, suffixes in (
            ("alignment", ("", "_null", "_gain")),
            ("alignment_known", ("", "_null", "_gain")),
            ("coverage", ("", "_null", "_gain")),
            ("purity", ("", "_null")),
        )
        for suffix in suffixes
    }
    for place, row in enumerate(rows):
        if row["role"] == "gold":
            if kind in {"", row["kind"]}:
                _put(values, "coverage", place, row["share"], np.array(row["null_shares"]), threshold)
            continue
        own, null = _best(row, kind)
        share, null_shares = own / row["tokens"], null / row["tokens"]
        _put(values, "alignment", place, share, null_shares, threshold)
        values["purity"][place] = share
        values["purity_null"][place] = float(null_shares.mean())
        if row["known_types"] >= FEWEST_TYPES:
            known = row["known_tokens"]
            _put(values, "alignment_known", place, own / known, null / known, threshold)
    return values


def _put(
    values: dict[str, dict[int, float]], name: str, place: int, share: float, null: np.ndarray, threshold: float
) -> None:
    reached, by_chance = float(share >= threshold), float((null >= threshold).mean())
    values[name][place] = reached
    values[f"{name}_null"][place] = by_chance
    values[f"{name}_gain"][place] = reached - by_chance


def _best(row: Record, kind: str) -> tuple[int, np.ndarray]:
    """Give the tokens of a cluster's best gold concept, and those in each shuffle: at least one number."""
    best = [one for one in row["best"] if kind in {"", one["kind"]}]
    if not best:
        return 0, np.zeros(1)
    return max(one["tokens"] for one in best), np.max([one["null"] for one in best], axis=0)


def _groups(records: Sequence[Record]) -> list[_Group]:
    """Group rows: those of the main clustering by layer, kind and both; all by method; those of the tree by k."""
    main = [record for record in records if record["main"]]
    present = {record["kind"] for record in main if record["kind"] is not None}
    kinds = [kind for kind in dict.fromkeys(_kinds(main)) if kind in present]
    layers = {layer: [r for r in main if r["layer"] == layer] for layer in sorted({r["layer"] for r in main})}
    groups = [_Group("", main)]
    if len(layers) > 1:
        groups += [_Group(f"/L{layer:02d}", rows) for layer, rows in layers.items()]
    groups += [_Group(f"/{kind}", main, kind) for kind in kinds]
    groups += [
        _Group(f"/L{layer:02d}:{kind}", rows, kind, _OF_CELLS) for layer, rows in layers.items() for kind in kinds
    ]
    at_own_k = [record for record in records if not record["recut"]]
    methods = list(dict.fromkeys(record["method"] for record in at_own_k))
    if len(methods) > 1:
        groups += [_Group(f"/{method}", [r for r in at_own_k if r["method"] == method]) for method in methods]
    if len(at_own_k) < len(records):
        tree = [record for record in records if record["method"] == "ward"]
        groups += [_Group(f"/k={k}", [r for r in tree if r["k"] == k]) for k in sorted({r["k"] for r in tree})]
    return [group for group in groups if group.rows]


def _kinds(rows: Sequence[Record]) -> list[str]:
    return sorted({one["kind"] for row in rows for one in row["best"]})


def _mean(rows: Sequence[Record], values: Mapping[int, float], seed: int) -> Metric:
    """Over clusters, each a group of its own; of a gold concept the layers are one group."""
    return mean_metric(list(values.values()), [rows[place]["item"] for place in values], seed)


class _Tables:
    """The adjusted mutual information of each clustering and kind, computed once."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str, int, str], tuple[set[str], list[float] | None]] = {}

    def metric(self, rows: Sequence[Record], kind: str) -> Metric | None:
        """Give the mean over the clusterings of the rows and their kinds, or the one that is named."""
        clusterings: dict[tuple[int, str, int], list[Record]] = {}
        for row in rows:
            if row["role"] == "cluster":
                clusterings.setdefault((row["layer"], row["method"], row["k"]), []).append(row)
        words: set[str] = set()
        found = []
        for key, own in clusterings.items():
            for one in [kind] if kind else _kinds(own):
                if (*key, one) not in self._found:
                    table = _table(own, one)
                    self._found[*key, one] = set(table[0]), mutual_information(table)
                its_words, values = self._found[*key, one]
                if values is not None:
                    words |= its_words
                    found.append(values)
        return mean_information(found, len(words)) if found else None


def _table(rows: Sequence[Record], kind: str) -> Table:
    triples = [
        (one["word"], cluster, one["gold"])
        for cluster, row in enumerate(rows)
        for one in row["alone"]
        if one["kind"] == kind
    ]
    return [t[0] for t in triples], [t[1] for t in triples], [t[2] for t in triples]
