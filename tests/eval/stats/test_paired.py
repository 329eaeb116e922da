"""Paired comparison: against scipy's tests and intervals, and power against a simulation."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap, permutation_test, ttest_1samp

from conceptbench.eval.stats.paired import paired_difference
from conceptbench.runtime.errors import InputError

Floats = NDArray[np.float64]


def scores(values: Floats) -> dict[str, float]:
    return {f"item{i}": float(value) for i, value in enumerate(values)}


def groups_of_one(items: int) -> dict[str, str]:
    return {f"item{i}": f"C{i:04d}" for i in range(items)}


def two_systems(items: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1, items), rng.normal(0, 1, items)


def test_the_exact_p_value_is_scipys() -> None:
    first, second = two_systems(10, seed=1)
    theirs = permutation_test((first - second,), np.mean, permutation_type="samples", n_resamples=np.inf)
    ours = paired_difference(scores(first), scores(second), groups_of_one(10))
    assert ours.value == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)


def test_equal_sums_count_as_equal() -> None:
    # Tenths do not add up exactly. Of 0.1, 0.2 and -0.1 the sum is 0.2; flipped, three in four are as far out: 0.2
    # twice and 0.4, but not 0. Of 0.1, 0.1, 0.1 and 0.4 only the sum itself and its opposite are.
    for values, p in (([0.1, 0.2, -0.1], 3 / 4), ([0.1, 0.1, 0.1, 0.4], 2 / 16)):
        items = len(values)
        assert paired_difference(scores(np.array(values)), scores(np.zeros(items)), groups_of_one(items)).p == p


def test_the_drawn_p_value_is_near_that_of_the_t_test() -> None:
    first, second = two_systems(100, seed=2)
    ours = paired_difference(scores(first), scores(second), groups_of_one(100))
    assert 0.01 < ours.p < 0.5
    assert ours.p == pytest.approx(ttest_1samp(first - second, 0).pvalue, abs=0.02)


def test_a_clear_difference_has_the_smallest_p_value_that_draws_can_show() -> None:
    ours = paired_difference(scores(np.ones(50)), scores(np.zeros(50)), groups_of_one(50))
    assert ours.p == 1 / 10_001


def test_the_interval_is_scipys() -> None:
    first, second = two_systems(80, seed=3)
    theirs = bootstrap((first - second,), np.mean, n_resamples=20_000, method="percentile", rng=4).confidence_interval
    ours = paired_difference(scores(first), scores(second), groups_of_one(80))
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.03), pytest.approx(theirs.high, abs=0.03))


def test_groups_are_resampled_and_flipped_whole() -> None:
    first, second = two_systems(12, seed=5)
    groups = {f"item{i}": f"C{i // 2}" for i in range(12)}
    sums = (first - second).reshape(6, 2).sum(axis=1)
    theirs = permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    ours = paired_difference(scores(first), scores(second), groups)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.n, ours.groups) == (12, 6)
    # Repeating each item ten times in its group tells nothing new.
    many = paired_difference(
        scores(np.repeat(first, 10)), scores(np.repeat(second, 10)), {f"item{i}": f"C{i // 20}" for i in range(120)}
    )
    assert (many.p, many.low, many.high) == (ours.p, pytest.approx(ours.low), pytest.approx(ours.high))


def test_a_large_group_weighs_more() -> None:
    # Three items of one concept differ by 1, one item of another by 0.
    ours = paired_difference(
        scores(np.array([1.0, 1.0, 1.0, 0.0])),
        scores(np.zeros(4)),
        {"item0": "a", "item1": "a", "item2": "a", "item3": "b"},
    )
    assert (ours.value, ours.low, ours.high) == (0.75, 0, 1)


def test_so_many_groups_show_the_difference_in_four_runs_of_five() -> None:
    first, second = two_systems(60, seed=6)
    difference = first - second
    needed = paired_difference(scores(first), scores(second), groups_of_one(60), detect=0.5).needed
    assert needed is not None
    rng = np.random.default_rng(7)
    runs = rng.normal(0.5, difference.std(ddof=1), size=(4000, needed))
    assert np.mean(ttest_1samp(runs, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_a_small_difference_takes_more_groups() -> None:
    first, second = two_systems(60, seed=8)
    needed = [
        paired_difference(scores(first), scores(second), groups_of_one(60), detect=detect).needed or 0
        for detect in (1e-12, 0.001, 0.01, 0.1, 1.0, 100.0)
    ]
    assert needed == sorted(needed, reverse=True)
    assert needed[2] == pytest.approx(100 * needed[3], rel=0.01)
    # Below six groups no p-value of the permutation test is below 0.05.
    assert needed[-1] == 6


def test_equal_systems() -> None:
    first, _ = two_systems(20, seed=9)
    ours = paired_difference(scores(first), scores(first), groups_of_one(20))
    assert (ours.value, ours.low, ours.high, ours.p, ours.n, ours.needed) == (0, 0, 0, 1, 20, None)


def test_the_order_of_items_does_not_matter() -> None:
    first, second = two_systems(30, seed=10)
    turned = dict(reversed(scores(first).items()))
    assert paired_difference(turned, scores(second), groups_of_one(30)) == paired_difference(
        scores(first), scores(second), groups_of_one(30)
    )


def test_first_and_second_change_places() -> None:
    first, second = two_systems(12, seed=11)
    forth = paired_difference(scores(first), scores(second), groups_of_one(12))
    back = paired_difference(scores(second), scores(first), groups_of_one(12))
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low))
    assert (back.p, back.needed) == (forth.p, forth.needed)


@pytest.mark.parametrize(
    ("first", "second", "groups", "message"),
    [
        ({"a": 1, "b": 1}, {"a": 1, "c": 0}, {"a": "x", "b": "x", "c": "x"}, "2 are in only one.*'b' in the first"),
        ({"a": 1}, {"a": 1, "c": 0}, {"a": "x", "c": "x"}, "1 are in only one.*'c' in the second"),
        ({"a": 1, "b": 1}, {"a": 1, "b": 0}, {"a": "x"}, "no group for 1 of 2 items, such as 'b'"),
        ({"a": 1, "b": float("nan")}, {"a": 1, "b": 0}, {"a": "x", "b": "x"}, "item 'b'.*finite.*nan and 0"),
        ({}, {}, {}, "no items"),
    ],
)
def test_what_cannot_be_compared_is_named(
    first: dict[str, float], second: dict[str, float], groups: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        paired_difference(first, second, groups)


@pytest.mark.parametrize("detect", [0.0, -0.1, float("nan")])
def test_a_difference_to_detect_is_above_zero(detect: float) -> None:
    with pytest.raises(InputError, match="detect: must be above 0"):
        paired_difference({"a": 1}, {"a": 0}, {"a": "x"}, detect=detect)
