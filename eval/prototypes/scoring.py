"""From records to numbers: every score of the prototypes task, computed from the records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from conceptbench.eval.prototypes.contenders import ALIGNED, LINEAR, PROTOTYPES
from conceptbench.eval.prototypes.records import PROTOTYPE, TEXT, Record
from conceptbench.eval.prototypes.simulation import CONDITIONS
from conceptbench.eval.prototypes.splits import PairedTest, paired_test
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric

_ALPHA = 0.05
_SWAPS = {"swap_all": "all_stay", "swap_top": "top_stays", "swap_logit_change": "change"}


@dataclass
class Scores:
    """What the records come to.

    `values` of single texts by metric (means over repeats), the metrics with their breakdowns, why some are absent, and
    `findings`: what the test of non-inferiority shows, in sentences.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def score(records: Sequence[Record], *, margin: float, seed: int = 0) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    records : rows as in `records.RECORDS`.
    margin : of the test of non-inferiority, a fraction.
    seed : of the intervals.
    """
    texts = [record for record in records if record["role"] == TEXT]
    scores = Scores()
    right = {name: _Right(texts, name) for name in _classifiers(texts)}
    for name, own in right.items():
        _add(scores, "accuracy", own.by_item(), seed, name)
    for name in (PROTOTYPES, LINEAR):
        _put(scores, "balanced_accuracy", name, _balanced(right[name], texts, seed))
    _differences(scores, right, margin)
    _swaps(scores, texts, seed)
    _tokens(scores, texts, seed)
    _simulations(scores, texts, seed)
    _prototypes(scores, [record for record in records if record["role"] == PROTOTYPE], seed)
    return scores


class _Right:
    """Where a classifier is right: bool arrays of shape (repeats, texts), with the fold that tested each text."""

    def __init__(self, texts: Sequence[Record], classifier: str) -> None:
        rows = [
            (record["repeat"], record["item"], record["fold"], answer["label"] == record["label"])
            for record in texts
            for answer in record["answers"]
            if answer["classifier"] == classifier
        ]
        self.items = sorted({item for _, item, _, _ in rows})
        place = {item: number for number, item in enumerate(self.items)}
        shape = (1 + max(repeat for repeat, *_ in rows), len(self.items))
        self.right, self.folds = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        for repeat, item, fold, right in rows:
            self.right[repeat, place[item]] = right
            self.folds[repeat, place[item]] = fold

    def by_item(self) -> dict[str, float]:
        return dict(zip(self.items, self.right.mean(axis=0).tolist(), strict=True))


def _classifiers(texts: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(answer["classifier"] for record in texts for answer in record["answers"]))


def _put(scores: Scores, metric: str, classifier: str, value: Metric) -> None:
    """Give a classifier's metric; Proto-lm's is the headline too."""
    scores.metrics[f"{metric}/{classifier}"] = value
    if classifier == PROTOTYPES:
        scores.metrics[metric] = value


def _add(scores: Scores, metric: str, values: Mapping[str, float], seed: int, classifier: str = "") -> None:
    """Give the mean over texts; Proto-lm's values are those of single texts too."""
    if not values:
        return
    mean = mean_metric(list(values.values()), list(values), seed)
    if classifier:
        _put(scores, metric, classifier, mean)
    else:
        scores.metrics[metric] = mean
    if classifier in {"", PROTOTYPES}:
        scores.values[metric] = dict(values)


def _balanced(right: _Right, texts: Sequence[Record], seed: int) -> Metric:
    """Average over classes: texts weigh as much as their class has few, and are resampled within it."""
    label_of = {record["item"]: record["label"] for record in texts}
    labels = np.array([label_of[item] for item in right.items])
    values = right.right.mean(axis=0)
    generator = np.random.default_rng(seed)
    means, draws = [], []
    for label in np.unique(labels):
        own = values[labels == label]
        means.append(own.mean())
        draws.append(own[generator.integers(len(own), size=(2000, len(own)))].mean(axis=1))
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    return Metric(float(np.mean(means)), float(low), float(high), len(values))


def _differences(scores: Scores, right: Mapping[str, _Right], margin: float) -> None:
    linear = right[LINEAR]
    for name, own in right.items():
        if name == LINEAR:
            continue
        test = _paired(own, linear, margin)
        if test is None:
            scores.undefined.setdefault("difference", "The classifiers do not differ on any text.")
            continue
        _put(scores, "difference", name, test.difference)
        if name == PROTOTYPES:
            scores.metrics["detectable_margin"] = test.detectable
            scores.findings += findings(test)
            difference = (own.right - linear.right).mean(axis=0)
            scores.values["difference"] = dict(zip(own.items, difference.tolist(), strict=True))
    if ALIGNED in right:
        cost = _paired(right[PROTOTYPES], right[ALIGNED], margin)
        if cost is None:
            scores.undefined["alignment_cost"] = "Alignment changes no decision."
        else:
            scores.metrics["alignment_cost"] = cost.difference


