"""From records to numbers: every metric of the neurons task, computed from the records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import numpy as np

from conceptbench.eval.methods.neurons.choices import LEVEL, Mode, Order, Scaling
from conceptbench.eval.neurons.p_values import corrected_p_values
from conceptbench.eval.neurons.records import AblationRow, PairRow, RankingName, Record, StabilityRow
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.eval.task import ItemScores, Provenance, Scores
from conceptbench.runtime.progress import Progress

PREFIXES: Final[Mapping[Scaling, str]] = {"zscored": "", "raw": "raw_"}
"""Of the names of metrics, by the scaling of the neurons."""

FEWEST_CONTROLS: Final = 19
"""With fewer, no rank among them gives a p-value as low as 0.05."""

_FEW_CONTROLS = (
    f"No pair has {FEWEST_CONTROLS} controls, so that no rank gives a p-value of {LEVEL:g}: ask for more (--controls), "
    "or take a store with more concepts."
)
_TESTED = ("alignment_above", "alignment_significant")

Values = Mapping[str, float]
"""The value of each concept."""


@dataclass(frozen=True)
class NeuronScores(Scores):
    """The numbers of a run; `corrected` is the corrected p-value of each pair, by the number of its row."""

    corrected: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    """A pair's row with its corrected p-value."""

    row: PairRow
    corrected: float

    @property
    def name(self) -> str:
        """The pair as an item."""
        return f"{self.row.source}|{self.row.super}|{self.row.concept}"

    def alignment_at(self, position: int) -> dict[str, float]:
        """Give the pair's alignments at a position of the curve."""
        alignment, null = self.row.alignment[position], self.row.null[position]
        return {"alignment": alignment, "alignment_null": null, "alignment_gain": alignment - null}

    def values(self) -> dict[str, float]:
        """Give the pair's alignments at the fraction of the p-values, and whether these are low."""
        values = self.alignment_at(self.row.at_fraction)
        significant = self.corrected <= LEVEL and values["alignment"] > values["alignment_null"]
        tested = (float(self.row.p <= LEVEL), float(significant))
        return values | dict(zip(_TESTED, tested, strict=True))


def score(rows: Sequence[Record], provenance: Provenance, _progress: Progress | None = None) -> NeuronScores:
    """Compute every metric from the records.

    Parameters
    ----------
    rows : see `records`.
    provenance : its `pairs`, whose first source `alignment` without a group is of; `method`, the ranking that
        `ablation_…` without a group is of; `ks` of the study; `skipped` and `seed` are read.
    """
    seed = provenance["seed"]
    corrected = corrected_p_values(rows)
    pairs = [_Pair(row, corrected[number]) for number, row in enumerate(rows) if isinstance(row, PairRow)]
    parts = [
        *(
            _alignment([pair for pair in pairs if pair.row.scaling == scaling], prefix, provenance)
            for scaling, prefix in PREFIXES.items()
        ),
        _ablation([row for row in rows if isinstance(row, AblationRow)], provenance["method"], seed),
        _stability([row for row in rows if isinstance(row, StabilityRow)], seed),
        Scores(metrics={}, undefined=_unmeasured(rows, provenance)),
    ]
    return NeuronScores(
        metrics=_united(part.metrics for part in parts),
        items=ItemScores(
            values=_united(part.items.values for part in parts), groups=_united(part.items.groups for part in parts)
        ),
        undefined=_united(part.undefined for part in parts),
        corrected=corrected,
    )


def _unmeasured(rows: Sequence[Record], provenance: Provenance) -> dict[str, str]:
    """Say why the headline metrics of what was measured nowhere are absent."""
    source = provenance["pairs"][0]
    pairs = any(isinstance(row, PairRow) and row.source == source and not row.condition for row in rows)
    ablated = any(isinstance(row, AblationRow) for row in rows)
    resampled = any(isinstance(row, StabilityRow) and row.over == "resamples" for row in rows)
    undefined: dict[str, str] = {}
    for measured, what, names in (
        (pairs, f"{source} pairs", ("alignment", "raw_alignment")),
        (ablated, "ablation", ("ablation_mean",)),
        (resampled, "stability", ("stability_overlap",)),
    ):
        if not measured:
            reasons = dict.fromkeys(map(_in_words, provenance["skipped"].get(what, {}).values()))
            undefined |= dict.fromkeys(names, " ".join(reasons) or "No layer has any.")
    return undefined


