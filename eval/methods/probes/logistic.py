"""Many binary logistic regressions at once, over rows of one matrix, to scikit-learn's optimum.

**The objective**, of each regression by itself, is that of scikit-learn's `LogisticRegression`: over w and b

    (1 - r)/2·‖w‖² + r·‖w‖₁ + C·Σ sᵢ·log(1 + exp(-tᵢ·(w·xᵢ + b))),   tᵢ = ±1, sᵢ a row's weight,        (1)

where r is `l1_ratio`; the bias b is not penalised. With r = 0 it is minimised by Newton's method (see `newton`), else
by proximal gradient steps (see `proximal`).

Regressions of like sizes are solved as one batch of padded arrays (see `batches`). A padded row has weight 0. A row
that is given may have weight 0 too: it takes no part in the fit, and its logit costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from conceptbench.eval.methods.probes.algebra import times
from conceptbench.eval.methods.probes.batches import (
    Batch,
    Floats,
    Padded,
    Regression,
    batches_of,
    members_by_size,
    read_regressions,
)
from conceptbench.eval.methods.probes.newton import OwnKernels, PrimalForm, SharedKernel, minimise
from conceptbench.eval.methods.probes.proximal import minimise_with_l1
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.threads import torch_workers

BATCH_BYTES: Final = 2**26
"""Memory of a batch, about; as many batches are in work at once as torch has threads."""

_EASY: Final = 1e6
"""Largest weight times trace of K, for conjugate gradients: eigenvalues are then 1 to 1 + a quarter of it."""


@dataclass(frozen=True, eq=False)
class Probes:
    """Fitted logistic regressions, in the order given.

    From float32 vectors they are right to float32's precision.

    Attributes
    ----------
    weights : float64 of shape (regressions, width).
    biases : float64 of shape (regressions,).
    logits : for each regression, `vectors[rows] @ weights + bias`, rows of weight 0 included; float64 of shape (rows,).
    """

    weights: Floats
    biases: Floats
    logits: list[Floats]


def fit_logistic(
    vectors: NDArray[np.floating],
    rows: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    weights: Sequence[ArrayLike] | None = None,
    *,
    c: float = 1.0,
    l1_ratio: float = 0.0,
    device: str | torch.device | None = None,
    batch_bytes: int = BATCH_BYTES,
) -> Probes:
    """Fit independent logistic regressions, each over its own rows of `vectors`.

    Parameters
    ----------
    vectors : array of shape (n, width); it may be mapped from disk, only batches of its rows are copied.
    rows : for each regression, int array of shape (m,); regressions over equal `rows` share work.
    targets : for each regression, bool array of shape (m,).
    weights : for each regression, float array of shape (m,), 0 or more, by default all 1; as in scikit-learn.
    c : inverse strength of the penalty, above 0.
    l1_ratio : share of the l1 penalty, 0 to 1.
    device : torch's, by default a GPU if there is one, else the CPU.
    batch_bytes : memory of a batch, about; one set of rows is never divided.

    Raises
    ------
    InputError
        if an argument is wrong, a vector is not finite, or a regression's rows with weight are all of one class.
    ConceptBenchError
        if the optimum is not reached, which only an enormous `c` can bring about.

    Examples
    --------
    >>> vectors = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> probes = fit_logistic(vectors, rows=[[0, 1, 2, 3]], targets=[[False, False, True, True]])
    >>> (probes.logits[0] > 0).tolist()
    [False, False, True, True]
    """
    if not (c > 0 and np.isfinite(c)):
        raise InputError(f"c {c:g}: give a number above 0")
    if not 0 <= l1_ratio <= 1:
        raise InputError(f"l1_ratio {l1_ratio:g}: give a number from 0 (l2) to 1 (l1)")
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind not in "fiu":
        raise InputError(f"vectors: {vectors.dtype} of shape {vectors.shape}; give numbers of shape (n, width)")
    regressions = read_regressions(len(vectors), rows, targets, weights, c)
    count, width = len(regressions), vectors.shape[1]
    torch_device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    probes = Probes(np.empty((count, width)), np.empty(count), [np.empty(0)] * count)
    fit = partial(_fit_batch, vectors, l1_ratio=l1_ratio, device=torch_device, probes=probes)
    batches = list(batches_of(regressions, width, l1_ratio > 0, batch_bytes))
    if torch_device.type != "cpu":
        for batch in batches:
            fit(batch)
        return probes
    with torch_workers() as workers:
        for _ in workers.map(fit, batches):
            pass
    return probes


def _fit_batch(
    vectors: NDArray[np.floating], batch: Batch, l1_ratio: float, device: torch.device, probes: Probes
) -> None:
    """Solve a batch, and write its solutions into `probes`."""
    sizes = [len(row_set[0].rows) for row_set in batch.sets]
    rows = np.zeros((len(sizes), max(sizes)), dtype=np.int64)
    for number, row_set in enumerate(batch.sets):
        rows[number, : sizes[number]] = row_set[0].rows
        rows[number, sizes[number] :] = row_set[0].rows[0]
    narrow = batch.dual and vectors.dtype in (np.float16, np.float32)
    points = torch.from_numpy(vectors[rows]).to(device=device, dtype=torch.float32 if narrow else torch.float64)
    # The bias takes up any shift; without the common part of the vectors less is lost to rounding.
    centres = points.mean(dim=1, keepdim=True)
    points -= centres
    if not torch.isfinite(centres).all():
        raise InputError("vectors: one is not finite; leave out the rows with NaN or infinite numbers")

    # The regressions of a set are solved side by side, so that no vector is copied for each of them.
    heaviest = max(float(regression.weights.max()) for row_set in batch.sets for regression in row_set)
    solution = None
    if batch.dual and float(torch.linalg.vector_norm(points, dim=(1, 2)).max()) ** 2 * heaviest <= _EASY:
        solution = _fit_together(points, batch.sets)
    if solution is None:
        points, centres = points.double(), centres.double()
        solution = _fit_apart(points, batch, l1_ratio)
    slopes, bias = solution
    all_logits = (slopes @ points.mT + bias[:, :, None]).cpu().numpy()
    weights, biases = slopes.cpu().numpy(), (bias - times(slopes, centres[:, 0])).cpu().numpy()
    for number, row_set in enumerate(batch.sets):
        for slot, regression in enumerate(row_set):
            probes.weights[regression.number] = weights[number, slot]
            probes.biases[regression.number] = biases[number, slot]
            probes.logits[regression.number] = all_logits[number, slot, : sizes[number]].astype(np.float64)


def _fit_together(
    points: torch.Tensor, row_sets: Sequence[Sequence[Regression]]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Solve for a over all rows of the sets by conjugate gradients; None where the optimum is not reached.

    Parameters
    ----------
    points : the vectors of each set, shape (sets, rows, width).

    Returns
    -------
    the slopes of shape (sets, regressions, width), and the biases of shape (sets, regressions).
    """
    shape = (len(row_sets), max(len(row_set) for row_set in row_sets), points.shape[1])
    sign, weight = np.ones(shape), np.zeros(shape)
    for number, row_set in enumerate(row_sets):
        for slot, regression in enumerate(row_set):
            sign[number, slot, regression.fitted] = regression.signs
            weight[number, slot, regression.fitted] = regression.weights
    flat = [torch.from_numpy(array).to(points.device).flatten(0, 1) for array in (sign, weight)]
    try:
        solution = minimise(SharedKernel(points @ points.mT, shape[1]), *flat)
    except ConceptBenchError:
        return None
    return solution.theta.to(points.dtype).view(shape) @ points, solution.bias.view(shape[:2])