def findings(test: PairedTest) -> list[str]:
    """Say what a test of non-inferiority shows, of new training texts and of the trained classifiers."""
    verdict = "is" if test.non_inferior else "is not"
    margin = f"a margin of {100 * test.margin:.1f} points"
    texts_verdict = "is" if test.texts_p < _ALPHA else "is not"
    return [
        f"Non-inferiority to the linear head at {margin} {verdict} shown ({_p(test.p)}), allowing for other training "
        f"texts; it is for margins above {100 * test.shown:.2f}. With no difference, a test of this size shows it for "
        f"margins of {100 * test.detectable.value:.2f} points and more (80 % power).",
        f"Of these trained classifiers, over other texts alone, it {texts_verdict} shown at {margin} "
        f"({_p(test.texts_p)}), and for margins above {100 * test.texts_shown:.2f}.",
    ]


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _paired(first: _Right, second: _Right, margin: float) -> PairedTest | None:
    """Test a difference over the repeats that both have."""
    repeats = min(len(first.right), len(second.right))
    return paired_test(first.right[:repeats] - second.right[:repeats], first.folds[:repeats], margin)


def _swaps(scores: Scores, texts: Sequence[Record], seed: int) -> None:
    for name in (PROTOTYPES, ALIGNED):
        rows = [
            (record["item"], swap) for record in texts for swap in record["swaps"] or () if swap["classifier"] == name
        ]
        for metric, column in _SWAPS.items():
            _add(scores, metric, {item: float(swap[column]) for item, swap in rows}, seed, name)


def _tokens(scores: Scores, texts: Sequence[Record], seed: int) -> None:
    rows = {record["item"]: record["tokens"] for record in texts if record["tokens"] is not None}
    if not rows:
        scores.undefined["attention_agreement"] = "No text has three tokens, or none was to be looked at."
        return

    def column(name: str) -> dict[str, float]:
        return {item: own[name] for item, own in rows.items()}

    _add(scores, "attention_agreement", column("agreement"), seed)
    for name, sign in (("comprehensiveness", 1), ("sufficiency", -1)):
        one, other = column(name), column(f"{name}_random")
        _add(scores, name, one, seed)
        _add(scores, f"{name}_random", other, seed)
        _add(scores, f"{name}_gain", {item: sign * (one[item] - other[item]) for item in one}, seed)


def _simulations(scores: Scores, texts: Sequence[Record], seed: int) -> None:
    rows = [
        (record["item"], own, _answer(record) == own["label"])
        for record in texts
        for own in record["simulations"] or ()
    ]
    if not rows:
        scores.undefined["simulatability"] = "Nobody was asked: name --simulators."
        return
    simulators = list(dict.fromkeys(own["simulator"] for _, own, _ in rows))
    for simulator in [None, *simulators] if len(simulators) > 1 else [None]:
        hits: dict[str, dict[str, list[bool]]] = {condition: {} for condition in CONDITIONS}
        for item, own, hit in rows:
            if simulator in {None, own["simulator"]}:
                hits[own["condition"]].setdefault(item, []).append(hit)
        means = {name: {item: float(np.mean(own)) for item, own in found.items()} for name, found in hits.items()}
        seen = means.pop("prototypes")
        found = {"simulatability": seen}
        for name, other in means.items():
            gain = "simulatability_gain" if name == "input" else "simulatability_over_examples"
            found |= {f"simulatability_{name}": other, gain: {item: seen[item] - other[item] for item in seen}}
        for name, values in found.items():
            if simulator is None:
                _add(scores, name, values, seed)
            else:
                scores.metrics[f"{name}/{simulator}"] = mean_metric(list(values.values()), list(values), seed)


def _answer(record: Record) -> str:
    """Give Proto-lm's class of a text."""
    return next(str(answer["label"]) for answer in record["answers"] if answer["classifier"] == PROTOTYPES)


def _prototypes(scores: Scores, prototypes: Sequence[Record], seed: int) -> None:
    if not prototypes:
        return
    items = [record["item"] for record in prototypes]
    scores.metrics["prototypes_used"] = mean_metric([float(record["used"]) for record in prototypes], items, seed)
    named = [record for record in prototypes if record["score"] is not None]
    if not named:
        scores.undefined["name_score"] = "No prototype has a name with a score: name a --helper."
        return
    own = [record["item"] for record in named]
    scores.metrics["name_score"] = mean_metric([record["score"] for record in named], own, seed)
    scores.metrics["names_significant"] = mean_metric([float(record["p"] < _ALPHA) for record in named], own, seed)
