"""Which neurons carry a concept: rankings by Probeless, by the weights of a probe, and by average precision.

**Probeless** (Antverg & Belinkov 2022, arXiv 2110.07483) scores neuron i for concept c by the differences of its mean
over the tokens of c to its means over those of the other concepts,

    score(c, i) = Σ_j |m_ci - m_ji|.                                                                     (1)

With the means of one neuron sorted, s_1 ≤ … ≤ s_C, and the gaps g_r = s_(r+1) - s_r between them, the sum is

    score = Σ_(q<r) q·g_q + Σ_(q≥r) (C - q)·g_q                                                           (2)

for the concept at place r: two running sums, O(C log C) a neuron instead of O(C²), and no cancellation, since no
term is negative.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from conceptbench.runtime.errors import InputError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Method = Literal["probeless", "weights", "average_precision"]

_ROWS: Final = 8192
_NEURONS: Final = 64


@dataclass(frozen=True, eq=False)
class Ranking:
    """The neurons of a concept: `order`, int64 of shape (width,), best first; `scores`, float64 (width,), by neuron.

    Neurons of equal score stand in the order of their numbers.
    """

    order: Ints
    scores: Floats


@dataclass(frozen=True, eq=False)
class Means:
    """The means of the concepts to be compared with, sorted within each neuron; made by `Means.of`.

    Arrays (width, C): `sorted_means`, and the sums over the means below (`below`) and above (`above`) each of them of
    the distance to it, the two sums of (2). `places` are the concepts in that order.
    """

    sorted_means: Floats
    below: Floats
    above: Floats
    places: Ints

    @classmethod
    def of(cls, means: Floats) -> Means:
        """Sort the means, float64 of shape (C, width)."""
        columns = np.ascontiguousarray(means.T)
        places = columns.argsort(axis=1)
        ordered = np.take_along_axis(columns, places, axis=1)
        gaps = np.diff(ordered, axis=1)
        count = np.arange(1, means.shape[0])
        below, above = np.zeros_like(ordered), np.zeros_like(ordered)
        np.cumsum(count * gaps, axis=1, out=below[:, 1:])
        above[:, :-1] = np.cumsum((count[::-1] * gaps)[:, ::-1], axis=1)[:, ::-1]
        return cls(ordered, below, above, places)

    def scores(self) -> Floats:
        """Give (1) for the concepts themselves: shape (C, width)."""
        scores = np.empty_like(self.sorted_means)
        np.put_along_axis(scores, self.places, self.below + self.above, axis=1)
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
    with `average_precision` the share of the concept's tokens, which is also what chance comes to.

    Raises
    ------
    InputError
        for wrong shapes, values that are not finite, fewer than two labels, or probes that are not those of the labels.
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
        # Of each place: the first and last place of equal values; then tokens by concept, and by place within it.
        first, last = _runs(ordered[1:] != ordered[:-1], self.tokens)
        grouped = concept[order].argsort(kind="stable")
        first, last = first[grouped], last[grouped]
        run_first, run_last = _runs((first[1:] != first[:-1]) | (self.rank[1:] == 1), self.tokens)
        upward = self.rank[run_last] / (last + 1)
        downward = (self.size - self.rank[run_first] + 1) / (n - first)
        scores: Floats = np.maximum(np.add.reduceat(upward, self.starts), np.add.reduceat(downward, self.starts))
        return scores / self.sizes


def _runs(changes: NDArray[np.bool_], places: Ints) -> tuple[Ints, Ints]:
    """Of each of n places: the first and the last place of its run; `changes` (n-1,) tells where a new run begins."""
    if changes.all():
        return places, places
    starts = np.append(0, np.flatnonzero(changes) + 1)
    ends = np.append(starts[1:] - 1, len(places) - 1)
    run = np.append(0, np.cumsum(changes))
    return starts[run], ends[run]


def concept_means(vectors: NDArray[Any], concept: Ints, count: int, weights: ArrayLike | None = None) -> Floats:
    """Give the mean vector of each concept, in one pass over the vectors and with sums in float64.

    Parameters
    ----------
    vectors : numbers of shape (tokens, width).
    concept : ints of shape (tokens,), 0 .. count - 1.
    count : of the concepts.
    weights : numbers of shape (tokens,), optional: how often each token counts.

    Returns
    -------
    float64 array (count, width); NaN for a concept whose tokens weigh nothing.
    """
    weight = np.ones(len(concept)) if weights is None else np.asarray(weights, dtype=np.float64)
    member = sparse.csr_array((weight, (concept, np.arange(len(concept)))), shape=(count, len(concept)))
    return weighted_means(member, vectors)


def weighted_means(member: sparse.csr_array, vectors: NDArray[Any]) -> Floats:
    """Give the mean vectors (rows, width), float64, for rows of weights of tokens, a sparse array (rows, tokens).

    NaN where a row weighs nothing.
    """
    sums = np.zeros((member.shape[0], vectors.shape[1]))
    columns = member.tocsc()
    for part in _row_parts(len(vectors)):
        sums += columns[:, part] @ np.asarray(vectors[part], dtype=np.float64)
    total = np.asarray(member.sum(axis=1))
    total[total == 0] = np.nan
    return sums / total[:, None]


def standard_deviations(vectors: NDArray[Any]) -> Floats:
    """Give the standard deviation of each neuron over the tokens, float64 (width,); exactly 0 for a constant one."""
    shift = np.asarray(vectors[0], dtype=np.float64)
    sums, squares = np.zeros(len(shift)), np.zeros(len(shift))
    for part in _row_parts(len(vectors)):
        sums += (np.asarray(vectors[part], dtype=np.float64) - shift).sum(axis=0)
    mean = sums / len(vectors)
    for part in _row_parts(len(vectors)):
        squares += np.square(np.asarray(vectors[part], dtype=np.float64) - shift - mean).sum(axis=0)
    deviations: Floats = np.sqrt(squares / len(vectors))
    return deviations


def order_of(scores: Floats) -> Ints:
    """Order neurons, the last of at most two axes, by their scores: int64, best first; equal scores by number."""
    rows = -np.atleast_2d(scores)
    order: Ints = rows.argsort(axis=-1)
    # The fast sort leaves equal scores in any order; rows that have some are sorted again by a stable one.
    tied = (np.diff(np.take_along_axis(rows, order, axis=-1)) == 0).any(axis=-1)
    order[tied] = rows[tied].argsort(axis=-1, kind="stable")
    return order.reshape(scores.shape)


def places_of(scores: Floats) -> Ints:
    """Give the place of each neuron in the order of `order_of`: 0 is the best."""
    order = order_of(scores)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    return places


def top_count(fraction: float, width: int) -> int:
    """Give the number of neurons that a fraction of them is: the nearest whole number, at least 1.

    Raises
    ------
    InputError
        if the fraction is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"The fraction of top neurons is above 0 and at most 1, not {fraction}")
    return max(1, round(fraction * width))


