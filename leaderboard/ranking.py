"""Rankings by paired tests on the same items, with an interval of each rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from conceptbench.eval.stats.bootstrap import Floats, group_sums
from conceptbench.eval.stats.paired import FEWEST_GROUPS, PERMUTATIONS, paired_difference, sign_flip_p_value

ALPHA: Final = 0.05
POWER: Final = 0.8

# The smallest two-sided p-value of n draws is 2 / (n + 1); times the number of pairs it must be well below 0.05.
_DRAWS_PER_PAIR = 80


@dataclass(frozen=True)
class Scored:
    """A system's scores on the items, by item; and the group (concept) of each item."""

    id: str
    values: Mapping[str, float]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """The comparison of two systems.

    Attributes
    ----------
    first, second : the ids of the systems.
    value, low, high : the mean of first minus second over the items, with its 95 % interval.
    p, p_holm : the p-value, and that corrected for the number of pairs (Holm 1979).
    n : the number of items.
    """

    first: str
    second: str
    value: float
    low: float
    high: float
    p: float
    p_holm: float
    n: int

    @property
    def told_apart(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Rank:
    """A system's rank, and the lowest and highest rank that its tests leave possible."""

    rank: int
    low: int
    high: int


@dataclass(frozen=True)
class Ranking:
    """The ranks by system, the comparison of every pair, and the `resolution` of the items."""

    ranks: Mapping[str, Rank]
    pairs: Sequence[Pair]
    resolution: float | None


def rank_systems(systems: Sequence[Scored], *, higher_is_better: bool = True, seed: int = 0) -> Ranking:
    """Rank systems that were scored on the same items.

    All pairs are tested by flipping the signs of whole groups (`paired_difference`), and their p-values are corrected
    together (Holm 1979). A system's rank is 1 + the number of systems that are significantly better. Its interval goes
    from that rank to the number of systems that are not significantly worse: since the chance of at least one wrong
    decision is at most 5 %, all intervals hold together with 95 % confidence (Al Mohamad, Goeman and van Zwet 2022;
    Mogstad, Romano, Shaikh and Wilhelm 2024).

    Raises
    ------
    InputError
        if two of them were not scored on the same items.

    Examples
    --------
    >>> items = [f"item {number}" for number in range(20)]
    >>> groups = {item: item for item in items}
    >>> systems = [Scored(name, dict.fromkeys(items, value), groups) for name, value in (("a", 0.0), ("b", 1.0))]
    >>> rank_systems(systems).ranks["b"]
    Rank(rank=1, low=1, high=1)
    """
    compared = [_compared(first, second, seed) for first, second in combinations(systems, 2)]
    pairs = _corrected(_sharpened(compared, systems, seed))
    better = {system.id: 0 for system in systems}
    worse = dict(better)
    for pair in pairs:
        if pair.told_apart:
            first_wins = (pair.value > 0) == higher_is_better
            winner, loser = (pair.first, pair.second) if first_wins else (pair.second, pair.first)
            worse[winner] += 1
            better[loser] += 1
    ranks = {name: Rank(1 + better[name], 1 + better[name], len(systems) - worse[name]) for name in better}
    return Ranking(ranks, pairs, resolution(systems))


def resolution(systems: Sequence[Scored]) -> float | None:
    """Give the smallest true difference that these items show in four runs of five.

    It is that of a two-sided paired t test over groups at Holm's strictest level, 0.05 over the number of pairs, where
    the differences of groups have the standard deviation that they have in the median pair. None where no pair differs,
    or where there are fewer than six groups, with which no permutation test reaches 0.05.
    """
    spreads = [
        _group_means(first, second).std(ddof=1) for first, second in combinations(systems, 2) if _groups(first) > 1
    ]
    spreads = [spread for spread in spreads if spread > 1e-12]
    if not spreads or _groups(systems[0]) < FEWEST_GROUPS:
        return None
    tests = len(systems) * (len(systems) - 1) // 2
    effect: float = TTestPower().solve_power(
        nobs=_groups(systems[0]), power=POWER, alpha=ALPHA / tests, alternative="two-sided"
    )
    return float(np.median(spreads)) * effect


def _compared(first: Scored, second: Scored, seed: int) -> Pair:
    difference = paired_difference(first.values, second.values, first.groups, seed=seed)
    return Pair(
        first=first.id,
        second=second.id,
        value=difference.value,
        low=difference.low,
        high=difference.high,
        p=difference.p,
        p_holm=difference.p,
        n=difference.n,
    )


def _sharpened(pairs: Sequence[Pair], systems: Sequence[Scored], seed: int) -> list[Pair]:
    """Draw more permutations for the smallest p-values where 10,000 are too few for the number of pairs."""
    if 2 * len(pairs) < (PERMUTATIONS + 1) * ALPHA:
        return list(pairs)
    by_id = {system.id: system for system in systems}
    floor = 2.5 / (PERMUTATIONS + 1)

    def sharper(pair: Pair) -> float:
        sums, _ = _by_group(by_id[pair.first], by_id[pair.second])
        return sign_flip_p_value(sums, permutations=_DRAWS_PER_PAIR * len(pairs), seed=seed)

    return [replace(pair, p=sharper(pair)) if 1e-9 < pair.p < floor else pair for pair in pairs]


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Correct the p-values for the number of pairs (Holm 1979)."""
    if not pairs:
        return []
    _, corrected, _, _ = multipletests([pair.p for pair in pairs], alpha=ALPHA, method="holm")
    return [replace(pair, p_holm=float(p_holm)) for pair, p_holm in zip(pairs, corrected, strict=True)]


def _groups(system: Scored) -> int:
    return len({system.groups[item] for item in system.values})


def _group_means(first: Scored, second: Scored) -> Floats:
    sums, counts = _by_group(first, second)
    means: Floats = sums / counts
    return means


def _by_group(first: Scored, second: Scored) -> tuple[Floats, Floats]:
    """Give the summed difference of each group, and the number of its items; both float64 of shape (groups,)."""
    items = sorted(first.values)
    differences = np.array([first.values[item] - second.values[item] for item in items])
    sums = group_sums(np.column_stack([differences, np.ones(len(items))]), [first.groups[item] for item in items])
    return sums[:, 0], sums[:, 1]
