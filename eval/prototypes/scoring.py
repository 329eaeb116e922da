"""From records to numbers: every score of the prototypes task, computed from the records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from conceptbench.eval.prototypes.contenders import ALIGNED, LINEAR, PROTOTYPES
from conceptbench.eval.prototypes.questions import CONDITIONS
from conceptbench.eval.prototypes.records import PrototypeRow, Rows, SimulatorAnswer, TextRow
from conceptbench.eval.prototypes.splits import PairedTest, paired_test
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.bootstrap import percentile_interval, resampled_rows
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.eval.task import ItemScores, Provenance, Scores
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress

_ALPHA = 0.05
_SWAPS: Final = {"swap_all": "all_stay", "swap_top": "top_stays", "swap_logit_change": "change"}

Values = Mapping[str, float]
"""The values of single texts, by item."""


@dataclass(frozen=True)
class _Part:
    """A part of the scores: metrics, the values of single texts by metric, and why metrics are absent."""

    metrics: Mapping[MetricKey, Metric] = field(default_factory=dict)
    values: Mapping[str, Values] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[str] = ()


def score(rows: Rows, provenance: Provenance, _progress: Progress | None = None) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    rows : see `records.Rows`.
    provenance : its `margin` and `seed` are read.

    Raises
    ------
    InputError
        if Proto-lm or the linear head has no answers.
    """
    margin, seed = provenance["margin"], provenance["seed"]
    texts = rows.texts
    names = dict.fromkeys(answer.classifier for text in texts for answer in text.answers)
    for name in (PROTOTYPES, LINEAR):
        if name not in names:
            raise InputError(f"records, answers: there are none of the classifier {name!r}")
    correct = {name: _Correct.of(texts, name) for name in names}
    parts = [
        *(_mean("accuracy", correct[name].by_item(), seed, name) for name in names),
        *(_balanced(correct[name], texts, seed, name) for name in (PROTOTYPES, LINEAR)),
        *(_difference(name, correct, margin) for name in names if name != LINEAR),
        _alignment_cost(correct, margin),
        *_swaps(texts, seed),
        *_tokens(texts, seed),
        *_simulations(texts, seed),
        _prototypes(rows.prototypes, seed),
    ]
    values = {name: by_item for part in parts for name, by_item in part.values.items()}
    return Scores(
        metrics={key: metric for part in parts for key, metric in part.metrics.items()},
        items=ItemScores(values, {item: item for by_item in values.values() for item in by_item}),
        undefined={name: why for part in parts for name, why in part.undefined.items()},
        findings=[finding for part in parts for finding in part.findings],
    )


@dataclass(frozen=True, eq=False)
class _Correct:
    """Where a classifier is right.

    `right` holds 0 and 1, shape (repeats, items); `folds` is the fold that tested each text, int64 of that shape.
    """

    items: Sequence[str]
    right: np.ndarray
    folds: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[TextRow], classifier: str) -> _Correct:
        answers = [(text, answer.label) for text in texts if (answer := text.answer(classifier)) is not None]
        items = sorted({text.item for text, _ in answers})
        column = {item: number for number, item in enumerate(items)}
        shape = (1 + max(text.repeat for text, _ in answers), len(items))
        right, folds = np.zeros(shape), np.zeros(shape, dtype=np.int64)
        for text, label in answers:
            right[text.repeat, column[text.item]] = label == text.label
            folds[text.repeat, column[text.item]] = text.fold
        return cls(items, right, folds)

    def by_item(self) -> dict[str, float]:
        return dict(zip(self.items, self.right.mean(axis=0).tolist(), strict=True))


def _keys(metric: str, classifier: str) -> list[MetricKey]:
    """Give the keys of a classifier's metric; Proto-lm's is the headline too."""
    return [MetricKey(metric, group=classifier), *([MetricKey(metric)] if classifier == PROTOTYPES else [])]


def _mean(metric: str, values: Values, seed: int, classifier: str = "") -> _Part:
    """Give the mean over texts, of a classifier if it is named; only Proto-lm's values are those of single texts."""
    if not values:
        return _Part()
    mean = mean_metric(list(values.values()), list(values), seed)
    keys = _keys(metric, classifier) if classifier else [MetricKey(metric)]
    return _Part(dict.fromkeys(keys, mean), {metric: values} if MetricKey(metric) in keys else {})


def _balanced(correct: _Correct, texts: Sequence[TextRow], seed: int, classifier: str) -> _Part:
    """Average accuracy over classes; texts are resampled within their class."""
    label_of = {text.item: text.label for text in texts}
    labels = np.array([label_of[item] for item in correct.items])
    values = correct.right.mean(axis=0)
    generator = np.random.default_rng(seed)
    means, resampled = [], []
    for label in np.unique(labels):
        of_class = values[labels == label]
        means.append(of_class.mean())
        resampled.append(of_class[resampled_rows(len(of_class), generator)].mean(axis=1))
    metric = Metric(float(np.mean(means)), *percentile_interval(np.mean(resampled, axis=0)), len(values))
    return _Part(dict.fromkeys(_keys("balanced_accuracy", classifier), metric))


def _difference(name: str, correct: Mapping[str, _Correct], margin: float) -> _Part:
    """Compare a classifier with the linear head."""
    classifier, linear = correct[name], correct[LINEAR]
    test = _paired(classifier, linear, margin)
    if test is None:
        return _Part(undefined={"difference": "The classifiers do not differ on any text."})
    metrics = dict.fromkeys(_keys("difference", name), test.difference)
    if name != PROTOTYPES:
        return _Part(metrics)
    differences = (classifier.right - linear.right).mean(axis=0)
    return _Part(
        metrics | {MetricKey("detectable_margin"): test.detectable},
        {"difference": dict(zip(classifier.items, differences.tolist(), strict=True))},
        findings=findings(test),
    )


