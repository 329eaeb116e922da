"""From records to numbers: every metric of the neurons task, computed from the records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from conceptbench.eval.methods.neurons.alignment import LEVEL
from conceptbench.eval.neurons.records import Record
from conceptbench.eval.result import ItemScores, Metric
from conceptbench.eval.stats.intervals import mean_metric

PREFIXES: Final = {"zscored": "", "raw": "raw_"}
FEWEST_CONTROLS: Final = 19
"""With fewer, no rank among them gives a p-value as low as 0.05."""

_ROUNDING: Final = 1e-9


@dataclass
class Scores:
    """What the records come to.

    `metrics`; `items`, the values of single pairs of the main source and of single concepts; `corrected`, the corrected
    p-value of each pair's record, by its row; and why metrics are not given.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    items: dict[str, dict[str, float]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    corrected: dict[int, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def item_scores(self) -> ItemScores:
        """Give the values of single items."""
        return ItemScores(self.items, self.groups)


def score(records: Sequence[Record], *, source: str, method: str, ks: Sequence[int] = (), seed: int = 0) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    records : rows as in `records.RECORDS`.
    source : of the pairs that `alignment` without a group is of.
    method : the ranking that `ablation_…` without a group is of.
    ks : the numbers of concepts of a study.
    seed : of the intervals.
    """
    scores = Scores()
    _correct(scores, records)
    _align(scores, records, source, ks, seed)
    _ablate(scores, [record for record in records if record["kind"] == "ablation"], method, seed)
    _stabilise(scores, [record for record in records if record["kind"] == "stability"], seed)
    return scores


def _correct(scores: Scores, records: Sequence[Record]) -> None:
    """Correct p-values by Benjamini and Hochberg (1995), over all layers' pairs of one source, scaling and k."""
    tests: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
    for row, record in enumerate(records):
        if record["kind"] == "pair":
            tests[record["source"], record["scaling"], record["k"]].append(row)
    for rows in tests.values():
        own = [records[row]["alignment"][records[row]["fractions"].index(records[row]["fraction"])] for row in rows]
        p = pooled_p_values(own, [records[row]["controls"] for row in rows])
        corrected = multipletests(p, alpha=LEVEL, method="fdr_bh")[1]
        scores.corrected |= dict(zip(rows, corrected.tolist(), strict=True))


