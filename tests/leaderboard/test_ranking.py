"""Rankings: against worked examples, and on scores whose true order is known."""

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from conceptbench.eval.stats.paired import paired_difference
from conceptbench.leaderboard.ranking import Scored, rank_systems, resolution
from conceptbench.runtime.errors import InputError


def scored(name: str, values: np.ndarray, per_group: int = 1) -> Scored:
    items = {f"i{number}": float(value) for number, value in enumerate(values)}
    return Scored(name, items, {item: f"g{number // per_group}" for number, item in enumerate(items)})


def test_p_values_are_corrected_step_by_step_from_the_smallest() -> None:
    rng = np.random.default_rng(0)
    systems = [scored(name, rng.normal(0.25 * level, 1.0, 30)) for level, name in enumerate("abcde")]
    pairs = sorted(rank_systems(systems).pairs, key=lambda pair: pair.p)
    assert len(pairs) == 10
    # Holm 1979: the i-th smallest p-value times the number of those that are not smaller, and never a step down.
    steps = [min(1.0, (len(pairs) - i) * pair.p) for i, pair in enumerate(pairs)]
    assert [pair.p_holm for pair in pairs] == pytest.approx(list(np.maximum.accumulate(steps)))
    assert any(pair.p < 0.05 < pair.p_holm for pair in pairs)


def test_lower_is_better_turns_the_ranks_around() -> None:
    systems = [scored("low", np.zeros(20)), scored("high", np.ones(20))]
    higher, lower = (rank_systems(systems, higher_is_better=higher).ranks for higher in (True, False))
    assert (higher["high"].rank, higher["low"].rank) == (1, 2)
    assert (lower["high"].rank, lower["low"].rank) == (2, 1)


def test_ranks_show_a_planted_order_and_tie_equal_systems() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(size=200)
    best = scored("best", hard + rng.normal(1.0, 0.3, 200))
    equal = [scored(name, hard + rng.normal(0.0, 0.3, 200)) for name in ("first", "second")]
    worst = scored("worst", hard + rng.normal(-1.0, 0.3, 200))
    ranking = rank_systems([equal[0], worst, best, equal[1]])
    ranks = {name: (rank.rank, rank.low, rank.high) for name, rank in ranking.ranks.items()}
    assert ranks == {"best": (1, 1, 1), "first": (2, 2, 3), "second": (2, 2, 3), "worst": (4, 4, 4)}
    assert len(ranking.pairs) == 6
    for pair in ranking.pairs:
        assert pair.p_holm >= pair.p
        assert pair.low <= pair.value <= pair.high
    plain = paired_difference(best.values, worst.values, best.groups)
    pair = next(pair for pair in ranking.pairs if {pair.first, pair.second} == {"best", "worst"})
    assert abs(pair.value) == pytest.approx(plain.value)


def test_equal_systems_all_may_have_any_rank() -> None:
    values = np.random.default_rng(2).random(50)
    ranking = rank_systems([scored(name, values) for name in "abc"])
    assert {(rank.rank, rank.low, rank.high) for rank in ranking.ranks.values()} == {(1, 1, 3)}
    assert ranking.resolution is None


def test_one_system_and_none() -> None:
    ranking = rank_systems([scored("a", np.ones(9))])
    assert (ranking.ranks["a"].rank, ranking.ranks["a"].high, ranking.pairs, ranking.resolution) == (1, 1, [], None)
    assert rank_systems([]).ranks == {}


def test_many_systems_can_still_be_told_apart() -> None:
    # 253 pairs: the smallest p-value of 10,000 permutations, 0.0002, does not survive the correction.
    rng = np.random.default_rng(3)
    systems = [scored(f"s{number}", rng.normal(5.0 * (number == 0), 1.0, 20)) for number in range(23)]
    ranking = rank_systems(systems)
    assert (ranking.ranks["s0"].rank, ranking.ranks["s0"].high) == (1, 1)
    assert ranking.ranks["s1"].low >= 2
    first = [pair for pair in ranking.pairs if "s0" in {pair.first, pair.second}]
    assert max(pair.p for pair in first) < 1.0 / 10_001


def test_resolution_is_what_a_paired_t_test_shows_in_four_runs_of_five() -> None:
    rng = np.random.default_rng(4)
    groups, per_group = 60, 3
    systems = [scored(name, rng.normal(size=groups * per_group), per_group) for name in "abc"]
    smallest = resolution(systems)
    assert smallest is not None
    spreads = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        gap = np.array(list(systems[first].values.values())) - np.array(list(systems[second].values.values()))
        spreads.append(gap.reshape(groups, per_group).mean(axis=1).std(ddof=1))
    power = TTestPower().power(smallest / np.median(spreads), groups, 0.05 / 3)
    assert power == pytest.approx(0.8, abs=1e-3)
    # With four times the groups, the smallest difference is half as large.
    more = [scored(name, rng.normal(size=4 * groups * per_group), per_group) for name in "abc"]
    assert resolution(more) == pytest.approx(smallest / 2, rel=0.15)
    assert resolution([scored(name, rng.normal(size=5)) for name in "ab"]) is None


def test_systems_of_other_items_are_not_ranked() -> None:
    with pytest.raises(InputError, match="not of the same items"):
        rank_systems([scored("a", np.ones(9)), scored("b", np.ones(8))])
