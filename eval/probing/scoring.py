"""From records to metrics: nothing else is read, and no probe fitted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from conceptbench.eval.methods.probes.metrics import accuracies, aurocs
from conceptbench.eval.probing.records import coded
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import RESAMPLES, mean_metric, resampled
from conceptbench.runtime.similarity import Similarity

VALUES: Final = ("auroc", "accuracy", "accuracy_hard")

_FEWEST_LABELS = 10


@dataclass(frozen=True)
class Probe:
    """What one probe comes to on its test tokens; `rows` are those of the records. The other fields are theirs too.

    `accuracy_hard` weighs positives and negatives from near concepts by one half each; None where it has none of them.
    """

    kind: str
    k: int | None
    layer: int
    concept: str
    group: str | None
    split: str | None
    label: str | None
    rows: np.ndarray
    auroc: float | None
    accuracy: float
    accuracy_hard: float | None


@dataclass
class Scores:
    """The probes, the layer of the headline (None without gold probes), all metrics, and why some are absent."""

    probes: list[Probe]
    layer: int | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def gold(self) -> list[Probe]:
        """Give the probes that the headline is of."""
        return [one for one in self.probes if one.kind == "gold" and one.split == "test" and one.layer == self.layer]


def score(
    records: pa.Table,
    *,
    k: int | None = None,
    study: str | None = None,
    similarity: Similarity | None = None,
    seed: int = 0,
) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    records : a table as in `records.RECORDS`.
    k : concepts of a layer of the store, for the names of a study's cuts.
    study : `k`, or None.
    similarity : of the pinned encoder, for `label_correlation`; left out where None.
    seed : of the intervals.
    """
    scores = Scores(probes_of(records))
    by_kind: defaultdict[str, list[Probe]] = defaultdict(list)
    for one in scores.probes:
        by_kind[one.kind if one.k is None else f"{one.kind}/k={one.k}"].append(one)
    _score_gold(scores, by_kind["gold"], seed)
    _score_store(scores, by_kind["store"], by_kind["null"], seed)
    _score_selectivity(scores, by_kind["token"], by_kind["control"], seed)
    if study is not None:
        by_kind[f"store/k={k}"], by_kind[f"null/k={k}"] = by_kind["store"], by_kind["null"]
        for cut in sorted(int(name.partition("=")[2]) for name in by_kind if name.startswith("store/k=")):
            _put_store(scores, by_kind[f"store/k={cut}"], by_kind[f"null/k={cut}"], f"/k={cut}", seed)
        if similarity is not None:
            _correlate(scores, records, by_kind["store"], similarity, seed)
    return scores


def probes_of(records: pa.Table) -> list[Probe]:
    """Measure each probe of the records."""
    if not len(records):
        return []
    codes = {name: coded(records, name) for name in ("kind", "concept", "group", "split", "label", "word")}
    ks = records["k"].fill_null(-1).to_numpy()
    layers = records["layer"].to_numpy()
    key = np.stack([codes["kind"][0], ks, layers, codes["concept"][0]]).astype(np.int64)
    flat = np.ravel_multi_index(key - key.min(axis=1, keepdims=True), np.ptp(key, axis=1) + 1)
    _, first, owner = np.unique(flat, return_index=True, return_inverse=True)
    positive, hard = records["positive"].to_numpy(), records["hard"].to_numpy()
    logits, words = records["logit"].to_numpy().astype(np.float64), codes["word"][0].astype(np.int64)
    correct = (logits > 0) == positive

    def shares(chosen: np.ndarray) -> list[float | None]:
        found = accuracies(correct[chosen], owner[chosen], words[chosen], len(first))
        return [None if metric is None else metric.value for metric in found]

    accuracy, right, rejected = shares(np.ones(len(owner), dtype=bool)), shares(positive), shares(hard & ~positive)
    ranked = aurocs(logits, positive, owner, words, len(first))
    rows = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])

    def name(column: str, row: int) -> str | None:
        code = codes[column][0][row]
        return None if code < 0 else codes[column][1][code]

    found = []
    for place in np.argsort(first).tolist():
        row = int(first[place])
        took, kept_out, area = right[place], rejected[place], ranked[place]
        found.append(
            Probe(
                kind=str(name("kind", row)),
                k=None if ks[row] < 0 else int(ks[row]),
                layer=int(layers[row]),
                concept=str(name("concept", row)),
                group=name("group", row),
                split=name("split", row),
                label=name("label", row),
                rows=rows[place],
                auroc=None if area is None else area.value,
                accuracy=float(accuracy[place] or 0.0),
                accuracy_hard=None if took is None or kept_out is None else (took + kept_out) / 2,
            )
        )
    return found


