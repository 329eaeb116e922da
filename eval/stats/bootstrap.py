"""The bootstrap over groups (Efron 1979): items of one group, such as a concept, are drawn together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 2000

Floats = NDArray[np.float64]

_CELLS_AT_ONCE = 2**20


def group_sums(columns: Floats, groups: Iterable[Hashable]) -> Floats:
    """Sum items within their groups.

    Parameters
    ----------
    columns : shape (items, columns).
    groups : the group of each item.

    Returns
    -------
    shape (groups, columns), the groups in the order of their names.

    Examples
    --------
    >>> group_sums(np.array([[1.0], [2.0], [3.0]]), ["a", "b", "a"]).tolist()
    [[4.0], [2.0]]
    """
    _, owner = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    return np.stack([np.bincount(owner, column) for column in columns.T], axis=1)


def resampled_sums(sums: Floats, generator: np.random.Generator) -> Floats:
    """Sum the groups of each resample.

    Parameters
    ----------
    sums : shape (groups, columns), the sums within each group.

    Returns
    -------
    shape (RESAMPLES, columns).
    """
    groups = len(sums)
    at_once = max(1, _CELLS_AT_ONCE // groups)
    totals = []
    for start in range(0, RESAMPLES, at_once):
        rows = resampled_rows(groups, generator, min(at_once, RESAMPLES - start))
        flat = rows + groups * np.arange(len(rows))[:, np.newaxis]
        times = np.bincount(flat.ravel(), minlength=rows.size).reshape(rows.shape)
        totals.append(times.astype(np.float64) @ sums)
    return np.concatenate(totals)


def resampled_rows(count: int, generator: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Draw rows with replacement, as many as there are: shape (resamples, count)."""
    return generator.integers(count, size=(resamples, count))


def percentile_interval(values: Floats) -> tuple[float, float]:
    """Give the 2.5 and 97.5 % quantiles of what resamples give."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