def _in_words(reason: str | Mapping[str, int]) -> str:
    """Write why a layer was left out."""
    if isinstance(reason, str):
        return reason
    return "Concepts that were drawn have no probe: " + ", ".join(f"{why} ({n})" for why, n in reason.items()) + "."


def _alignment(pairs: Sequence[_Pair], prefix: str, provenance: Provenance) -> Scores:
    """Score the pairs of one scaling."""
    seed = provenance["seed"]
    main = [pair for pair in pairs if not pair.row.condition and pair.row.source == provenance["pairs"][0]]
    metrics = {
        key._replace(name=prefix + name): _over_pairs([pair.values()[name] for pair in members], members, seed)
        for key, members in _breakdowns(pairs, main, provenance["ks"]).items()
        for name in members[0].values()
        if name not in _TESTED or not _too_few_controls(members)
    }
    curve = {
        MetricKey(prefix + name, group=f"top={fraction:g}"): _over_pairs(
            [pair.alignment_at(position)[name] for pair in main], main, seed
        )
        for position, fraction in enumerate(main[0].row.fractions if main else ())
        for name in main[0].alignment_at(position)
    }
    values = {pair.name: pair.values() for pair in main}
    return Scores(
        metrics=metrics | curve,
        items=ItemScores(
            values={
                prefix + name: {item: of_pair[name] for item, of_pair in values.items()}
                for name in (main[0].values() if main else ())
            },
            groups={pair.name: pair.row.family for pair in main},
        ),
        undefined=dict.fromkeys((prefix + name for name in _TESTED), _FEW_CONTROLS)
        if main and _too_few_controls(main)
        else {},
    )


def _too_few_controls(pairs: Sequence[_Pair]) -> bool:
    return max(len(pair.row.controls) for pair in pairs) < FEWEST_CONTROLS


def _breakdowns(pairs: Sequence[_Pair], main: Sequence[_Pair], ks: Sequence[int]) -> dict[MetricKey, Sequence[_Pair]]:
    """Group pairs: the main ones, these by layer, all by source, and those of the tree by the study's k."""
    plain = [pair for pair in pairs if not pair.row.condition]
    trees = [pair for pair in pairs if pair.row.source == "tree"]
    groups: dict[MetricKey, Sequence[_Pair]] = {MetricKey(""): main}
    for layer in sorted({pair.row.layer for pair in main}):
        groups[MetricKey("", group=f"L{layer:02d}")] = [pair for pair in main if pair.row.layer == layer]
    for source in dict.fromkeys(pair.row.source for pair in plain):
        groups[MetricKey("", group=source)] = [pair for pair in plain if pair.row.source == source]
    for k in ks:
        groups[MetricKey("", f"k={k}")] = [pair for pair in trees if pair.row.k == k]
    return {key: members for key, members in groups.items() if members}


def _over_pairs(values: Sequence[float], pairs: Sequence[_Pair], seed: int) -> Metric:
    """Average over pairs; resample families, or concepts where all pairs are of one family."""
    families = [pair.row.family for pair in pairs]
    several = len(set(families)) > 1
    return mean_metric(values, families if several else [pair.row.concept for pair in pairs], seed)


def _ablation(rows: Sequence[AblationRow], method: RankingName, seed: int) -> Scores:
    """Score the ablation of the concepts' probes by each ranking; the headline is of `method`."""
    if not rows:
        return Scores(metrics={})
    advantages = {
        ranking: _advantages([row for row in rows if row.ranking == ranking])
        for ranking in dict.fromkeys(row.ranking for row in rows)
    }
    by_ranking = {
        MetricKey(name, group=ranking): _over_concepts(values, seed)
        for ranking, by_name in advantages.items()
        for name, values in by_name.items()
    }
    main = [row for row in rows if row.ranking == method]
    whole = [row for row in main if row.mode == "zero" and row.order == "top"]
    probes = {
        "probe_accuracy": {row.concept: row.accuracy[0] for row in whole},
        "probe_auroc": {row.concept: row.auroc[0] for row in whole},
    }
    headline = _by_layer(advantages[method] | probes, {row.concept: row.layer for row in rows}, seed)
    return Scores(metrics=by_ranking | dict(headline.metrics) | _curves(main, seed), items=headline.items)


