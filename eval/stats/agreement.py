"""How far raters agree on labels: acceptance, precision, and coefficients corrected for chance, with intervals.

Fleiss' kappa, Krippendorff's alpha and Gwet's AC1 are all one minus observed over expected disagreement, and both
of these are functions of sums over items. A resample of groups is therefore a product of its multiplicities with the
groups' sums, and no resampled matrix of ratings is ever built.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, Literal, TypeAlias

import krippendorff
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats import inter_rater
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.result import Metric
from conceptbench.eval.stats.bootstrap import group_sums, percentile_interval, resampled_sums
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.errors import InputError

SCALE: Final = ("unacceptable", "imprecise", "precise")
ACCEPTABLE: Final = "acceptable"

Ratings: TypeAlias = ArrayLike | pd.DataFrame | Sequence[Sequence[str | float | None]]
Floats: TypeAlias = NDArray[np.float64]
_Parts: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]

_UNACCEPTABLE, _IMPRECISE, _PRECISE, _ACCEPTABLE = range(4)
_CODES: Final[dict[object, int]] = {name: code for code, name in enumerate((*SCALE, ACCEPTABLE))} | {
    code: code for code in range(len(SCALE))
}


@dataclass(frozen=True)
class _Coefficient:
    """A coefficient: `parts` gives its observed and expected disagreement from the sum of `sums` over items."""

    value: float | None
    items: NDArray[np.bool_]
    sums: Floats
    parts: _Parts
    n: int
    needs: str


@dataclass(frozen=True)
class Agreement:
    """How far raters agree; for each metric that cannot be computed, a sentence that says why."""

    metrics: Mapping[str, Metric]
    undefined: Mapping[str, str]


def agreement(ratings: Ratings, groups: Iterable[Hashable] | None = None, seed: int = 0) -> Agreement:
    """Measure the raters' verdict on the items and how far they agree on it.

    | metric | of | `n` |
    |---|---|---|
    | `acceptance` | share of items that more raters find acceptable than not | items with a rating |
    | `precision` | share of accepted items that more raters find precise than imprecise | accepted, Q2 answered |
    | `fleiss_kappa` | acceptable or not (Fleiss 1971) | items that every rater rated |
    | `krippendorff_alpha` | the ordinal scale (Krippendorff 2004) | items with two ratings on the scale |
    | `gwet_ac1` | acceptable or not (Gwet 2008) | items with two ratings |

    A rater (column) who rated nothing is left out. A coefficient takes two raters and two items. Where all ratings
    are of one category, kappa and alpha are 0/0 and undefined; AC1 is not, since it knows that there are two.

    Intervals are 95 %: the percentile bootstrap over groups (Efron 1979), leaving out resamples in which the
    coefficient is undefined. Where it is the same in every resample, as when raters never disagree, there is no
    spread to go by; then the interval holds what could be if as many groups as Wilson's (1927) interval allows were
    unlike those seen, all their raters disagreeing (lower end) or agreeing (upper end).

    Parameters
    ----------
    ratings : array of shape (items, raters): a value of `SCALE`, or 0, 1, 2 for its places, or "acceptable" where the
        rater did not say how precise; None or NaN where the rater did not rate.
    groups : array of shape (items,), optional; the unit that is resampled, by default each item.
    seed : of the resampling.

    Raises
    ------
    InputError
        if there are no ratings, the rows differ in length, a value is none of these, or `groups` is not one an item.

    Examples
    --------
    >>> agreed = agreement([["precise", "precise"], ["imprecise", "unacceptable"], ["unacceptable"] * 2])
    >>> round(agreed.metrics["fleiss_kappa"].value, 3)
    0.333
    """
    codes = _read_codes(ratings)
    group = _read_groups(groups, len(codes))
    codes = codes[:, ~np.isnan(codes).all(axis=0)]
    accepts = np.where(np.isnan(codes), np.nan, codes != _UNACCEPTABLE)
    scale = np.where(codes == _ACCEPTABLE, np.nan, codes)
    verdicts, missing_verdicts = _verdicts(_counts(accepts, [0, 1]), _counts(scale, range(len(SCALE))), group, seed)
    agreed, missing_agreement = _agreed(_coefficients(accepts, scale), codes.shape[1], group, seed)
    return Agreement(verdicts | agreed, missing_verdicts | missing_agreement)


def _verdicts(
    votes: Floats, places: Floats, group: NDArray[np.str_], seed: int
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Give the raters' verdict on the items, and why a part of it is undefined.

    Parameters
    ----------
    votes, places : shapes (items, 2) and (items, 3): how many raters chose each answer to Q1, each place of `SCALE`.
    """
    accepted = votes[:, 1] > votes[:, 0]
    precise = places[:, _PRECISE] > places[:, _IMPRECISE]
    rated = votes.sum(axis=1) > 0
    judged = accepted & (places[:, _IMPRECISE:].sum(axis=1) > 0)
    metrics: dict[str, Metric] = {}
    undefined: dict[str, str] = {}
    for name, share, items, why in (
        ("acceptance", accepted, rated, "No item was rated."),
        ("precision", precise, judged, "No item was accepted by the panel and rated for precision."),
    ):
        if items.any():
            metrics[name] = mean_metric(share[items].tolist(), group[items].tolist(), seed)
        else:
            undefined[name] = why
    return metrics, undefined


