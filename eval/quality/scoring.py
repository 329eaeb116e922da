"""From records to numbers: every score of the quality task, computed from the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from conceptbench.eval.quality.information import Table, mean_information, mutual_information
from conceptbench.eval.quality.overlap import FEWEST_TYPES
from conceptbench.eval.quality.records import CLUSTER, GOLD, Record
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.eval.task import ItemScores, Provenance, Scores
from conceptbench.runtime.progress import Progress

CURVE: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Thresholds of the breakdown `at=`."""

Values = dict[int, float]
"""The value of single rows, by their position."""

_LIMITED = "It takes all clusters of a layer: leave --limit out."
_CURVED = ("alignment", "alignment_null", "alignment_known", "alignment_known_null", "coverage", "coverage_null")
_OF_CELLS = ("alignment", "alignment_null", "coverage", "coverage_null")


@dataclass(frozen=True)
class _Group:
    """A breakdown: its key, its rows, the kind that alone counts, and the metrics to give; all where empty."""

    key: MetricKey
    rows: Sequence[Record]
    kind: str = ""
    only: Sequence[str] = ()


def score(rows: Sequence[Record], provenance: Provenance, _progress: Progress | None = None) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    rows : see `records.Record`.
    provenance : its `threshold`, `limit` and `seed` are read.
    """
    threshold, seed = provenance["threshold"], provenance["seed"]
    limited = provenance["limit"] is not None
    main = [row for row in rows if row.main]
    tables = _Tables()
    metrics: dict[MetricKey, Metric] = {}
    for group in _groups(rows):
        for name, values in row_values(group.rows, threshold, group.kind).items():
            if values and (not group.only or name in group.only):
                metrics[group.key._replace(name=name)] = _mean(group.rows, values, seed)
        information = None if limited else tables.metric(group.rows, group.kind)
        if information is not None:
            metrics[group.key._replace(name="ami")] = information
    return Scores(
        metrics=metrics | _curve(main, seed),
        items=_item_scores(main, threshold),
        undefined=_undefined(metrics, limited),
    )


def row_values(rows: Sequence[Record], threshold: float, kind: str = "") -> dict[str, Values]:
    """Give the values of single clusters and gold concepts, by metric; of one kind alone if it is named."""
    values: dict[str, Values] = {
        name + suffix: {}
        for name, suffixes in (
            ("alignment", ("", "_null", "_gain")),
            ("alignment_known", ("", "_null", "_gain")),
            ("coverage", ("", "_null", "_gain")),
            ("purity", ("", "_null")),
        )
        for suffix in suffixes
    }
    for position, row in enumerate(rows):
        for name, value in _values_of(row, threshold, kind).items():
            values[name][position] = value
    return values


def _values_of(row: Record, threshold: float, kind: str) -> dict[str, float]:
    """Give the values of one row."""
    if row.role == GOLD:
        if kind not in {"", row.kind}:
            return {}
        return _reached("coverage", row.share, np.array(row.null_shares), threshold)
    tokens, null = _best(row, kind)
    share, null_shares = tokens / row.tokens, null / row.tokens
    values = _reached("alignment", share, null_shares, threshold)
    values |= {"purity": share, "purity_null": float(null_shares.mean())}
    if row.known_types is not None and row.known_tokens and row.known_types >= FEWEST_TYPES:
        values |= _reached("alignment_known", tokens / row.known_tokens, null / row.known_tokens, threshold)
    return values


def _reached(name: str, share: float, null: np.ndarray, threshold: float) -> dict[str, float]:
    """Tell whether a share reaches the threshold, and how often it does by chance."""
    reached, by_chance = float(share >= threshold), float((null >= threshold).mean())
    return {name: reached, f"{name}_null": by_chance, f"{name}_gain": reached - by_chance}


def _best(row: Record, kind: str) -> tuple[int, np.ndarray]:
    """Give the tokens of a cluster's best gold concept, and those in each shuffle: at least one number."""
    best = [concept for concept in row.best if kind in {"", concept.kind}]
    if not best:
        return 0, np.zeros(1)
    return max(concept.tokens for concept in best), np.max([concept.null for concept in best], axis=0)


