"""Accuracies and AUROCs of many probes at once, with intervals that know that tokens of a word type are alike.

All intervals are Wilson's (1927) at an effective number of tokens, which follows from the variance between word types
(Korn & Graubard 1998). Such an interval takes no resampling, stays within 0 and 1, and is of use at 0 and 1 too. The
variance of an AUROC is that of Obuchowski (1997): DeLong's for clustered data.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from conceptbench.eval.result import Metric

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_Z: Final = float(ndtri(0.975))


class _Shares(NamedTuple):
    """A share of each owner: arrays of shape (owners,).

    Attributes
    ----------
    value, variance, freedom : the share, the variance of its estimate, and the degrees of freedom of that variance.
    worst : the effective number of tokens if all tokens of a type were the same.
    n : the number of tokens.
    """

    value: Floats
    variance: Floats
    freedom: Floats
    worst: Floats
    n: Ints


def accuracies(correct: Bools, owner: Ints, types: Ints, owners: int) -> list[Metric | None]:
    """Give each owner's share of correct tokens; None for an owner of none.

    Parameters
    ----------
    correct, owner, types : shape (n,), one a token; the owner (concept) 0 .. owners - 1, and the word type.

    Examples
    --------
    >>> correct, concept, word = np.array([True, True, False]), np.array([0, 0, 0]), np.array([0, 1, 2])
    >>> round(accuracies(correct, concept, word, owners=1)[0].value, 3)
    0.667
    """
    return _metrics(_mean(correct.astype(np.float64), owner, types, owners))


def aurocs(scores: Floats, targets: Bools, owner: Ints, types: Ints, owners: int) -> list[Metric | None]:
    """Give each owner's area under the ROC curve; ties count half. None for an owner without both classes.

    Parameters
    ----------
    scores, targets, owner, types : shape (n,), one a token; the tokens of a type have one target.

    Examples
    --------
    >>> scores, targets = np.array([2.0, 1.0, 0.0]), np.array([True, False, False])
    >>> aurocs(scores, targets, np.zeros(3, dtype=int), np.arange(3), owners=1)[0].value
    1.0
    """
    above = _ranks(scores, owner) - _ranks(scores, 2 * owner + targets)
    counts = np.stack([np.bincount(owner[targets == side], minlength=owners) for side in (False, True)])
    # The share of the other class that a token is on the right side of: DeLong's structural components.
    against = np.maximum(counts[(~targets).astype(int), owner], 1)
    right = np.where(targets, above / against, 1 - above / against)
    positive = _mean(right[targets], owner[targets], types[targets], owners)
    negative = _mean(right[~targets], owner[~targets], types[~targets], owners)
    share = _Shares(
        value=positive.value,
        variance=positive.variance + negative.variance,
        freedom=positive.freedom + negative.freedom,
        worst=np.minimum(positive.worst, negative.worst),
        n=np.where(counts.all(axis=0), counts.sum(axis=0), 0),
    )
    return _metrics(share)


def difference(first: Metric, second: Metric) -> Metric:
    """Give the difference of two shares of the same tokens, with the interval that follows from theirs.

    Newcombe's (1998, method 10) from two Wilson intervals. It takes them as independent, and so is rather too wide.

    Examples
    --------
    >>> round(difference(Metric(0.75, 0.6, 0.9, 40), Metric(0.5, 0.4, 0.6, 40)).low, 3)
    0.07
    """
    value = first.value - second.value
    low = value - float(np.hypot(first.value - first.low, second.high - second.value))
    high = value + float(np.hypot(first.high - first.value, second.value - second.low))
    return Metric(value, low, high, first.n)


def _mean(values: Floats, owner: Ints, types: Ints, owners: int) -> _Shares:
    """Each owner's mean, with its variance between word types."""
    n = np.bincount(owner, minlength=owners)
    divisor = np.maximum(n, 1)
    mean = np.bincount(owner, values, minlength=owners) / divisor
    type_count = int(types.max(initial=0)) + 1
    key, group = np.unique(owner * type_count + types, return_inverse=True)
    group_owner = key // type_count
    group_n = np.bincount(group, minlength=len(key))
    deviation = np.bincount(group, values, minlength=len(key)) - group_n * mean[group_owner]
    groups = np.bincount(group_owner, minlength=owners)
    # A lone type has no spread to estimate from: it may be any, up to the largest that there is.
    correction = np.where(groups > 1, groups / np.maximum(groups - 1, 1), np.inf)
    spread = np.bincount(group_owner, deviation**2, minlength=owners)
    worst = divisor**2 / np.maximum(np.bincount(group_owner, group_n.astype(np.float64) ** 2, minlength=owners), 1)
    with np.errstate(invalid="ignore"):
        variance = np.where(groups > 1, correction * spread, np.inf) / divisor**2
    return _Shares(mean, variance, np.maximum(groups - 1, 0).astype(np.float64), worst, n)


def _metrics(share: _Shares) -> list[Metric | None]:
    spread = share.value * (1 - share.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = spread / share.variance * (_Z / stdtrit(np.maximum(share.freedom, 1), 0.975)) ** 2
    # Without a spread (all right, or all wrong) it is not known how alike tokens of a type are.
    effective = np.where((share.variance > 0) & (spread > 0), effective, 0.0)
    effective = np.clip(effective, share.worst, np.maximum(share.n, share.worst))
    centre = (share.value + _Z**2 / (2 * effective)) / (1 + _Z**2 / effective)
    half = _Z * np.sqrt(spread / effective + _Z**2 / (4 * effective**2)) / (1 + _Z**2 / effective)
    low, high = (
        np.minimum(np.maximum(centre - half, 0), share.value),
        np.maximum(np.minimum(centre + half, 1), share.value),
    )
    return [
        Metric(value, bottom, top, n) if n else None
        for value, bottom, top, n in zip(
            share.value.tolist(), low.tolist(), high.tolist(), share.n.tolist(), strict=True
        )
    ]


def _ranks(scores: Floats, owner: Ints) -> Floats:
    """The rank of each token among its owner's, from 1; ties share their mean rank."""
    order = np.lexsort((scores, owner))
    sorted_scores, sorted_owner = scores[order], owner[order]
    starts = np.append(True, (np.diff(sorted_scores) != 0) | (np.diff(sorted_owner) != 0))
    # Tokens of one owner and score share a number, and owners follow each other, so these ranks are global.
    global_ranks = rankdata(np.cumsum(starts))
    counts = np.bincount(owner)
    before = np.cumsum(counts) - counts
    ranks = np.empty(len(scores))
    ranks[order] = global_ranks - before[sorted_owner]
    return ranks
