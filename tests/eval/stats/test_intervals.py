"""Intervals of means and ratios over items in groups: against scipy's bootstrap, Wilson's and Jeffreys' intervals."""

import math

import numpy as np
import pytest
from scipy.stats import beta, bootstrap
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.result import Metric
from conceptbench.eval.stats.bootstrap import RESAMPLES
from conceptbench.eval.stats.intervals import mean_metric, ratio_metric, resampled_means


def test_the_interval_is_scipys_where_every_item_is_its_own_group() -> None:
    values = np.random.default_rng(1).normal(size=80)
    ours = mean_metric(values.tolist(), range(80))
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)


def test_groups_are_resampled_whole() -> None:
    # Ten groups of ten equal items say no more than ten items.
    groups = [i // 10 for i in range(100)]
    values = [float(group % 2) for group in groups]
    wide, narrow = mean_metric(values, groups), mean_metric(values, range(100))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.n == narrow.n == 100


def test_a_proportion_of_one_has_wilsons_interval() -> None:
    metric = mean_metric([1.0] * 30, [i // 3 for i in range(30)])
    low, high = proportion_confint(10, 10, method="wilson")
    assert (metric.value, metric.low, metric.high, metric.n) == (1.0, pytest.approx(low), pytest.approx(high), 30)


def test_resampled_means_are_scipys_bootstrap() -> None:
    generator = np.random.default_rng(13)
    values = generator.normal(0.4, size=60)
    means = resampled_means(values, range(60), np.random.default_rng(0))
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert means.shape == (RESAMPLES,)
    assert means.std() == pytest.approx(theirs.standard_error, rel=0.08)
    assert np.quantile(means, [0.025, 0.975]) == pytest.approx(theirs.confidence_interval, abs=0.04)
    assert np.array_equal(means, resampled_means(values.tolist(), range(60), np.random.default_rng(0)))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_are_right_or_wrong_the_draws_are_jeffreys(value: float) -> None:
    # Three items a group: ten groups say what ten items do.
    means = resampled_means([value] * 30, [i // 3 for i in range(30)], np.random.default_rng(0))
    expected = beta.ppf([0.025, 0.5, 0.975], 0.5 + 10 * value, 10.5 - 10 * value)
    assert np.quantile(means, [0.025, 0.5, 0.975]) == pytest.approx(expected, abs=0.02)


def test_values_that_only_cancel_out_are_no_share_of_zero() -> None:
    values = [-0.5, 0.5] * 40
    means = resampled_means(values, range(80), np.random.default_rng(0))
    assert means.mean() == pytest.approx(0.0, abs=0.01)
    assert means.std() == pytest.approx(0.5 / math.sqrt(80), rel=0.1)
    metric = mean_metric(values, range(80))
    assert metric.low < -0.05 < 0.05 < metric.high


def test_a_ratio_of_means() -> None:
    generator = np.random.default_rng(17)
    below = generator.normal(0.4, 0.2, size=120)
    above = 0.5 * below + generator.normal(0, 0.05, size=120)
    metric = ratio_metric(above.tolist(), below.tolist(), range(120))
    assert metric is not None
    theirs = bootstrap(
        (above, below),
        lambda a, b, axis=-1: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (metric.value, metric.n) == (pytest.approx(above.mean() / below.mean()), 120)
    assert (metric.low, metric.high) == pytest.approx(theirs, abs=0.01)
    # Pairs stay pairs: the two means rise and fall together, so the ratio is known better than either of them.
    mean = mean_metric(above.tolist(), range(120))
    assert (metric.high - metric.low) / metric.value < (mean.high - mean.low) / mean.value


def test_a_ratio_whose_denominator_may_be_zero_is_none() -> None:
    generator = np.random.default_rng(19)
    assert ratio_metric([0.1] * 50, generator.normal(0.01, 0.5, size=50).tolist(), range(50)) is None
    assert ratio_metric([0.1] * 50, [-0.2] * 50, range(50)) is None


@pytest.mark.parametrize("above", [[0.0] * 40, [-0.5, 0.5] * 20, [1.0] * 40])
def test_a_ratio_lies_within_its_interval(above: list[float]) -> None:
    metric = ratio_metric(above, [0.5, 0.7] * 20, range(40))
    assert isinstance(metric, Metric)
    assert metric.low <= metric.value <= metric.high
    assert metric.high - metric.low < 1.0
