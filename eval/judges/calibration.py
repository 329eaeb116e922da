"""Calibrating a panel of judges on planted controls, and correcting the share that it accepts for its errors."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.result import Metric
from conceptbench.eval.stats.bootstrap import RESAMPLES, group_sums, percentile_interval, resampled_sums
from conceptbench.eval.stats.intervals import resampled_means


@dataclass(frozen=True)
class Share:
    """The number `hits` of `n` controls on which the decision was right.

    Examples
    --------
    >>> (Share(3, 10) + Share(5, 10)).metric.value
    0.4
    """

    hits: int
    n: int

    @property
    def metric(self) -> Metric:
        """The share with Wilson's interval (1927)."""
        low, high = proportion_confint(self.hits, self.n, method="wilson")
        return Metric(self.hits / self.n, float(low), float(high), self.n)

    def __add__(self, more: Share) -> Share:
        return Share(self.hits + more.hits, self.n + more.n)


def youden(sensitivity: Share, specificity: Share) -> Metric:
    """Give Youden's J = sensitivity + specificity - 1, with an interval from those of its parts.

    The interval is Zou and Donner's (2008, MOVER), of Wilson's: it keeps its width where a part is 0 or 1, as for a
    judge that always says yes.

    Examples
    --------
    >>> round(youden(Share(9, 10), Share(8, 10)).value, 3)
    0.7
    """
    sens, spec = sensitivity.metric, specificity.metric
    value = sens.value + spec.value - 1.0
    low = value - math.hypot(sens.value - sens.low, spec.value - spec.low)
    high = value + math.hypot(sens.high - sens.value, spec.high - spec.value)
    return Metric(value, max(-1.0, low), min(1.0, high), sens.n + spec.n)


def worth(sensitivity: Share, specificity: Share) -> dict[str, Metric]:
    """Give sensitivity, specificity and Youden's J of a panel, by the names of the metrics that all tasks use."""
    return {
        "judge_sensitivity": sensitivity.metric,
        "judge_specificity": specificity.metric,
        "judge_youden": youden(sensitivity, specificity),
    }


def corrected(
    decisions: Sequence[float],
    groups: Sequence[Hashable],
    sensitivity: Share,
    specificities: Mapping[str, Share],
    *,
    asked: int,
    seed: int = 0,
) -> Metric:
    """Correct the share of accepted labels (or explanations) for the panel's errors (Rogan and Gladen 1978).

    Which errors a system makes is not known, so the interval spans the correction for each error type: its ends
    are the lowest and the highest over types, resampled; items by group, and the controls' shares from their Jeffreys
    posterior, which keeps its width at 0 and 1. The value takes the types in equal parts.

    Parameters
    ----------
    decisions : 1.0 where the panel accepts a label, else 0.0; one for each label.
    groups : the concept, or module, of each.
    sensitivity, specificities : on right controls; on wrong ones, by error type.
    asked : the number of items; those without a label are known to be wrong.
    seed : of the resampling.
    """
    generator = np.random.default_rng(seed)
    means = resampled_means(decisions, groups, generator)
    sens = _posterior(sensitivity, generator)
    shares = [_rogan_gladen(means, sens, _posterior(share, generator)) for share in specificities.values()]
    # Where a type's J is not above 0 the panel cannot tell such errors: nothing is ruled out.
    low = np.quantile(np.minimum.reduce([np.nan_to_num(values, nan=0.0) for values in shares]), 0.025)
    high = np.quantile(np.maximum.reduce([np.nan_to_num(values, nan=1.0) for values in shares]), 0.975)
    specificity = np.mean([share.metric.value for share in specificities.values()], keepdims=True)
    accepted = np.mean(np.asarray(decisions, dtype=float), keepdims=True)
    value = float(_rogan_gladen(accepted, np.array([sensitivity.metric.value]), specificity)[0])
    labelled = len(decisions) / asked
    return Metric(value * labelled, min(float(low), value) * labelled, max(float(high), value) * labelled, asked)


def prediction_powered(
    judged: Sequence[float], people: Mapping[int, float], groups: Sequence[Hashable], *, asked: int, seed: int = 0
) -> Metric:
    """Estimate people's acceptance of all labels from the judges', and people's ratings of a part.

    The judges' mean over all labels, plus the mean of (people - judges) over those that people rated
    (Angelopoulos et al. 2023, prediction-powered inference); labels that people rated must be a random part.
    The interval resamples groups.

    Parameters
    ----------
    judged : the panel's decision on each label, 1.0 or 0.0.
    people : the people's decision on some of them, by number.
    groups : the concept of each label.
    asked : the number of items; those without a label are known not to be accepted.
    seed : of the resampling.
    """
    decisions = np.asarray(judged, dtype=float)
    rated = np.zeros(len(decisions))
    gap = np.zeros(len(decisions))
    for row, decision in people.items():
        rated[row], gap[row] = 1.0, decision - decisions[row]
    sums = group_sums(np.column_stack([decisions, np.ones(len(decisions)), gap, rated]), groups)
    generator = np.random.default_rng(seed)
    total, count, gaps, part = resampled_sums(sums, generator).T
    # Half a concept more on which they differ either way, as in Jeffreys' prior: few ratings that happen to agree with
    # the judges' leave doubt.
    over, under = generator.gamma(0.5, size=(2, RESAMPLES)) * rated.sum() / np.count_nonzero(sums[:, 3])
    estimates = np.clip(total / count + (gaps + over - under) / (part + over + under), 0.0, 1.0)
    low, high = percentile_interval(estimates)
    value = min(1.0, max(0.0, float(decisions.mean() + gap.sum() / rated.sum())))
    labelled = len(decisions) / asked
    return Metric(value * labelled, min(low, value) * labelled, max(high, value) * labelled, asked)


def _posterior(share: Share, generator: np.random.Generator) -> np.ndarray:
    return generator.beta(share.hits + 0.5, share.n - share.hits + 0.5, size=RESAMPLES)


def _rogan_gladen(accepted: np.ndarray, sensitivity: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """Correct shares and clip them to [0, 1]; NaN where the panel tells nothing (J <= 0)."""
    j = sensitivity + specificity - 1.0
    shares = np.divide(accepted + specificity - 1.0, j, out=np.full(len(accepted), np.nan), where=j > 0)
    result: np.ndarray = np.clip(shares, 0.0, 1.0)
    return result
