"""From records to metrics: nothing else is read, and no probe is fitted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.layers import layer_name
from conceptbench.eval.probing.labels import FEWEST_LABELS, label_correlations
from conceptbench.eval.probing.probe_scores import ProbeScore, score_probes
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.bootstrap import percentile_interval
from conceptbench.eval.stats.intervals import mean_metric, resampled_means
from conceptbench.eval.task import ItemScores, Provenance, Scores
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.similarity import Similarity, check_weights

VALUES: Final = ("auroc", "accuracy", "accuracy_hard")
"""The values of a single probe."""

Metrics = dict[MetricKey, Metric]

_OVERALL: Final = MetricKey("")


@dataclass(frozen=True)
class ProbingScores(Scores):
    """The scores of a run, with those of its probes.

    Attributes
    ----------
    probes : all.
    layer : of the headline; None where no gold concept of the split `test` was probed.
    """

    probes: tuple[ProbeScore, ...] = ()
    layer: int | None = None

    @property
    def headline_probes(self) -> list[ProbeScore]:
        """The probes that the headline is of."""
        return _headline(self.probes, self.layer)


def score(records: pa.Table, provenance: Provenance, progress: Progress | None = None) -> ProbingScores:
    """Compute every metric from the records.

    Parameters
    ----------
    records : a table as in `records.RECORDS`.
    provenance : its `k`, `study`, `seed` and `encoder` are read; the encoder is loaded where the run has the study.

    Raises
    ------
    InputError
        if the encoder that compares labels with words is not the one of the run.
    """
    seed = provenance["seed"]
    probes = score_probes(records)
    by_kind: defaultdict[tuple[str, int | None], list[ProbeScore]] = defaultdict(list)
    for probe in probes:
        by_kind[probe.kind, probe.k].append(probe)
    gold, store, null = (by_kind[kind, None] for kind in ("gold", "store", "null"))
    layer = headline_layer(gold)
    metrics = _gold_metrics(gold, layer, seed) if layer is not None else {}
    metrics |= _store_metrics(store, null, seed)
    metrics |= _selectivity(by_kind["token", None], by_kind["control", None], seed)
    if provenance["study"] is not None:
        by_kind["store", provenance["k"]], by_kind["null", provenance["k"]] = store, null
        for cut in sorted(k for (kind, k), members in by_kind.items() if kind == "store" and k is not None):
            condition = MetricKey("", f"k={cut}")
            metrics |= _compared(by_kind["store", cut], by_kind["null", cut], condition, seed)
    undefined = _undefined(metrics, store)
    if provenance["encoder"] is not None:
        labelled = [probe for probe in store if probe.label is not None and probe.auroc is not None]
        metrics |= _label_correlation(records, labelled, layer, _similarity(provenance, progress), seed)
        undefined |= _undefined_correlation(metrics, labelled)
    return ProbingScores(
        metrics=metrics,
        items=_item_scores(_headline(probes, layer)),
        undefined=undefined,
        facts={"layer": layer},
        variant="" if layer is None else layer_name(layer),
        probes=tuple(probes),
        layer=layer,
    )


def headline_layer(gold: Sequence[ProbeScore]) -> int | None:
    """Choose the layer of the headline: the one with the best mean AUROC over dev concepts.

    It is the last layer where some layer has no dev concept with an AUROC, and None where no test concept was probed.
    """
    if not any(probe.split == "test" for probe in gold):
        return None
    layers = sorted({probe.layer for probe in gold})
    dev = {layer: list(_values(_at(gold, layer, "dev"), "auroc").values()) for layer in layers}
    if len(layers) > 1 and all(dev.values()):
        return max(layers, key=lambda layer: float(np.mean(dev[layer])))
    return layers[-1]


def _headline(probes: Iterable[ProbeScore], layer: int | None) -> list[ProbeScore]:
    return [probe for probe in _at(probes, layer, "test") if probe.kind == "gold"]


def _gold_metrics(gold: Sequence[ProbeScore], layer: int, seed: int) -> Metrics:
    """Average over gold concepts: at the layer of the headline, by layer, by kind of concept, and by both."""
    layers = sorted({probe.layer for probe in gold})
    metrics = _mean(MetricKey("auroc_dev"), _at(gold, layer, "dev"), "auroc", seed)
    for number in layers:
        metrics |= _mean(MetricKey("auroc_dev", group=layer_name(number)), _at(gold, number, "dev"), "auroc", seed)
    for value in VALUES:
        metrics |= _mean(MetricKey(value), _at(gold, layer, "test"), value, seed)
        for number in layers:
            tested = _at(gold, number, "test")
            metrics |= _mean(MetricKey(value, group=layer_name(number)), tested, value, seed)
            for group, members in _grouped(tested).items():
                if number == layer:
                    metrics |= _mean(MetricKey(value, group=group), members, value, seed)
                if value == "auroc":
                    metrics |= _mean(MetricKey(value, group=f"{layer_name(number)}:{group}"), members, value, seed)
    return metrics


def _store_metrics(store: Sequence[ProbeScore], null: Sequence[ProbeScore], seed: int) -> Metrics:
    """Average over the store's concepts and over their null, over all layers and by layer."""
    if not store:
        return {}
    metrics = _compared(store, null, _OVERALL, seed)
    for layer in sorted({probe.layer for probe in store}):
        metrics |= _compared(_at(store, layer), _at(null, layer), MetricKey("", group=layer_name(layer)), seed)
    return metrics