def _coefficients(accepts: Floats, scale: Floats) -> dict[str, _Coefficient]:
    """Prepare the coefficients.

    Parameters
    ----------
    accepts, scale : shape (items, raters): 0 or 1, and places of `SCALE`; NaN where a rating is missing.
    """
    votes, places = _counts(accepts, [0, 1]), _counts(scale, range(len(SCALE)))
    rated = votes.sum(axis=1) > 0
    complete, paired = votes.sum(axis=1) == accepts.shape[1], votes.sum(axis=1) > 1
    placed = places.sum(axis=1) > 1
    return {
        "fleiss_kappa": _Coefficient(
            value=fleiss_kappa(accepts),
            items=complete,
            sums=_nominal_sums(votes[complete], votes[complete]),
            parts=_fleiss_parts,
            n=int(complete.sum()),
            needs="a rating by every rater",
        ),
        "krippendorff_alpha": _Coefficient(
            value=krippendorff_alpha(scale, "ordinal"),
            items=placed,
            sums=_coincidences(places[placed]),
            parts=_ordinal_parts,
            n=int(placed.sum()),
            needs="two ratings on the three-point scale",
        ),
        "gwet_ac1": _Coefficient(
            value=gwet_ac1(accepts, categories=[0, 1]),
            items=rated,
            sums=_nominal_sums(votes[rated], _shares(votes[rated])),
            parts=_gwet_parts,
            n=int(paired.sum()),
            needs="two ratings",
        ),
    }


