"""Products, losses and factors of many small problems at once, one a row of the first axis."""

from __future__ import annotations

import torch

from conceptbench.runtime.errors import ConceptBenchError


def log_loss(logits: torch.Tensor, sign: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum the weighted logistic losses of each problem: arrays of shape (p, m) give (p,).

    Examples
    --------
    >>> log_loss(torch.zeros(1, 2), torch.tensor([[1.0, -1.0]]), torch.ones(1, 2))
    tensor([1.3863])
    """
    return dot(-weight, torch.nn.functional.logsigmoid(sign * logits))


def cholesky(matrix: torch.Tensor) -> torch.Tensor:
    """Give the lower Cholesky factors of matrices of shape (p, m, m).

    Raises
    ------
    ConceptBenchError
        if one is not positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        raise ConceptBenchError("a probe's equations are too far out of scale: divide the vectors, or give a smaller c")
    lower: torch.Tensor = factor
    return lower


def times(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Multiply matrices of shape (p, m, n) by vectors of shape (p, n): shape (p, m)."""
    product: torch.Tensor = (matrix @ vector[:, :, None])[:, :, 0]
    return product


def dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Give the inner products of vectors of shape (p, n): shape (p,)."""
    total: torch.Tensor = (left * right).sum(dim=1)
    return total