def _groups(rows: Sequence[Record]) -> Iterator[_Group]:
    """Group rows: those of the main clustering by layer, kind and both; all by method; those of the tree by k."""
    main = [row for row in rows if row.main]
    present = {row.kind for row in main if row.kind is not None}
    kinds = [kind for kind in _kinds(main) if kind in present]
    layers = {layer: [row for row in main if row.layer == layer] for layer in sorted({row.layer for row in main})}
    at_layer_k = [row for row in rows if not row.recut]
    methods = list(dict.fromkeys(row.method for row in at_layer_k))
    groups = [_Group(MetricKey(""), main)]
    if len(layers) > 1:
        groups += [_Group(_group(f"L{layer:02d}"), members) for layer, members in layers.items()]
    groups += [_Group(_group(kind), main, kind) for kind in kinds]
    groups += [
        _Group(_group(f"L{layer:02d}:{kind}"), members, kind, _OF_CELLS)
        for layer, members in layers.items()
        for kind in kinds
    ]
    if len(methods) > 1:
        groups += [_Group(_group(method), [row for row in at_layer_k if row.method == method]) for method in methods]
    if len(at_layer_k) < len(rows):
        tree = [row for row in rows if row.method == "ward"]
        groups += [
            _Group(MetricKey("", f"k={k}"), [row for row in tree if row.k == k])
            for k in sorted({row.k for row in tree})
        ]
    return (group for group in groups if group.rows)


def _group(name: str) -> MetricKey:
    return MetricKey("", group=name)


def _kinds(rows: Sequence[Record]) -> list[str]:
    return sorted({concept.kind for row in rows for concept in row.best})


def _mean(rows: Sequence[Record], values: Values, seed: int) -> Metric:
    """Average over clusters, each a group by itself; the layers of a gold concept are one group."""
    return mean_metric(list(values.values()), [rows[position].item for position in values], seed)


def _curve(rows: Sequence[Record], seed: int) -> dict[MetricKey, Metric]:
    """Give the main metrics at other thresholds."""
    return {
        MetricKey(name, group=f"at={threshold:g}"): _mean(rows, values, seed)
        for threshold in CURVE
        for name, values in row_values(rows, threshold).items()
        if values and name in _CURVED
    }


def _item_scores(rows: Sequence[Record], threshold: float) -> ItemScores:
    """Give the values of single clusters, and of gold concepts in a layer."""
    names = [row.item if row.role == CLUSTER else f"L{row.layer:02d}/{row.item}" for row in rows]
    return ItemScores(
        values={
            metric: {names[position]: value for position, value in values.items()}
            for metric, values in row_values(rows, threshold).items()
            if values
        },
        groups={name: row.item for name, row in zip(names, rows, strict=True)},
    )


def _undefined(metrics: Mapping[MetricKey, Metric], limited: bool) -> dict[str, str]:
    """Say why headline metrics are absent."""
    reasons = {
        "alignment_known": f"No cluster has {FEWEST_TYPES} word types that the lexicon has.",
        "coverage": _LIMITED if limited else f"No gold concept has {FEWEST_TYPES} word types among the tokens.",
        "ami": _LIMITED if limited else "No kind has enough words of two gold concepts.",
    }
    return {name: why for name, why in reasons.items() if MetricKey(name) not in metrics}


class _Tables:
    """The adjusted mutual information of each clustering and kind, computed once."""

    def __init__(self) -> None:
        self._computed: dict[tuple[int, str, int, str], tuple[set[str], list[float] | None]] = {}

    def metric(self, rows: Sequence[Record], kind: str) -> Metric | None:
        """Give the mean over the clusterings of the rows and their kinds, or the one that is named."""
        clusterings: dict[tuple[int, str, int], list[Record]] = {}
        for row in rows:
            if row.role == CLUSTER:
                clusterings.setdefault((row.layer, row.method, row.k), []).append(row)
        words: set[str] = set()
        information = []
        for key, clusters in clusterings.items():
            for table_kind in [kind] if kind else _kinds(clusters):
                if (*key, table_kind) not in self._computed:
                    table = _table(clusters, table_kind)
                    self._computed[*key, table_kind] = set(table[0]), mutual_information(table)
                table_words, values = self._computed[*key, table_kind]
                if values is not None:
                    words |= table_words
                    information.append(values)
        return mean_information(information, len(words)) if information else None


def _table(rows: Sequence[Record], kind: str) -> Table:
    triples = [
        (home.word, cluster, home.gold) for cluster, row in enumerate(rows) for home in row.alone if home.kind == kind
    ]
    return [t[0] for t in triples], [t[1] for t in triples], [t[2] for t in triples]