def pooled_p_values(values: Sequence[float], controls: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Give each value's p-value from the controls of all values together.

    The rank among n controls gives no p below 1 / (1 + n), which is too coarse to correct for hundreds of tests. So
    each value is put in standard deviations of its own controls, and each control in those of the other controls of
    its value; the p-value is the share of all controls that are as far above, the value counted among them. It holds
    on average over the values if their controls are distributed alike but for place and scale.

    Parameters
    ----------
    values : n numbers.
    controls : of each of them; with fewer than three its p-value is 1.

    Returns
    -------
    float64 array (n,).
    """
    enough = [place for place, own in enumerate(controls) if len(own) > 2]
    p = np.ones(len(values))
    if not enough:
        return p
    own = np.array([_deviation(values[place], np.array(controls[place])) for place in enough])
    pool = np.sort(np.concatenate([_deviations(np.array(controls[place])) for place in enough]))
    p[enough] = (1 + len(pool) - np.searchsorted(pool, own - _ROUNDING, side="left")) / (1 + len(pool))
    return p


def _deviation(value: float, controls: NDArray[np.float64]) -> float:
    return float((value - controls.mean()) / max(controls.std(ddof=1), _ROUNDING))


def _deviations(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each control's distance from the mean of the others, in their standard deviations."""
    n = len(controls)
    centred = controls - controls.mean()
    others = centred.sum() - centred
    mean = others / (n - 1)
    variance = (np.square(centred).sum() - np.square(centred) - (n - 1) * mean**2) / (n - 2)
    found: NDArray[np.float64] = (centred - mean) / np.sqrt(np.maximum(variance, _ROUNDING**2))
    return found


def _align(scores: Scores, records: Sequence[Record], source: str, ks: Sequence[int], seed: int) -> None:
    for scaling, prefix in PREFIXES.items():
        rows = [row for row in scores.corrected if records[row]["scaling"] == scaling]
        plain = [row for row in rows if not records[row]["condition"]]
        main = [row for row in plain if records[row]["source"] == source]
        parts: dict[str, list[int]] = {"": main}
        parts |= {f"/L{layer:02d}": own for layer, own in _by(main, records, "layer").items()}
        parts |= {f"/{name}": own for name, own in _by(plain, records, "source").items()}
        if ks:
            trees = _by([row for row in rows if records[row]["source"] == "tree"], records, "k")
            parts |= {f"/k={k}": trees[k] for k in ks if k in trees}
        for group, own in parts.items():
            if own:
                _measure(scores, records, own, prefix, group, seed)
        for place, fraction in enumerate(records[main[0]]["fractions"]) if main else ():
            values = _values(scores, records, main, place)
            del values["alignment_significant"], values["alignment_above"]
            for name, found in values.items():
                scores.metrics[f"{prefix}{name}/top={fraction:g}"] = _mean(found, records, main, seed)
        names = [f"{records[row]['source']}|{records[row]['super']}|{records[row]['concept']}" for row in main]
        for name, found in _values(scores, records, main).items() if main else ():
            scores.items[prefix + name] = dict(zip(names, found, strict=True))
        scores.groups |= {name: records[row]["family"] for name, row in zip(names, main, strict=True)}


def _measure(
    scores: Scores, records: Sequence[Record], rows: Sequence[int], prefix: str, group: str, seed: int
) -> None:
    values = _values(scores, records, rows)
    if max(len(records[row]["controls"]) for row in rows) < FEWEST_CONTROLS:
        for name in ("alignment_above", "alignment_significant"):
            del values[name]
            if not group:
                scores.undefined[prefix + name] = (
                    f"No pair has {FEWEST_CONTROLS} controls, so that no rank gives a p-value of {LEVEL:g}: ask for "
                    "more (--controls), or take a store with more concepts."
                )
    for name, found in values.items():
        scores.metrics[prefix + name + group] = _mean(found, records, rows, seed)


def _values(
    scores: Scores, records: Sequence[Record], rows: Sequence[int], place: int | None = None
) -> dict[str, list[float]]:
    """Give each pair's values, at the fraction of neurons at a place of the curve, by default that of the p-value."""
    own, null = [], []
    for row in rows:
        record = records[row]
        at = record["fractions"].index(record["fraction"]) if place is None else place
        own.append(record["alignment"][at])
        null.append(record["null"][at])
    return {
        "alignment": own,
        "alignment_null": null,
        "alignment_gain": [one - other for one, other in zip(own, null, strict=True)],
        "alignment_above": [float(records[row]["p"] <= LEVEL) for row in rows],
        "alignment_significant": [
            float(scores.corrected[row] <= LEVEL and one > other)
            for row, one, other in zip(rows, own, null, strict=True)
        ],
    }


def _mean(values: Sequence[float], records: Sequence[Record], rows: Sequence[int], seed: int) -> Metric:
    """Resample families; where all pairs are of one, concepts."""
    families = [records[row]["family"] for row in rows]
    several = len(set(families)) > 1
    return mean_metric(values, families if several else [records[row]["concept"] for row in rows], seed)


def _ablate(scores: Scores, rows: Sequence[Record], method: str, seed: int) -> None:
    areas = {(row["concept"], row["ranking"], row["mode"], row["order"]): _areas(row) for row in rows}
    layer_of = {row["concept"]: row["layer"] for row in rows}
    rankings = list(dict.fromkeys(row["ranking"] for row in rows))
    for ranking in rankings:
        values: dict[str, dict[str, float]] = {}
        for mode in ("zero", "mean", "keep"):
            sign = 1.0 if mode == "keep" else -1.0
            top, random, bottom = (
                {concept: areas[concept, ranking, mode, order] for concept in layer_of}
                for order in ("top", "random", "bottom")
            )
            values[f"ablation_{mode}"] = {c: sign * (top[c][0] - random[c][0]) for c in layer_of}
            values[f"ablation_{mode}_bottom"] = {c: sign * (top[c][0] - bottom[c][0]) for c in layer_of}
            if mode != "zero":
                name = "ablation_auroc" if mode == "mean" else "ablation_auroc_keep"
                values[name] = {c: sign * (top[c][1] - random[c][1]) for c in layer_of}
        for name, found in values.items():
            scores.metrics[f"{name}/{ranking}"] = _over_concepts(found, seed)
        if ranking == method:
            _spread(scores, values, layer_of, seed)
    whole = [row for row in rows if (row["ranking"], row["mode"], row["order"]) == (method, "zero", "top")]
    if not whole:
        return
    probes = {f"probe_{name}": {row["concept"]: row[name][0] for row in whole} for name in ("accuracy", "auroc")}
    _spread(scores, probes, layer_of, seed)
    for row_mode in ("zero", "mean", "keep"):
        for order in ("top", "random", "bottom"):
            own = [row for row in rows if (row["ranking"], row["mode"], row["order"]) == (method, row_mode, order)]
            for place, count in enumerate(own[0]["grid"]):
                group = f"{row_mode}={round(count / own[0]['width'], 2):g}"
                curve = {row["concept"]: row["accuracy"][place] for row in own}
                scores.metrics[f"accuracy_{order}/{group}"] = _over_concepts(curve, seed)


def _areas(row: Record) -> tuple[float, float]:
    """The areas under a concept's curves of accuracy and AUROC over the share of neurons."""
    share = np.array(row["grid"]) / row["width"]
    return float(np.trapezoid(row["accuracy"], share)), float(np.trapezoid(row["auroc"], share))


def _stabilise(scores: Scores, rows: Sequence[Record], seed: int) -> None:
    for over, prefix in (("resamples", "stability"), ("seeds", "stability_seeds")):
        own = [row for row in rows if row["over"] == over]
        if own:
            values = {
                f"{prefix}_{name}": {row["concept"]: row[name] for row in own} for name in ("overlap", "spearman")
            }
            _spread(scores, values, {row["concept"]: row["layer"] for row in own}, seed)


def _spread(scores: Scores, values: Mapping[str, Mapping[str, float]], layer_of: Mapping[str, int], seed: int) -> None:
    """Give metrics over all concepts and by layer; and the concepts' values."""
    for name, found in values.items():
        scores.items[name] = dict(found)
        scores.metrics[name] = _over_concepts(found, seed)
        for layer in sorted(set(layer_of.values())):
            own = {concept: value for concept, value in found.items() if layer_of[concept] == layer}
            if own:
                scores.metrics[f"{name}/L{layer:02d}"] = _over_concepts(own, seed)
    scores.groups |= {concept: concept for concept in layer_of}


def _over_concepts(values: Mapping[str, float], seed: int) -> Metric:
    return mean_metric(list(values.values()), list(values), seed)


def _by(rows: Iterable[int], records: Sequence[Record], column: str) -> dict[Hashable, list[int]]:
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row in rows:
        found[records[row][column]].append(row)
    return dict(found)
