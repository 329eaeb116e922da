"""Clusters of word vectors by the leaders algorithm (Hartigan 1975): one pass, a threshold, and the order decides.

Hawasly et al. (2024, arXiv 2308.10263) compare it with agglomerative clustering and k-means for finding latent
concepts. The vectors are taken one after the other. A vector that is no farther than the threshold from a leader joins
the nearest of the leaders so far, and the earliest of equally near ones; any other vector becomes a leader.
(Hartigan's own program joins the first leader near enough, not the nearest. The leaders are the same.)
"""

from __future__ import annotations

from typing import Final

import numpy as np

from conceptbench.builders.clustering import Floats, Ints, Vectors, check_k, checked_vectors
from conceptbench.runtime.errors import InputError

_BLOCK: Final = 256
_PAIRS: Final = 4096
_STEPS: Final = 50


def leaders(vectors: Vectors, threshold: float) -> Ints:
    """Cluster `vectors`, an array (n, d), with leaders farther than `threshold` (Euclidean) from each other.

    Distances are compared by their squares in float64. Memory grows with n·d.

    Returns
    -------
    int64 labels (n,), 0, 1, … in the order in which the leaders come: a leader is the first of its cluster.

    Raises
    ------
    InputError
        for a wrong shape, values that are not finite, or a threshold that is not a number of at least 0.
    """
    if not 0 <= threshold < np.inf:
        raise InputError(f"The threshold is a distance of at least 0, not {threshold}")
    points = checked_vectors(vectors)
    labels = _one_pass(points, threshold**2, len(points))
    assert labels is not None
    return labels


def leaders_at(vectors: Vectors, k: int) -> Ints:
    """Cluster `vectors`, an array (n, d), into at most `k` by `leaders`, as near to `k` as bisection gets.

    The threshold is found by halving the range from 0 to the distance of the first vector to the farthest. The number
    of clusters does not fall strictly with the threshold, so that not every `k` can be reached. Labels as in `leaders`.

    Raises
    ------
    InputError
        for a wrong shape, values that are not finite, or `k` not within 1..n.
    """
    points = checked_vectors(vectors)
    check_k(k, len(points))
    labels = _one_pass(points, 0.0, k)
    if labels is not None:  # no more than k distinct vectors
        return labels
    low, high = 0.0, float(np.sqrt(_squared(points, points[0]).max()))
    best = np.zeros(len(points), dtype=np.int64)
    for _ in range(_STEPS):
        if best.max() + 1 == k or high - low <= 1e-9 * high:
            break
        middle = (low + high) / 2
        labels = _one_pass(points, middle**2, k)
        if labels is None:
            low = middle
            continue
        high = middle
        if labels.max() > best.max():
            best = labels
    return best


def _one_pass(points: Floats, limit: float, most: int) -> Ints | None:
    """Labels (n,) of one pass with a limit on the squared distance; None as soon as there are more than `most`."""
    labels = np.empty(len(points), dtype=np.int64)
    centre = points.mean(axis=0)
    heads: list[int] = []
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        label, squared = _nearest(block, points[heads], centre)
        row = 0
        while len(far := np.flatnonzero(squared[row:] > limit)):
            row += int(far[0])
            if len(heads) == most:
                return None
            # Only the rows after the new leader can join it.
            to_new = _squared(block[row:], block[row])
            nearer = row + np.flatnonzero(to_new < squared[row:])
            squared[nearer] = to_new[nearer - row]
            label[nearer] = len(heads)
            heads.append(start + row)
            row += 1
        labels[start : start + _BLOCK] = label
    return labels


def _nearest(block: Floats, heads: Floats, centre: Floats) -> tuple[Ints, Floats]:
    """The nearest of the leaders (m, d) to each row of the block, the earliest of equals; its squared distance or inf.

    A matrix product tells which leaders can be nearest, but for its rounding error; between those the distance decides.
    """
    if not len(heads):
        return np.zeros(len(block), dtype=np.int64), np.full(len(block), np.inf)
    rows, columns = block - centre, heads - centre
    row_lengths, column_lengths = np.square(rows).sum(axis=1), np.square(columns).sum(axis=1)
    product = row_lengths[:, None] + column_lengths - 2 * (rows @ columns.T)
    error = 4 * (block.shape[1] + 4) * np.finfo(np.float64).eps * (row_lengths + column_lengths.max())
    near, head = np.nonzero(product <= (product.min(axis=1) + 2 * error)[:, None])
    parts = (slice(start, start + _PAIRS) for start in range(0, len(near), _PAIRS))
    exact = np.concatenate([_squared(block[near[part]], heads[head[part]]) for part in parts])
    order = np.lexsort((head, exact, near))
    first = order[np.unique(near, return_index=True)[1]]
    return head[first], exact[first]


def _squared(rows: Floats, heads: Floats) -> Floats:
    difference = rows - heads
    squared: Floats = np.einsum("ij,ij->i", difference, difference)
    return squared
