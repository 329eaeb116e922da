"""Which neurons carry a concept: rankings by Probeless, by the weights of a probe, and by average precision.

**Probeless** (Antverg & Belinkov 2022, arXiv 2110.07483) scores neuron i for concept c by the differences of its mean
over the tokens of c to its means over those of the other concepts,

    score(c, i) = Σ_j |m_ci - m_ji|.                                                                     (1)

With the means of one neuron sorted, s_1 ≤ … ≤ s_C, and the gaps g_r = s_(r+1) - s_r between them, the sum is

    score = Σ_(q<r) q·g_q + Σ_(q≥r) (C - q)·g_q                                                           (2)

for the concept of rank r: two running sums, O(C log C) a neuron instead of O(C²), and no cancellation, since no
term is negative.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conceptbench.eval.methods.neurons.choices import Method
from conceptbench.eval.methods.neurons.vectors import Floats, Ints, checked_labels, checked_vectors, concept_means
from conceptbench.runtime.errors import InputError

_NEURONS: Final = 64


@dataclass(frozen=True, eq=False)
class Ranking:
    """The neurons of a concept: `order`, int64 of shape (width,), best first; `scores`, float64 (width,), by neuron.

    Neurons of equal score are in the order of their numbers.
    """

    order: Ints
    scores: Floats


@dataclass(frozen=True, eq=False)
class Means:
    """The means of the concepts to be compared with, sorted within each neuron; made by `Means.of`.

    Arrays (width, C): `sorted_means`, and the sums over the means below (`below`) and above (`above`) each of them of
    the distance to it, the two sums of (2). `concepts` are the concepts in that order.
    """

    sorted_means: Floats
    below: Floats
    above: Floats
    concepts: Ints

    @classmethod
    def of(cls, means: Floats) -> Means:
        """Sort the means, float64 of shape (C, width)."""
        columns = np.ascontiguousarray(means.T)
        concepts = columns.argsort(axis=1)
        ordered = np.take_along_axis(columns, concepts, axis=1)
        gaps = np.diff(ordered, axis=1)
        count = np.arange(1, means.shape[0])
        below, above = np.zeros_like(ordered), np.zeros_like(ordered)
        np.cumsum(count * gaps, axis=1, out=below[:, 1:])
        above[:, :-1] = np.cumsum((count[::-1] * gaps)[:, ::-1], axis=1)[:, ::-1]
        return cls(ordered, below, above, concepts)

    def scores(self) -> Floats:
        """Give (1) for the concepts themselves: shape (C, width)."""
        scores = np.empty_like(self.sorted_means)
        np.put_along_axis(scores, self.concepts, self.below + self.above, axis=1)
        return scores.T

    def scores_of(self, means: Floats) -> Floats:
        """Give (1) for other means, float64 of shape (q, width), against all C: the same shape, O(log C) a cell."""
        scores = np.empty((means.shape[1], len(means)))
        count = self.sorted_means.shape[1]
        queries = np.ascontiguousarray(means.T)
        for neuron, query in enumerate(queries):
            ordered = self.sorted_means[neuron]
            right = np.searchsorted(ordered, query)
            low, high = np.maximum(right - 1, 0), np.minimum(right, count - 1)
            scores[neuron] = np.where(right > 0, self.below[neuron, low] + right * (query - ordered[low]), 0.0)
            scores[neuron] += np.where(
                right < count, self.above[neuron, high] + (count - right) * (ordered[high] - query), 0.0
            )
        return scores.T


def rank_neurons(
    vectors: ArrayLike,
    labels: ArrayLike,
    method: Method = "probeless",
    weights: Mapping[Hashable, ArrayLike] | None = None,
) -> dict[Hashable, Ranking]:
    """Rank the neurons of each concept.

    | method | a neuron's score | source |
    |---|---|---|
    | `probeless` | sum of the distances of its mean to its means in all other concepts | Antverg & Belinkov 2022 |
    | `weights` | absolute weight in a linear probe of the concept on standardised neurons | Dalvi et al. 2019 |
    | `average_precision` | average precision as a detector of the concept, or of its negation, if that is more | |

    Parameters
    ----------
    vectors : numbers of shape (tokens, width).
    labels : array of shape (tokens,), the concept of each token; at least two concepts.
    method : as above.
    weights : for method `weights`, the weights (width,) of a probe for each label; by default a logistic regression
        (L2, C = 1) of each concept against the rest is fitted.

    Returns
    -------
    The ranking of each label value, in the order of the values. A neuron that is the same for all tokens scores 0, and
    with `average_precision` the share of the concept's tokens, which is also the value by chance.

    Raises
    ------
    InputError
        for wrong shapes, values that are not finite, fewer than two labels, or probes that are not those of the labels.

    Examples
    --------
    >>> rankings = rank_neurons([[0, 5, 1], [0, 6, 1], [1, 0, 1]], ["verb", "verb", "noun"])
    >>> rankings["verb"].order.tolist()
    [1, 0, 2]
    """
    if method not in get_args(Method):
        raise InputError(f"method {method!r}: choose one of {', '.join(get_args(Method))}")
    if weights is not None and method != "weights":
        raise InputError(f"`weights` are for method 'weights'; this is method {method!r}")
    points = checked_vectors(vectors)
    values, concept = checked_labels(labels, len(points))
    if method == "probeless":
        scores = probeless(concept_means(points, concept, len(values)))
    elif method == "average_precision":
        scores = by_average_precision(points, concept)
    else:
        scores = by_weights(_probe_weights(points, concept) if weights is None else _in_order(weights, values))
        if scores.shape != (len(values), points.shape[1]):
            raise InputError(f"The probes have {scores.shape[1]} weights, the vectors {points.shape[1]} neurons")
    orders = order_of(scores)
    return {value: Ranking(orders[i], scores[i]) for i, value in enumerate(values)}


def probeless(means: ArrayLike) -> Floats:
    """Score all neurons for all concepts by Probeless, in closed form (2).

    Parameters
    ----------
    means : numbers of shape (C, width), a concept's mean vector a row; C is at least 2.

    Returns
    -------
    float64 array (C, width).

    Raises
    ------
    InputError
        for another shape, fewer than two rows, or values that are not finite.

    Examples
    --------
    >>> probeless([[0, 1], [1, 1], [3, 1]]).tolist()
    [[4.0, 0.0], [3.0, 0.0], [5.0, 0.0]]
    """
    points = checked_vectors(means, "The means")
    if len(points) < 2:
        raise InputError("Probeless compares concepts: it takes the means of at least two")
    return Means.of(points.astype(np.float64)).scores()


def by_weights(weights: ArrayLike) -> Floats:
    """Score neurons by their absolute weights in linear probes, shape (C, width), on standardised neurons.

    Raises
    ------
    InputError
        for another shape or values that are not finite.

    Examples
    --------
    >>> by_weights([[0.5, -2.0]]).tolist()
    [[0.5, 2.0]]
    """
    scores: Floats = np.abs(checked_vectors(weights, "The weights").astype(np.float64))
    return scores


def by_average_precision(vectors: ArrayLike, labels: ArrayLike) -> Floats:
    """Score each neuron by its average precision as a detector of each concept, or that of its negation if higher.

    It equals scikit-learn's `average_precision_score`, ties included: the mean over the concept's tokens of the
    precision among all tokens with at least as high a value. Each neuron is sorted once for all concepts.

    Parameters
    ----------
    vectors : numbers of shape (tokens, width).
    labels : array of shape (tokens,); at least two concepts.

    Returns
    -------
    float64 array (C, width), a concept a row, in the order of the label values.

    Raises
    ------
    InputError
        for wrong shapes, values that are not finite, or fewer than two labels.

    Examples
    --------
    >>> by_average_precision([[1], [2], [3], [4]], ["a", "a", "b", "b"]).tolist()
    [[1.0], [1.0]]
    """
    points = checked_vectors(vectors)
    values, concept = checked_labels(labels, len(points))
    sizes = np.bincount(concept, minlength=len(values))
    concepts = _Grouped(sizes)
    short = concept.astype(np.uint16) if len(values) <= 2**16 else concept  # numpy sorts 16 bits in linear time
    scores = np.empty((points.shape[1], len(values)))
    for start in range(0, points.shape[1], _NEURONS):
        for neuron, column in enumerate(np.ascontiguousarray(points[:, start : start + _NEURONS].T), start):
            scores[neuron] = concepts.average_precision(column, short)
    return np.ascontiguousarray(scores.T)


class _Grouped:
    """Tokens grouped by concept: what is the same for every neuron."""

    def __init__(self, sizes: Ints) -> None:
        self.sizes = sizes
        self.starts = np.cumsum(sizes) - sizes
        self.tokens = np.arange(sizes.sum())
        self.size = np.repeat(sizes, sizes)
        self.rank = self.tokens - np.repeat(self.starts, sizes) + 1

    def average_precision(self, values: NDArray[Any], concept: NDArray[Any]) -> Floats:
        """Give the larger average precision, of the values (tokens,) and of their negation, of each concept: (C,)."""
        n = len(values)
        order = values.argsort()[::-1]
        ordered = values[order]
        # Of each position: the first and last position of equal values; then grouped by concept, in that order.
        first, last = _runs(ordered[1:] != ordered[:-1], self.tokens)
        grouped = concept[order].argsort(kind="stable")
        first, last = first[grouped], last[grouped]
        run_first, run_last = _runs((first[1:] != first[:-1]) | (self.rank[1:] == 1), self.tokens)
        upward = self.rank[run_last] / (last + 1)
        downward = (self.size - self.rank[run_first] + 1) / (n - first)
        scores: Floats = np.maximum(np.add.reduceat(upward, self.starts), np.add.reduceat(downward, self.starts))
        return scores / self.sizes


def _runs(changes: NDArray[np.bool_], positions: Ints) -> tuple[Ints, Ints]:
    """Give the first and the last position of each position's run; `changes` (n-1,) tells where a new run begins."""
    if changes.all():
        return positions, positions
    starts = np.append(0, np.flatnonzero(changes) + 1)
    ends = np.append(starts[1:] - 1, len(positions) - 1)
    run = np.append(0, np.cumsum(changes))
    return starts[run], ends[run]


