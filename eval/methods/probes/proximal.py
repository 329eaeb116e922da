"""Proximal gradient steps for many logistic regressions whose penalty has an l1 part: the objective (1) of `logistic`.

The steps are accelerated (Beck & Teboulle 2009), and begin anew where they turn uphill (O'Donoghue & Candès 2015),
until no step is longer than a tolerance.
"""

from __future__ import annotations

from typing import Final

import torch

from conceptbench.eval.methods.probes.algebra import dot, times
from conceptbench.eval.methods.probes.newton import Solution
from conceptbench.runtime.errors import ConceptBenchError

_TOLERANCE: Final = 1e-6
"""Largest entry, at the end, of a proximal gradient step times its inverse length: of the (sub)gradient of (1)."""
_STEPS: Final = 200_000
_CHECK_EVERY: Final = 20


def minimise_with_l1(points: torch.Tensor, sign: torch.Tensor, weight: torch.Tensor, l1_ratio: float) -> Solution:
    """Minimise (1) with r > 0.

    The last entry of the variables is the bias, whose feature is as large as a typical vector so that its steps are
    as long as those of the weights.

    Parameters
    ----------
    points : the vectors of p regressions over m rows, shape (p, m, width).
    sign, weight : t and C·s, shape (p, m).
    l1_ratio : r.

    Raises
    ------
    ConceptBenchError
        if the optimum is not reached.
    """
    size = (points.square().sum(dim=2) * weight).sum(dim=1) / weight.sum(dim=1)
    size = size.sqrt().clamp_min(1e-150)
    extended = torch.cat([points, size[:, None, None].expand(-1, points.shape[1], 1)], dim=2)
    rooted = extended * weight.sqrt()[:, :, None]
    small = rooted @ rooted.mT if points.shape[1] <= points.shape[2] else rooted.mT @ rooted
    inverse = (0.25 * torch.linalg.eigvalsh(small)[:, -1] + 1 - l1_ratio)[:, None]
    penalised = extended.new_ones(extended.shape[2])
    penalised[-1] = 0
    threshold, ridge = l1_ratio * penalised / inverse, (1 - l1_ratio) * penalised

    now = ahead = extended.new_zeros(len(extended), extended.shape[2])
    momentum = extended.new_ones(len(extended), 1)
    for count in range(_STEPS):
        pull = weight * sign * torch.sigmoid(-sign * times(extended, ahead))
        moved = ahead + (times(extended.mT, pull) - ridge * ahead) / inverse
        moved = torch.sign(moved) * (moved.abs() - threshold).clamp_min(0)
        residual = ahead - moved
        if count % _CHECK_EVERY == 0 and bool((inverse * residual).abs().max() <= _TOLERANCE):
            return Solution(moved[:, :-1], moved[:, -1] * size)
        change = moved - now
        uphill = dot(residual, change)[:, None] > 0
        following = torch.where(uphill, 1.0, 0.5 * (1 + (1 + 4 * momentum**2).sqrt()))
        ahead = torch.where(uphill, moved, moved + (momentum - 1) / following * change)
        now, momentum = moved, following
    raise ConceptBenchError(f"a probe had not converged after {_STEPS} steps: give a smaller c")