def _agreed(
    coefficients: Mapping[str, _Coefficient], raters: int, group: NDArray[np.str_], seed: int
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Give the coefficients with their intervals, and why others are undefined."""
    metrics: dict[str, Metric] = {}
    undefined: dict[str, str] = {}
    for name, coefficient in coefficients.items():
        if raters < 2:
            undefined[name] = f"Agreement takes two raters; the number here is {raters}."
        elif coefficient.n < 2:
            undefined[name] = (
                f"Agreement takes two items that have {coefficient.needs}; the number here is {coefficient.n}."
            )
        elif coefficient.value is None:
            undefined[name] = "All ratings are of one category, which leaves no chance disagreement to compare with."
        else:
            low, high = _interval(coefficient, group[coefficient.items], seed)
            value = coefficient.value
            metrics[name] = Metric(value, min(low, value), max(high, value), coefficient.n)
    return metrics, undefined


def fleiss_kappa(ratings: Floats) -> float | None:
    """Fleiss' kappa (1971) over the items that all raters rated; None where it is 0/0 or there is no such item.

    Parameters
    ----------
    ratings : shape (items, raters), categories as numbers, NaN where missing.
    """
    complete = ratings[~np.isnan(ratings).any(axis=1)]
    if ratings.shape[1] < 2 or len(np.unique(complete)) < 2:
        return None
    counts, _ = inter_rater.aggregate_raters(complete)
    return float(inter_rater.fleiss_kappa(counts, method="fleiss"))


def krippendorff_alpha(
    ratings: Floats, level: Literal["nominal", "ordinal", "interval", "ratio"] = "ordinal"
) -> float | None:
    """Krippendorff's alpha (2004, chapter 11); None where it is 0/0 or no item has two ratings.

    Parameters
    ----------
    ratings : shape (items, raters), values as numbers, NaN where missing.
    level : of measurement.
    """
    paired = ratings[(~np.isnan(ratings)).sum(axis=1) > 1]
    if len(_values(paired)) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=paired.T, level_of_measurement=level))


def gwet_ac1(ratings: Floats, categories: Sequence[float] | None = None) -> float | None:
    """Gwet's AC1 (2008), with missing ratings as in his Handbook of Inter-Rater Reliability (2014).

    Observed agreement is over items with two ratings or more, the prevalence of a category over items with any.
    None where there is only one category or no item has two ratings.

    Parameters
    ----------
    ratings : shape (items, raters), categories as numbers, NaN where missing.
    categories : those of the scale, whether or not a rater chose them; by default those in the ratings.
    """
    counts = _counts(ratings, _values(ratings) if categories is None else categories)
    counts = counts[counts.sum(axis=1) > 0]
    if counts.shape[1] < 2 or not (counts.sum(axis=1) > 1).any():
        return None
    observed, expected = _gwet_parts(_nominal_sums(counts, _shares(counts)).sum(axis=0))
    return float(1 - observed / expected)


def _interval(coefficient: _Coefficient, groups: NDArray[np.str_], seed: int) -> tuple[float, float]:
    sums, parts = coefficient.sums, coefficient.parts
    by_group = group_sums(sums, groups)
    # A resample with one category only is 0/0, and is left out.
    with np.errstate(invalid="ignore"):
        observed, expected = parts(resampled_sums(by_group, np.random.default_rng(seed)))
        values = 1 - observed / expected
    values = values[np.isfinite(values)]
    low, high = percentile_interval(values)
    if np.ptp(values) < 1e-9:
        observed, expected = parts(by_group.sum(axis=0))
        alike, _ = proportion_confint(len(by_group), len(by_group), method="wilson")
        low, high = 1 - (alike * observed + 1 - alike) / expected, 1 - alike * observed / expected
    return max(-1.0, float(low)), min(1.0, float(high))


# Sums over items, in the last axis, to observed and expected disagreement; other axes are resamples.


def _nominal_sums(counts: Floats, votes: Floats) -> Floats:
    """Columns: whether the item has a pair of ratings, the share of its pairs that disagree, its votes."""
    raters = counts.sum(axis=1)
    differing = (counts * (raters[:, np.newaxis] - counts)).sum(axis=1) / np.maximum(raters * (raters - 1), 1)
    return np.column_stack([raters > 1, differing, votes])


def _fleiss_parts(sums: Floats) -> tuple[Floats, Floats]:
    share = _shares(sums[..., 2:])
    return sums[..., 1] / sums[..., 0], (share * (1 - share)).sum(axis=-1)


def _gwet_parts(sums: Floats) -> tuple[Floats, Floats]:
    share = _shares(sums[..., 2:])
    by_chance = (share * (1 - share)).sum(axis=-1) / (share.shape[-1] - 1)
    return sums[..., 1] / sums[..., 0], 1 - by_chance


def _coincidences(counts: Floats) -> Floats:
    """Each item's coincidence matrix, flat: shape (items, categories * categories)."""
    pairs = counts[:, :, np.newaxis] * counts[:, np.newaxis, :]
    pairs -= counts[:, :, np.newaxis] * np.eye(counts.shape[1])
    each: Floats = pairs / (counts.sum(axis=1) - 1)[:, np.newaxis, np.newaxis]
    return each.reshape(len(counts), counts.shape[1] ** 2)


def _ordinal_parts(sums: Floats) -> tuple[Floats, Floats]:
    """Krippendorff's ordinal distance of two categories is that of the mean ranks of their ratings, squared.

    Distances are in units of the longest between categories in use, which cancels out.
    """
    observed = sums.reshape(*sums.shape[:-1], len(SCALE), len(SCALE))
    totals = observed.sum(axis=-1)
    n = totals.sum(axis=-1)
    rank = totals.cumsum(axis=-1) - totals / 2
    expected = totals[..., :, np.newaxis] * totals[..., np.newaxis, :]
    distance = np.where(expected > 0, rank[..., :, np.newaxis] - rank[..., np.newaxis, :], 0) ** 2
    distance /= distance.max(axis=(-2, -1), keepdims=True)
    return (observed * distance).sum(axis=(-2, -1)) / n, (expected * distance).sum(axis=(-2, -1)) / (n * (n - 1))


def _values(ratings: Floats) -> Floats:
    return np.unique(ratings[~np.isnan(ratings)])


def _counts(ratings: Floats, categories: ArrayLike) -> Floats:
    """How many raters chose each category: shape (items, categories)."""
    counts: Floats = np.sum(ratings[:, :, np.newaxis] == np.asarray(categories), axis=1, dtype=np.float64)
    return counts


def _shares(votes: Floats) -> Floats:
    shares: Floats = votes / votes.sum(axis=-1, keepdims=True)
    return shares


def _read_codes(ratings: Ratings) -> Floats:
    try:
        table = np.asarray(ratings, dtype=object)
    except ValueError as error:
        raise InputError(f"ratings: must be one row an item, with one value a rater ({error})") from error
    if table.size == 0:
        raise InputError("ratings: there are none; give one row an item, with one value a rater")
    if table.ndim != 2:
        lengths = [np.size(row) for row in table] if table.ndim == 1 else []
        uneven = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
        which = "" if uneven is None else f" (row 0 has {lengths[0]}, row {uneven} has {lengths[uneven]})"
        raise InputError(f"ratings: must be one row an item, with one value a rater, None where it is missing{which}")
    codes = np.full(table.shape, np.nan)
    for (item, rater), missing in np.ndenumerate(pd.isna(table)):
        if not missing:
            codes[item, rater] = _code(table[item, rater], f"ratings: item row {item}, rater column {rater}")
    return codes


def _code(value: Any, where: str) -> int:
    # True equals 1, but whoever gives it does not mean "imprecise".
    if not isinstance(value, bool) and isinstance(value, (str, Real)) and value in _CODES:
        return _CODES[value]
    allowed = ", ".join(repr(name) for name in (*SCALE, ACCEPTABLE))
    raise InputError(f"{where}: {value!r} is not a rating; use {allowed}, 0, 1 or 2, or None where it is missing")


def _read_groups(groups: Iterable[Hashable] | None, items: int) -> NDArray[np.str_]:
    names = np.array([str(group) for group in (range(items) if groups is None else groups)])
    if len(names) != items:
        raise InputError(f"groups: there must be one for each of the {items} items; there are {len(names)}")
    return names
