"""Checks and statistics of vectors with labels."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from conceptbench.runtime.errors import InputError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

_ROWS: Final = 8192


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