def order_of(scores: Floats) -> Ints:
    """Order neurons, the last of at most two axes, by their scores: int64, best first; equal scores by number.

    Examples
    --------
    >>> order_of(np.array([0.1, 0.7, 0.1])).tolist()
    [1, 0, 2]
    """
    rows = -np.atleast_2d(scores)
    order: Ints = rows.argsort(axis=-1)
    # The fast sort leaves equal scores in any order; rows that have some are sorted again by a stable one.
    tied = (np.diff(np.take_along_axis(rows, order, axis=-1)) == 0).any(axis=-1)
    order[tied] = rows[tied].argsort(axis=-1, kind="stable")
    return order.reshape(scores.shape)


def ranks_of(scores: Floats) -> Ints:
    """Give the rank of each neuron in the order of `order_of`: 0 is the best.

    Examples
    --------
    >>> ranks_of(np.array([0.1, 0.7, 0.3])).tolist()
    [2, 0, 1]
    """
    order = order_of(scores)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    return ranks


def top_count(fraction: float, width: int) -> int:
    """Give the number of neurons that a fraction of them is: the nearest whole number, at least 1.

    Raises
    ------
    InputError
        if the fraction is not above 0 and at most 1.

    Examples
    --------
    >>> top_count(0.1, 384)
    38
    """
    if not 0 < fraction <= 1:
        raise InputError(f"The fraction of top neurons is above 0 and at most 1, not {fraction}")
    return max(1, round(fraction * width))


def _in_order(weights: Mapping[Hashable, ArrayLike], values: list[Hashable]) -> ArrayLike:
    missing = [value for value in values if value not in weights]
    if missing:
        raise InputError(f"`weights` has no probe for the label {missing[0]!r}")
    return [np.asarray(weights[value]) for value in values]


def _probe_weights(vectors: NDArray[Any], concept: Ints) -> Floats:
    """Fit a logistic regression of each concept against the rest on standardised neurons: weights (C, width)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    points = StandardScaler().fit_transform(np.asarray(vectors, dtype=np.float64))
    fitted = [LogisticRegression(max_iter=1000).fit(points, concept == c).coef_[0] for c in range(concept.max() + 1)]
    return np.stack(fitted)