def layer_profiles(probes: Iterable[Probe]) -> dict[str, dict[int, float]]:
    """Give the AUROC of each gold concept at each layer."""
    profiles: dict[str, dict[int, float]] = {}
    for one in probes:
        if one.kind == "gold" and one.auroc is not None:
            profiles.setdefault(one.concept, {})[one.layer] = one.auroc
    return profiles


def layer_name(layer: int) -> str:
    """Name a layer in a breakdown."""
    return f"L{layer:02d}"


def _score_gold(scores: Scores, probes: Sequence[Probe], seed: int) -> None:
    layers = sorted({one.layer for one in probes})
    test = [one for one in probes if one.split == "test"]
    if not test:
        scores.undefined["auroc"] = "No gold concept of the split test could be probed."
        return
    dev = {
        layer: _values([one for one in probes if one.split == "dev" and one.layer == layer], "auroc")
        for layer in layers
    }
    if len(layers) > 1 and all(dev.values()):
        scores.layer = max(layers, key=lambda layer: float(np.mean(list(dev[layer].values()))))
    else:
        # Without dev concepts there is nothing to choose by, and the last layer has the say.
        scores.layer = layers[-1]
    _put(
        scores,
        "auroc_dev",
        "",
        [one for one in probes if one.split == "dev" and one.layer == scores.layer],
        "auroc",
        seed,
    )
    for layer in layers:
        _put(
            scores,
            "auroc_dev",
            f"/{layer_name(layer)}",
            [one for one in probes if one.split == "dev" and one.layer == layer],
            "auroc",
            seed,
        )
    for value in VALUES:
        _put(scores, value, "", scores.gold(), value, seed)
        for layer in layers:
            at = [one for one in test if one.layer == layer]
            _put(scores, value, f"/{layer_name(layer)}", at, value, seed)
            for group, own in _grouped(at).items():
                if layer == scores.layer:
                    _put(scores, value, f"/{group}", own, value, seed)
                if value == "auroc":
                    _put(scores, value, f"/{layer_name(layer)}:{group}", own, value, seed)


def _score_store(scores: Scores, store: Sequence[Probe], null: Sequence[Probe], seed: int) -> None:
    if not store:
        scores.undefined["store_auroc"] = "No concept of the store could be probed: `skipped` says why."
        return
    if not null:
        scores.undefined["null_auroc"] = "No cluster of permuted vectors could be probed: `skipped` says why."
    _put_store(scores, store, null, "", seed)
    for layer in sorted({one.layer for one in store}):
        at = [[one for one in probes if one.layer == layer] for probes in (store, null)]
        _put_store(scores, at[0], at[1], f"/{layer_name(layer)}", seed)


def _put_store(scores: Scores, store: Sequence[Probe], null: Sequence[Probe], group: str, seed: int) -> None:
    for value in VALUES:
        _put(scores, f"store_{value}", group, store, value, seed)
    for value, gain in (("auroc", "store_auroc_gain"), ("accuracy", "store_gain")):
        _put(scores, f"null_{value}", group, null, value, seed)
        own, other = _values(store, value), _values(null, value)
        if own and other:
            generator = np.random.default_rng(seed)
            draws = [resampled(list(values.values()), list(values), generator) for values in (own, other)]
            low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
            difference = float(np.mean(list(own.values())) - np.mean(list(other.values())))
            scores.metrics[gain + group] = Metric(difference, float(low), float(high), len(own))


