"""Paired comparison of two systems on the same items, which come in groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test
from statsmodels.stats.power import TTestPower

from conceptbench.eval.stats.bootstrap import group_sums, percentile_interval, resampled_sums
from conceptbench.runtime.errors import InputError

PERMUTATIONS: Final = 10_000
FEWEST_GROUPS: Final = 6
"""With five groups, the smallest p-value of flipping signs is 2 / 2**5, which is above 0.05."""

_EXACT_UP_TO = 2**14
_CELLS_AT_ONCE = 2**20
_ALPHA, _POWER = 0.05, 0.8


@dataclass(frozen=True)
class Difference:
    """The mean of first minus second over `n` items in `groups` groups, with its 95 % interval and p-value.

    `needed` is the number of groups that would show the difference asked about; None where the groups do not differ
    in their difference.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    groups: int
    needed: int | None

    @property
    def told_apart(self) -> bool:
        """Whether the p-value is below 0.05."""
        return self.p < _ALPHA

    def __str__(self) -> str:
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f}), {p}".replace("-", "−")


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    groups: Mapping[str, str],
    *,
    detect: float = 0.05,
    seed: int = 0,
) -> Difference:
    """Compare the scores of two systems on the same items.

    The interval is the percentile bootstrap over groups (Efron 1979). The p-value is of the two-sided permutation
    test that flips the signs of whole groups (Fisher 1935): exact where few groups differ, else from 10,000 draws,
    the observed one counted among them (Phipson and Smyth 2010). `needed` is the number of groups with which a
    paired t test at 0.05, two-sided, shows a true difference of `detect` with 80 % power, the mean differences of
    groups being spread as here; at least 6, since fewer cannot bring the permutation test to 0.05.

    Where two systems score alike on every item, the p-value is 1 and the interval [0, 0]. That describes these
    items, and resampling can say no more: of other concepts, a share of up to 3 / groups may still differ (Hanley and
    Lippman-Hand 1983). The same holds of any difference that is one and the same in every group.

    Parameters
    ----------
    first, second : the score of each item.
    groups : the concept (or module) of each item: what is resampled, and flipped.
    detect : the size of difference that `needed` is about; above 0.
    seed : of the resampling and the permutations.

    Raises
    ------
    InputError
        if the two are not of the same items, an item has no group or no finite score, there are no items, or
        `detect` is not above 0.
    """
    if not detect > 0:
        raise InputError(f"detect: must be above 0, not {detect}")
    items = _same_items(first, second, groups)
    differences = np.array([first[item] - second[item] for item in items], dtype=np.float64)
    if not np.isfinite(differences).all():
        item = items[int(np.argmin(np.isfinite(differences)))]
        raise InputError(f"item {item!r}: its scores must be finite; they are {first[item]} and {second[item]}")
    by_group = group_sums(np.column_stack([differences, np.ones(len(items))]), [groups[item] for item in items])
    sums, counts = by_group.T
    totals = resampled_sums(by_group, np.random.default_rng(seed))
    low, high = percentile_interval(totals[:, 0] / totals[:, 1])
    return Difference(
        value=float(differences.mean()),
        low=low,
        high=high,
        p=sign_flip_p_value(sums, seed=seed),
        n=len(items),
        groups=len(sums),
        needed=_groups_needed(sums / counts, detect),
    )


def _same_items(first: Mapping[str, float], second: Mapping[str, float], groups: Mapping[str, str]) -> list[str]:
    """The items, in an order that does not hang on that of the mappings."""
    unpaired = sorted(first.keys() ^ second.keys())
    if unpaired:
        where = "first" if unpaired[0] in first else "second"
        raise InputError(
            f"the two are not of the same items: {len(unpaired)} are in only one of them, "
            f"such as {unpaired[0]!r} in the {where}"
        )
    if not first:
        raise InputError("there are no items to compare")
    homeless = sorted(first.keys() - groups.keys())
    if homeless:
        raise InputError(f"there is no group for {len(homeless)} of {len(first)} items, such as {homeless[0]!r}")
    return sorted(first)


def sign_flip_p_value(sums: NDArray[np.float64], *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Give the two-sided p-value of the permutation test that flips the signs of whole groups (Fisher 1935).

    It is exact where at most 14 groups differ, else from random flips, the observed signs counted among them (Phipson
    and Smyth 2010).

    Parameters
    ----------
    sums : float64 of shape (groups,): the summed difference of each group.
    permutations : random flips.
    seed : of the flips.

    Examples
    --------
    >>> sign_flip_p_value(np.array([1.0, 1.0, 1.0]))
    0.25
    """
    # A group whose sum is 0 is the same with either sign; of one group alone, both signs are as far from 0.
    differing = sums[sums != 0]
    if len(differing) < 2:
        return 1.0
    exact = 2 ** len(differing) <= _EXACT_UP_TO
    test = permutation_test(
        (differing,),
        lambda flipped, axis: np.abs(flipped.sum(axis=axis)),
        alternative="greater",
        permutation_type="samples",
        vectorized=True,
        n_resamples=_EXACT_UP_TO if exact else permutations,
        batch=max(1, _CELLS_AT_ONCE // len(differing)),
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _groups_needed(means: NDArray[np.float64], detect: float) -> int | None:
    if np.ptp(means) < 1e-12:
        return None
    # Beyond these bounds the solver finds no number; there the fewest groups do, or trillions do not.
    effect = min(max(detect / float(means.std(ddof=1)), 1e-6), 2.0)
    needed: float = TTestPower().solve_power(effect_size=effect, power=_POWER, alpha=_ALPHA, alternative="two-sided")
    return max(FEWEST_GROUPS, math.ceil(needed))