def _fit_apart(points: torch.Tensor, batch: Batch, l1_ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve each regression over its fitted rows: shapes as in `_fit_together`."""
    shape = (len(batch.sets), max(len(row_set) for row_set in batch.sets))
    bias = points.new_zeros(shape)
    slopes = points.new_zeros(*shape, points.shape[2])
    gram = points @ points.mT if batch.dual else None
    coefficients = points.new_zeros(*shape, points.shape[1])
    for members in members_by_size(batch.sets):
        padded = Padded.of(members, points.device)
        row_set, slot, position = padded.row_set, padded.slot, padded.position
        if gram is not None:
            kernel = gram[row_set[:, None, None], position[:, :, None], position[:, None, :]]
            solution = minimise(OwnKernels(kernel), padded.sign, padded.weight)
            coefficients.index_put_((row_set[:, None], slot[:, None], position), solution.theta, accumulate=True)
        else:
            fitted_points = points[row_set[:, None], position]
            solution = (
                minimise(PrimalForm(fitted_points), padded.sign, padded.weight)
                if l1_ratio == 0
                else minimise_with_l1(fitted_points, padded.sign, padded.weight, l1_ratio)
            )
            slopes[row_set, slot] = solution.theta
        bias[row_set, slot] = solution.bias
    return (slopes if gram is None else coefficients @ points), bias