def _compared(store: Sequence[ProbeScore], null: Sequence[ProbeScore], key: MetricKey, seed: int) -> Metrics:
    """Average over clusters of the store and over those of its null, and subtract one mean from the other.

    Parameters
    ----------
    key : gives the condition or group.
    """
    metrics: Metrics = {}
    for value in VALUES:
        metrics |= _mean(key._replace(name=f"store_{value}"), store, value, seed)
    for value, gain in (("auroc", "store_auroc_gain"), ("accuracy", "store_gain")):
        metrics |= _mean(key._replace(name=f"null_{value}"), null, value, seed)
        of_store, of_null = _values(store, value), _values(null, value)
        if of_store and of_null:
            metrics[key._replace(name=gain)] = _difference(of_store, of_null, seed)
    return metrics


def _difference(first: Mapping[str, float], second: Mapping[str, float], seed: int) -> Metric:
    """Subtract the means of values by concept, with the percentile interval over the concepts of both."""
    generator = np.random.default_rng(seed)
    means = [resampled_means(list(values.values()), list(values), generator) for values in (first, second)]
    low, high = percentile_interval(means[0] - means[1])
    value = float(np.mean(list(first.values())) - np.mean(list(second.values())))
    return Metric(value, low, high, len(first))


def _selectivity(token: Sequence[ProbeScore], control: Sequence[ProbeScore], seed: int) -> Metrics:
    """Compare accuracies on the concepts' labels and on control labels, over all layers and by layer."""
    control_of = {probe.concept: probe for probe in control}
    pairs = [(probe, control_of[probe.concept]) for probe in token if probe.concept in control_of]
    metrics: Metrics = {}
    for layer in [None, *sorted({probe.layer for probe in token})] if token else []:
        members = [pair for pair in pairs if layer is None or pair[0].layer == layer]
        concepts = [probe.concept for probe, _ in members]
        columns = {
            "token_accuracy": [probe.accuracy for probe, _ in members],
            "control_accuracy": [on_control.accuracy for _, on_control in members],
            "selectivity": [probe.accuracy - on_control.accuracy for probe, on_control in members],
        }
        group = "" if layer is None else layer_name(layer)
        metrics |= {
            MetricKey(name, group=group): mean_metric(values, concepts, seed) for name, values in columns.items()
        }
    return metrics


def _label_correlation(
    records: pa.Table, labelled: Sequence[ProbeScore], layer: int | None, similarity: Similarity, seed: int
) -> Metrics:
    """Correlate labels with probes by layer, and at the layer of the headline."""
    by_layer = label_correlations(records, labelled, similarity, seed) if labelled else {}
    metrics = {MetricKey("label_correlation", group=layer_name(at)): metric for at, metric in by_layer.items()}
    if layer in by_layer:
        metrics[MetricKey("label_correlation")] = by_layer[layer]
    return metrics


def _similarity(provenance: Provenance, progress: Progress | None) -> Similarity:
    """Open the encoder of a run; on the CPU if the run was told so, since other devices may not exist here."""
    encoder = provenance["encoder"]
    device = "cpu" if provenance.get("device") == "cpu" else None
    similarity = Similarity(encoder["model"], progress, device)
    check_weights(similarity, encoder["digest"])
    return similarity


def _item_scores(probes: Sequence[ProbeScore]) -> ItemScores:
    """Give the scores of the probes of the headline."""
    return ItemScores(
        values={value: _values(probes, value) for value in VALUES},
        groups={probe.concept: probe.concept for probe in probes},
    )


def _undefined(metrics: Metrics, store: Sequence[ProbeScore]) -> dict[str, str]:
    """Say why metrics are absent."""
    reasons = {
        "auroc": "No gold concept of the split test could be probed.",
        "store_auroc": "No concept of the store could be probed: `skipped` says why.",
        "null_auroc": "No cluster of permuted vectors could be probed: `skipped` says why.",
        "selectivity": "No concept of the store has words with tokens on both sides of the split.",
    }
    if not store:
        del reasons["null_auroc"]
    return {name: why for name, why in reasons.items() if MetricKey(name) not in metrics}


def _undefined_correlation(metrics: Metrics, labelled: Sequence[ProbeScore]) -> dict[str, str]:
    """Say why `label_correlation` is absent."""
    if MetricKey("label_correlation") in metrics:
        return {}
    if not labelled:
        return {"label_correlation": "The store's concepts have no labels: name them with `conceptbench build`."}
    return {
        "label_correlation": (
            f"At the layer of the headline fewer than {FEWEST_LABELS} concepts have both a label and a probe, or all "
            "labels or probes are alike."
        )
    }


def _mean(key: MetricKey, probes: Iterable[ProbeScore], value: str, seed: int) -> Metrics:
    """Average a value over the probes that have it; nothing where none has."""
    values = _values(probes, value)
    return {key: mean_metric(list(values.values()), list(values), seed)} if values else {}


def _values(probes: Iterable[ProbeScore], value: str) -> dict[str, float]:
    scores = {probe.concept: getattr(probe, value) for probe in probes}
    return {concept: number for concept, number in scores.items() if number is not None}


def _at(probes: Iterable[ProbeScore], layer: int | None, split: str = "") -> list[ProbeScore]:
    return [probe for probe in probes if probe.layer == layer and split in {"", probe.split}]


def _grouped(probes: Iterable[ProbeScore]) -> Mapping[str, list[ProbeScore]]:
    groups: defaultdict[str, list[ProbeScore]] = defaultdict(list)
    for probe in probes:
        groups[str(probe.group)].append(probe)
    return groups