def _alignment_cost(correct: Mapping[str, _Correct], margin: float) -> _Part:
    if ALIGNED not in correct:
        return _Part()
    cost = _paired(correct[PROTOTYPES], correct[ALIGNED], margin)
    if cost is None:
        return _Part(undefined={"alignment_cost": "Alignment changes no decision."})
    return _Part({MetricKey("alignment_cost"): cost.difference})


def _paired(first: _Correct, second: _Correct, margin: float) -> PairedTest | None:
    """Test a difference over the repeats that both have."""
    repeats = min(len(first.right), len(second.right))
    return paired_test(first.right[:repeats] - second.right[:repeats], first.folds[:repeats], margin)


def findings(test: PairedTest) -> list[str]:
    """Say what a test of non-inferiority shows, of new training texts and of the trained classifiers."""
    verdict = "is" if test.non_inferior else "is not"
    margin = f"a margin of {100 * test.margin:.1f} points"
    texts_verdict = "is" if test.texts_p < _ALPHA else "is not"
    return [
        f"Non-inferiority to the linear head at {margin} {verdict} shown ({_p(test.p)}), allowing for other training "
        f"texts; it is for margins above {100 * test.smallest_margin:.2f}. With no difference, a test of this size "
        f"shows it for margins of {100 * test.detectable.value:.2f} points and more (80 % power).",
        f"Of these trained classifiers, over other texts alone, it {texts_verdict} shown at {margin} "
        f"({_p(test.texts_p)}), and for margins above {100 * test.texts_smallest_margin:.2f}.",
    ]


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _swaps(texts: Sequence[TextRow], seed: int) -> Iterator[_Part]:
    for name in (PROTOTYPES, ALIGNED):
        swaps = {text.item: swap for text in texts for swap in text.swaps or () if swap.classifier == name}
        for metric, column in _SWAPS.items():
            yield _mean(metric, {item: float(getattr(swap, column)) for item, swap in swaps.items()}, seed, name)


def _tokens(texts: Sequence[TextRow], seed: int) -> Iterator[_Part]:
    tokens = {text.item: text.tokens for text in texts if text.tokens is not None}
    if not tokens:
        reason = "No text has three tokens, or none was to be looked at."
        yield _Part(undefined={"attention_agreement": reason})
        return

    def column(name: str) -> dict[str, float]:
        return {item: getattr(scores, name) for item, scores in tokens.items()}

    yield _mean("attention_agreement", column("agreement"), seed)
    for name, sign in (("comprehensiveness", 1), ("sufficiency", -1)):
        attended, random = column(name), column(f"{name}_random")
        yield _mean(name, attended, seed)
        yield _mean(f"{name}_random", random, seed)
        yield _mean(f"{name}_gain", {item: sign * (attended[item] - random[item]) for item in attended}, seed)


def _simulations(texts: Sequence[TextRow], seed: int) -> Iterator[_Part]:
    pairs = [(text, answer) for text in texts for answer in text.simulations or ()]
    if not pairs:
        yield _Part(undefined={"simulatability": "Nobody was asked: name --simulators."})
        return
    for name, values in _simulatability(pairs).items():
        yield _mean(name, values, seed)
    simulators = list(dict.fromkeys(answer.simulator for _, answer in pairs))
    if len(simulators) == 1:
        return
    for simulator in simulators:
        of_simulator = [(text, answer) for text, answer in pairs if answer.simulator == simulator]
        yield _Part(
            {
                MetricKey(name, group=simulator): mean_metric(list(values.values()), list(values), seed)
                for name, values in _simulatability(of_simulator).items()
                if values
            }
        )


def _simulatability(pairs: Sequence[tuple[TextRow, SimulatorAnswer]]) -> dict[str, Values]:
    """Give the share of predictions of each text that are Proto-lm's answer, by metric."""
    hits: dict[str, defaultdict[str, list[bool]]] = {condition: defaultdict(list) for condition in CONDITIONS}
    for text, answer in pairs:
        decision = text.answer(PROTOTYPES)
        hits[answer.condition][text.item].append(decision is not None and decision.label == answer.label)
    means = {
        condition: {item: float(np.mean(of_item)) for item, of_item in by_item.items()}
        for condition, by_item in hits.items()
    }
    prototypes, examples, text_alone = means["prototypes"], means["examples"], means["input"]
    return {
        "simulatability": prototypes,
        "simulatability_input": text_alone,
        "simulatability_gain": _less(prototypes, text_alone),
        "simulatability_examples": examples,
        "simulatability_over_examples": _less(prototypes, examples),
    }


def _less(first: Values, second: Values) -> dict[str, float]:
    """Subtract the values of items that both have."""
    return {item: first[item] - second[item] for item in first if item in second}


def _prototypes(prototypes: Sequence[PrototypeRow], seed: int) -> _Part:
    if not prototypes:
        return _Part()

    def mean(values: Mapping[str, float]) -> Metric:
        return mean_metric(list(values.values()), list(values), seed)

    used = {MetricKey("prototypes_used"): mean({row.item: float(row.used) for row in prototypes})}
    scores = {row.item: row.score for row in prototypes if row.score is not None}
    if not scores:
        return _Part(used, undefined={"name_score": "No prototype has a name with a score: name a --helper."})
    significant = {row.item: float(row.p is not None and row.p < _ALPHA) for row in prototypes if row.item in scores}
    return _Part(
        {
            **used,
            MetricKey("name_score"): mean(scores),
            MetricKey("names_significant"): mean(significant),
        }
    )