def _advantages(rows: Sequence[AblationRow]) -> dict[str, Values]:
    """Give the areas between the curves of each concept's probe by one ranking, by metric."""
    accuracy = {(row.mode, row.order, row.concept): _area(row, row.accuracy) for row in rows}
    auroc = {(row.mode, row.order, row.concept): _area(row, row.auroc) for row in rows}
    concepts = list(dict.fromkeys(row.concept for row in rows))

    def between(areas: Mapping[tuple[Mode, Order, str], float], mode: Mode, order: Order) -> Values:
        sign = 1.0 if mode == "keep" else -1.0
        return {concept: sign * (areas[mode, "top", concept] - areas[mode, order, concept]) for concept in concepts}

    return {
        **{f"ablation_{mode}": between(accuracy, mode, "random") for mode in get_args(Mode)},
        **{f"ablation_{mode}_bottom": between(accuracy, mode, "bottom") for mode in get_args(Mode)},
        "ablation_auroc": between(auroc, "mean", "random"),
        "ablation_auroc_keep": between(auroc, "keep", "random"),
    }


def _area(row: AblationRow, curve: Sequence[float]) -> float:
    """The area under a curve over the share of neurons."""
    return float(np.trapezoid(curve, np.array(row.grid) / row.width))


def _curves(rows: Sequence[AblationRow], seed: int) -> dict[MetricKey, Metric]:
    """Average the concepts' curves of accuracy, at each share of changed neurons."""
    metrics: dict[MetricKey, Metric] = {}
    for mode in get_args(Mode):
        for order in get_args(Order):
            members = [row for row in rows if row.mode == mode and row.order == order]
            for position, count in enumerate(members[0].grid):
                group = f"{mode}={round(count / members[0].width, 2):g}"
                values = {row.concept: row.accuracy[position] for row in members}
                metrics[MetricKey(f"accuracy_{order}", group=group)] = _over_concepts(values, seed)
    return metrics


def _stability(rows: Sequence[StabilityRow], seed: int) -> Scores:
    """Score the agreement of rankings over resamples and over seeds."""
    values: dict[str, Values] = {}
    for over, prefix in (("resamples", "stability"), ("seeds", "stability_seeds")):
        members = [row for row in rows if row.over == over]
        if members:
            values[f"{prefix}_overlap"] = {row.concept: row.overlap for row in members}
            values[f"{prefix}_spearman"] = {row.concept: row.spearman for row in members}
    return _by_layer(values, {row.concept: row.layer for row in rows}, seed)


def _by_layer(values: Mapping[str, Values], layer_of: Mapping[str, int], seed: int) -> Scores:
    """Give metrics over all concepts and by layer, and the values of the concepts."""
    metrics: dict[MetricKey, Metric] = {}
    for name, by_concept in values.items():
        metrics[MetricKey(name)] = _over_concepts(by_concept, seed)
        for layer in sorted({layer_of[concept] for concept in by_concept}):
            members = {concept: value for concept, value in by_concept.items() if layer_of[concept] == layer}
            metrics[MetricKey(name, group=f"L{layer:02d}")] = _over_concepts(members, seed)
    return Scores(metrics=metrics, items=ItemScores(values, {concept: concept for concept in layer_of}))


def _over_concepts(values: Values, seed: int) -> Metric:
    """Average over concepts, each a group by itself."""
    return mean_metric(list(values.values()), list(values), seed)


def _united(parts: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Unite mappings whose keys differ, or agree in their values."""
    return {key: value for part in parts for key, value in part.items()}