def checked_vectors(vectors: ArrayLike, what: str = "The vectors") -> NDArray[Any]:
    """Give numbers (rows, width) as an array, not copied.

    Raises
    ------
    InputError
        if they are not a table of finite numbers with a row and a column.
    """
    try:
        array = np.asarray(vectors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} are not a table of numbers: {error}") from error
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(f"{what} must be a table of numbers; this is of shape {array.shape}, {array.dtype}")
    for part in _row_parts(len(array)):
        bad = np.flatnonzero(~np.isfinite(array[part]).all(axis=1))
        if len(bad):
            raise InputError(f"{what}: row {part.start + bad[0]} holds a value that is not a finite number")
    return array


def checked_labels(labels: ArrayLike, rows: int) -> tuple[list[Hashable], Ints]:
    """Give the distinct labels, sorted, and the number of each row's label among them, int64 (rows,).

    Raises
    ------
    InputError
        if they are not one a row, not comparable, or fewer than two.
    """
    try:
        array = np.asarray(labels)
        values, index = np.unique(array, return_inverse=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"The labels must be of one kind, such as texts or whole numbers: {error}") from error
    if array.shape != (rows,):
        raise InputError(f"There are {rows} vectors and labels of shape {array.shape}; each vector takes one label")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(f"Label {int(np.isnan(array).argmax())} is not a number; leave vectors without a label out")
    if len(values) < 2:
        raise InputError(f"All vectors have the label {values.tolist()[0]!r}; concepts are ranked against each other")
    return values.tolist(), index.astype(np.int64)


def _row_parts(rows: int) -> Iterator[slice]:
    """Slices that cover the rows: a conversion to float64 stays small."""
    return (slice(start, min(start + _ROWS, rows)) for start in range(0, rows, _ROWS))


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