def _score_selectivity(scores: Scores, token: Sequence[Probe], control: Sequence[Probe], seed: int) -> None:
    if not token:
        scores.undefined["selectivity"] = "No concept of the store has words with tokens on both sides of the split."
        return
    of_control = {one.concept: one for one in control}
    pairs = [(one, of_control[one.concept]) for one in token if one.concept in of_control]
    for group, own in {
        "": pairs,
        **{
            f"/{layer_name(layer)}": [pair for pair in pairs if pair[0].layer == layer]
            for layer in sorted({one.layer for one in token})
        },
    }.items():
        names = [one.concept for one, _ in own]
        columns = {
            "token_accuracy": [one.accuracy for one, _ in own],
            "control_accuracy": [other.accuracy for _, other in own],
            "selectivity": [one.accuracy - other.accuracy for one, other in own],
        }
        for name, values in columns.items():
            scores.metrics[name + group] = mean_metric(values, names, seed)


def _correlate(scores: Scores, records: pa.Table, store: Sequence[Probe], similarity: Similarity, seed: int) -> None:
    """Correlate how close labels are to the words that probes were tested on with what the probes came to."""
    labelled = [one for one in store if one.label is not None and one.auroc is not None]
    if not labelled:
        scores.undefined["label_correlation"] = (
            "The store's concepts have no labels: name them with `conceptbench build`."
        )
        return
    codes, vocabulary = coded(records, "word")
    positive = records["positive"].to_numpy()
    words = [sorted({vocabulary[code] for code in codes[one.rows[positive[one.rows]]]}) for one in labelled]
    similarity.forget()
    similarity.learn([*(str(one.label) for one in labelled), *(word for own in words for word in own)])
    similarity.centre_on([word for own in words for word in own])
    closeness = (similarity.centred([str(one.label) for one in labelled]) * similarity.prototypes(words)).sum(axis=1)
    for layer in sorted({one.layer for one in labelled}):
        at = np.array([one.layer == layer for one in labelled])
        metric = _spearman(closeness[at], np.array([float(one.auroc or 0.0) for one in labelled])[at], seed)
        if metric is not None:
            scores.metrics[f"label_correlation/{layer_name(layer)}"] = metric
    headline = scores.metrics.get(f"label_correlation/{layer_name(scores.layer)}") if scores.layer is not None else None
    if headline is not None:
        scores.metrics["label_correlation"] = headline
    else:
        scores.undefined["label_correlation"] = (
            f"At the layer of the headline fewer than {_FEWEST_LABELS} concepts have both a label and a probe, or all "
            "labels or probes are alike."
        )


def _spearman(one: np.ndarray, other: np.ndarray, seed: int) -> Metric | None:
    """Give Spearman's correlation with its percentile interval over the concepts."""
    if len(one) < _FEWEST_LABELS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    drawn = np.random.default_rng(seed).integers(len(one), size=(RESAMPLES, len(one)))
    found = [_correlation(rankdata(one[drawn], axis=1), rankdata(other[drawn], axis=1))]
    value = _correlation(rankdata(one)[None], rankdata(other)[None])[0]
    low, high = np.nanquantile(found[0], [0.025, 0.975])
    return Metric(float(value), float(low), float(high), len(one))


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row; NaN where a row is constant."""
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, other))
    with np.errstate(invalid="ignore"):
        result: np.ndarray = (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return result


def _put(scores: Scores, name: str, group: str, probes: Sequence[Probe], value: str, seed: int) -> None:
    found = _values(probes, value)
    if found:
        scores.metrics[name + group] = mean_metric(list(found.values()), list(found), seed)


def _values(probes: Iterable[Probe], value: str) -> dict[str, float]:
    return {one.concept: found for one in probes if (found := getattr(one, value)) is not None}


def _grouped(probes: Iterable[Probe]) -> Mapping[str, list[Probe]]:
    groups: defaultdict[str, list[Probe]] = defaultdict(list)
    for one in probes:
        groups[str(one.group)].append(one)
    return groups
