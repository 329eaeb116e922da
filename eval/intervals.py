"""Intervals of a mean over items that come in groups: the groups are resampled, not the items."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.result import Metric

RESAMPLES = 2000


def mean_metric(values: Sequence[float], groups: Sequence[Hashable], seed: int = 0) -> Metric:
    """Give the mean of the values with its 95 % interval: percentile bootstrap over groups (Efron 1979).

    A proportion of 0 or 1 has no spread to resample; there the interval is Wilson's (1927) over the groups.

    Parameters
    ----------
    values : one a item; at least one.
    groups : the concept (or module) of each item.
    seed : of the resampling.
    """
    scores = np.asarray(values, dtype=float)
    _, owner = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    sums, counts = np.bincount(owner, scores), np.bincount(owner)
    mean = float(scores.mean())
    if mean in {0.0, 1.0}:
        low, high = proportion_confint(round(mean * len(sums)), len(sums), method="wilson")
        return Metric(mean, float(low), float(high), len(scores))
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Metric(mean, float(low), float(high), len(scores))
