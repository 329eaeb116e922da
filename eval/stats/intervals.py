"""Intervals of a mean over items that come in groups: the groups are resampled, not the items."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.result import Metric
from conceptbench.eval.stats.bootstrap import RESAMPLES, Floats, group_sums, percentile_interval, resampled_sums


def mean_metric(values: Sequence[float], groups: Sequence[Hashable], seed: int = 0) -> Metric:
    """Give the mean of the values with its 95 % interval: percentile bootstrap over groups (Efron 1979).

    A proportion of 0 or 1 has no spread to resample; there the interval is Wilson's (1927) over the groups.

    Parameters
    ----------
    values : one a item; at least one.
    groups : the concept (or module) of each item.
    seed : of the resampling.

    Examples
    --------
    >>> mean_metric([0.0, 1.0, 1.0, 1.0], ["a", "b", "c", "d"]).value
    0.75
    """
    scores = np.asarray(values, dtype=float)
    mean = float(scores.mean())
    if _without_spread(scores):
        count = len({str(group) for group in groups})
        low, high = proportion_confint(round(mean * count), count, method="wilson")
        return Metric(mean, float(low), float(high), len(scores))
    low, high = percentile_interval(resampled_means(scores, groups, np.random.default_rng(seed)))
    return Metric(mean, low, high, len(scores))


def ratio_metric(
    numerators: Sequence[float], denominators: Sequence[float], groups: Sequence[Hashable], seed: int = 0
) -> Metric | None:
    """Give the ratio of two means over the same items, with its percentile interval over groups.

    None where the denominator is not above 0 in 97.5 % of the resamples: then the ratio may be anything.
    """
    above = resampled_means(numerators, groups, np.random.default_rng(seed))
    below = resampled_means(denominators, groups, np.random.default_rng(seed))
    if np.quantile(below, 0.025) <= 0.0:
        return None
    low, high = percentile_interval(above / below)
    value = float(np.mean(numerators) / np.mean(denominators))
    # Where all numerators are 0 or 1, they are drawn from a posterior, which lies to one side of them.
    return Metric(value, min(low, value), max(high, value), len(numerators))


def resampled_means(
    values: Sequence[float] | np.ndarray, groups: Sequence[Hashable], generator: np.random.Generator
) -> Floats:
    """Give the mean of the values in each resample of the groups: shape (RESAMPLES,).

    Where all values are 0, or all 1, the draws come from the Jeffreys posterior of that share over the groups.
    """
    scores = np.asarray(values, dtype=float)
    sums = group_sums(np.column_stack([scores, np.ones(len(scores))]), groups)
    if _without_spread(scores):
        hits = scores[0] * len(sums)
        return generator.beta(hits + 0.5, len(sums) - hits + 0.5, size=RESAMPLES)
    totals = resampled_sums(sums, generator)
    means: Floats = totals[:, 0] / totals[:, 1]
    return means


def _without_spread(scores: np.ndarray) -> bool:
    """Tell whether all are 0, or all 1; a mean of 0 may also be that of values which cancel out."""
    return bool(scores[0] in {0.0, 1.0} and (scores == scores[0]).all())
