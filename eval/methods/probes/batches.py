"""The logistic regressions to be fitted: checked, and put into batches of like sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from conceptbench.runtime.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LIKE_SIZE: Final = 1.3
"""The largest problem that is padded to has at most this many times the rows of the smallest."""


class Regression(NamedTuple):
    """A logistic regression over a set of rows.

    Attributes
    ----------
    number : its place among those that were given.
    rows : of the vectors, shape (m,).
    fitted : the positions in `rows` of those with weight, shape (f,).
    signs : the classes of the fitted rows, -1 or 1; shape (f,).
    weights : C times the weights of the fitted rows, shape (f,).
    """

    number: int
    rows: Ints
    fitted: Ints
    signs: Floats
    weights: Floats


class Batch(NamedTuple):
    """Regressions by the set of rows that they share; all are solved for a (`dual`), or all for w."""

    sets: list[list[Regression]]
    dual: bool


class Member(NamedTuple):
    """A regression of a batch, the number of its set of rows, and its place among the regressions of that set."""

    row_set: int
    slot: int
    regression: Regression


class Padded(NamedTuple):
    """The fitted rows of p regressions, padded with rows of weight 0 to one number.

    Attributes
    ----------
    row_set, slot : as in `Member`, shape (p,).
    position : of the fitted rows in their set, shape (p, m).
    sign, weight : as in `Regression`, shape (p, m).
    """

    row_set: torch.Tensor
    slot: torch.Tensor
    position: torch.Tensor
    sign: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def of(cls, members: Sequence[Member], device: torch.device) -> Padded:
        """Pad the fitted rows of regressions."""
        shape = (len(members), max(len(member.regression.fitted) for member in members))
        position, sign, weight = np.zeros(shape, dtype=np.int64), np.ones(shape), np.zeros(shape)
        for row, (_, _, regression) in enumerate(members):
            count = len(regression.fitted)
            position[row, :count] = regression.fitted
            sign[row, :count], weight[row, :count] = regression.signs, regression.weights
        row_set, slot = np.array([(member.row_set, member.slot) for member in members]).T.copy()
        return cls(*(torch.from_numpy(array).to(device) for array in (row_set, slot, position, sign, weight)))


def read_regressions(
    n: int, rows: Sequence[ArrayLike], targets: Sequence[ArrayLike], weights: Sequence[ArrayLike] | None, c: float
) -> list[Regression]:
    """Check the regressions over n vectors, and multiply the weights of their rows by C; see `fit_logistic`.

    Raises
    ------
    InputError
        if a shape, a row or a weight is wrong, or the rows with weight are all of one class.
    """
    if len(targets) != len(rows) or (weights is not None and len(weights) != len(rows)):
        raise InputError(f"rows of {len(rows)} problems: give targets, and weights if any, of as many")
    if not len(rows):
        return []
    row_arrays = [np.asarray(problem_rows) for problem_rows in rows]
    classes = [np.asarray(problem_targets) for problem_targets in targets]
    row_weights = (
        [np.ones(len(problem_rows)) for problem_rows in row_arrays]
        if weights is None
        else [np.asarray(problem_weights) for problem_weights in weights]
    )
    _check_shapes(row_arrays, classes, row_weights)
    all_rows, all_weights = np.concatenate(row_arrays), c * np.concatenate(row_weights)
    if all_rows.dtype.kind not in "iu" or (len(all_rows) and not 0 <= all_rows.min() <= all_rows.max() < n):
        raise InputError(f"rows: must be whole numbers from 0 to {n - 1}, the rows of the vectors")
    if not (np.isfinite(all_weights).all() and (all_weights >= 0).all()):
        raise InputError("weights: must be finite numbers, 0 or more")
    all_signs = np.where(np.concatenate(classes), 1.0, -1.0)
    ends = np.cumsum([len(problem_rows) for problem_rows in row_arrays])
    regressions = []
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        fitted = all_weights[start:end].nonzero()[0]
        signs = all_signs[start:end][fitted]
        if abs(signs.sum()) == len(signs):
            raise InputError(f"problem {number}: its rows are all of one class; give it rows of both")
        regressions.append(Regression(number, row_arrays[number], fitted, signs, all_weights[start:end][fitted]))
    return regressions


def batches_of(regressions: Sequence[Regression], width: int, l1: bool, batch_bytes: int) -> Iterator[Batch]:
    """Put the regressions together by the rows that they share, and the sets of rows by size.

    Parameters
    ----------
    width : of the vectors.
    l1 : whether the penalty has an l1 part.
    batch_bytes : memory of a batch, about.
    """
    by_rows: dict[bytes, list[Regression]] = {}
    for regression in regressions:
        by_rows.setdefault(regression.rows.tobytes(), []).append(regression)
    forms: dict[bool, list[list[Regression]]] = {True: [], False: []}
    for row_set in by_rows.values():
        forms[not l1 and max(len(regression.fitted) for regression in row_set) <= width].append(row_set)
    for dual, row_sets in forms.items():
        row_sets.sort(key=lambda row_set: (len(row_set[0].rows), row_set[0].number))
        batch: list[list[Regression]] = []
        most = 0
        for row_set in row_sets:
            size, most = len(row_set[0].rows), max(most, len(row_set))
            each = 8 * (size * (width + size) + most * (4 * size**2 if dual else 3 * size * width + 3 * width**2))
            if batch and ((len(batch) + 1) * each > batch_bytes or size > _LIKE_SIZE * len(batch[0][0].rows)):
                yield Batch(batch, dual)
                batch, most = [], len(row_set)
            batch.append(row_set)
        if batch:
            yield Batch(batch, dual)


def members_by_size(row_sets: Sequence[Sequence[Regression]]) -> Iterator[list[Member]]:
    """Part a batch's regressions into groups of like numbers of fitted rows."""
    members = [
        Member(number, slot, regression)
        for number, row_set in enumerate(row_sets)
        for slot, regression in enumerate(row_set)
    ]
    members.sort(key=lambda member: len(member.regression.fitted))
    part: list[Member] = []
    for member in members:
        if part and len(member.regression.fitted) > _LIKE_SIZE * len(part[0].regression.fitted):
            yield part
            part = []
        part.append(member)
    yield part


def _check_shapes(
    rows: Sequence[NDArray[Any]], classes: Sequence[NDArray[Any]], weights: Sequence[NDArray[Any]]
) -> None:
    for number, (problem_rows, problem_classes, problem_weights) in enumerate(zip(rows, classes, weights, strict=True)):
        same_shape = problem_rows.shape == problem_classes.shape == problem_weights.shape
        if problem_rows.ndim != 1 or not same_shape or problem_classes.dtype != bool:
            raise InputError(f"problem {number}: give its rows, its targets (bool) and its weights one shape, (m,)")
