"""Newton's method for many logistic regressions with the l2 penalty, the objective (1) of `logistic` with r = 0.

Concepts have fewer tokens than vectors have entries. So w = Σ aᵢ·xᵢ, and a regression is solved for a: its matrix is
one of rows by rows. With W the diagonal of the loss's second derivatives, K = X·Xᵀ and e = C·s·t·σ(-t·f) - a, Newton's
step of a and b solves

    (K + W⁻¹)·da + db = W⁻¹·e,   Σ da = 0,                                                              (2)

by conjugate gradients, nearly enough that the steps still converge fast (Eisenstat & Walker 1996). These need K
alone, once for all regressions over the same rows, and in float32 for float32 vectors, as in scikit-learn. Where C or
the vectors are so large that conjugate gradients could take long, or where they did not reach the optimum, (2) is
solved in float64 through the Cholesky factor of I + W^½·K·W^½, whose eigenvalues are 1 or more (Rasmussen & Williams
2006, section 3.4.3). A regression of more rows than entries is solved for w, by such a factor too. A step is halved
until it lowers (1) enough (Armijo 1966). Since (1) is strictly convex this ends at the optimum, for classes that can
be separated too.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import torch

from conceptbench.eval.methods.probes.algebra import cholesky, dot, log_loss, times
from conceptbench.runtime.errors import ConceptBenchError

_DECREMENT: Final = 1e-6
"""Of (1): twice what Newton's last step is about to gain. After that step it is about the square of this."""
_STEPS: Final = 200
_WORTHWHILE: Final = 0.8
"""Regressions go on together until no more than this share of them is unsolved; copying the rest then pays."""
_LENGTH_STEPS: Final = 1
_SHORTEST: Final = 2.0**-2
_LONGEST: Final = 2.0**4
_TINY: Final = 1e-300
_HALVINGS: Final = 60
_ARMIJO: Final = 1e-4
_ROUNDING: Final = 100
"""In units of the last place of (1): what the line search takes for rounding."""

_INNER_STEPS: Final = 40
_FORCING: Final = 1e-2
"""Conjugate gradients end at this share of the square of the gradient's norm, or at that square's own square."""
_RESIDUAL: Final = {torch.float32: 1e-10, torch.float64: 1e-13}
"""Square of the gradient's norm at which conjugate gradients end in any case; less is rounding."""


class Solution(NamedTuple):
    """The solutions of p regressions: `theta` is a of shape (p, m), or w of shape (p, width); the biases are (p,)."""

    theta: torch.Tensor
    bias: torch.Tensor


class Step(NamedTuple):
    """Newton's step of p regressions.

    Attributes
    ----------
    theta, bias, logits : their steps; shapes (p, m) or (p, width), (p,) and (p, m).
    penalty : P·dtheta, where ‖w‖² = theta·P·theta.
    decrement : twice what the step is about to gain, shape (p,).
    """

    theta: torch.Tensor
    bias: torch.Tensor
    logits: torch.Tensor
    penalty: torch.Tensor
    decrement: torch.Tensor


class Form(Protocol):
    """The variables theta that regressions are solved for, and how; `together` neighbours go on together."""

    together: int

    def start(self) -> torch.Tensor:
        """Give zeros of theta's shape."""

    def part(self, chosen: torch.Tensor) -> Form:
        """Take the regressions with these numbers."""

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> Step:
        """Give Newton's step.

        Parameters
        ----------
        pull, curvature : minus the loss's first derivatives by the logits, and the second ones; shape (p, m).
        """


class SharedKernel:
    """Solves for a, in w = Σ aᵢ·xᵢ, by conjugate gradients; theta is a, P is K, shared by `together` regressions."""

    def __init__(self, gram: torch.Tensor, together: int) -> None:
        self.gram = gram
        self.together = together
        # The bias is the weight of one more entry, as large as a typical vector, so that it converges with the others.
        self.entry = gram.diagonal(dim1=1, dim2=2).mean(dim=1).sqrt().clamp_min(1.0).repeat_interleave(together)

    def start(self) -> torch.Tensor:
        """Give zeros of theta\'s shape."""
        return self.gram.new_zeros(len(self.gram) * self.together, self.gram.shape[1], dtype=torch.float64)

    def part(self, chosen: torch.Tensor) -> SharedKernel:
        """Take the regressions with these numbers."""
        return SharedKernel(self.gram[chosen[:: self.together] // self.together], self.together)

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> Step:
        """Solve (2), times W, in the inner product a·K·a + b·b; a residual of a is that of w by the rows' vectors."""
        kind, entry = self.gram.dtype, self.entry
        curvature, error = curvature.to(kind), (pull - theta).to(kind)
        residual, residual_bias = error, entry * pull.sum(dim=1).to(kind)
        image = self._times_gram(residual)
        direction, direction_image, direction_bias = residual, image, residual_bias
        step, penalty, bias = torch.zeros_like(residual), torch.zeros_like(residual), torch.zeros_like(residual_bias)
        size = dot(residual, image) + residual_bias.square()
        enough = (size * size.clamp_max(_FORCING)).clamp_min(_RESIDUAL[kind])
        for _ in range(_INNER_STEPS):
            going = size > enough
            if not bool(going.any()):
                break
            logits = torch.addcmul(direction_image, entry[:, None], direction_bias[:, None])
            curved = curvature * logits
            length = torch.where(going, size / (dot(direction, direction_image) + dot(curved, logits)), 0.0)
            step.addcmul_(length[:, None], direction)
            penalty.addcmul_(length[:, None], direction_image)
            bias = bias + length * direction_bias
            residual = torch.addcmul(residual, length[:, None], direction + curved, value=-1)
            residual_bias = residual_bias - length * entry * curved.sum(dim=1)
            image = self._times_gram(residual)
            before, size = size, dot(residual, image) + residual_bias.square()
            turn = torch.where(going, size / before, 0.0)
            direction = torch.addcmul(residual, turn[:, None], direction)
            direction_image = torch.addcmul(image, turn[:, None], direction_image)
            direction_bias = residual_bias + turn * direction_bias
        bias = bias * entry
        decrement = dot(error, penalty) + bias * pull.sum(dim=1)
        return Step(step, bias, penalty + bias[:, None], penalty, decrement)

    def _times_gram(self, vector: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = vector.view(len(self.gram), self.together, -1) @ self.gram
        return product.flatten(0, 1)


class OwnKernels:
    """Solves for a by Cholesky factors; theta is a, and P is K, one for each regression."""

    together = 1

    def __init__(self, kernel: torch.Tensor) -> None:
        self.kernel = kernel

    def start(self) -> torch.Tensor:
        """Give zeros of theta\'s shape."""
        return self.kernel.new_zeros(self.kernel.shape[:2])

    def part(self, chosen: torch.Tensor) -> OwnKernels:
        """Take the regressions with these numbers."""
        return OwnKernels(self.kernel[chosen])

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> Step:
        """Solve (2): with M = (K + W⁻¹)⁻¹, da = M·W⁻¹·e - db·M·1, and M·W⁻¹ = I - M·K."""
        root = curvature.sqrt()
        matrix = self.kernel * root[:, :, None]
        matrix *= root[:, None, :]
        matrix.diagonal(dim1=1, dim2=2).add_(1.0)
        factor = cholesky(matrix)
        error = pull - theta
        sides = torch.stack([root * self._times_kernel(error), root], dim=2)
        solved = torch.cholesky_solve(sides, factor) * root[:, :, None]
        free, level = error - solved[:, :, 0], solved[:, :, 1]
        bias = free.sum(dim=1) / level.sum(dim=1)
        step = free - bias[:, None] * level
        penalty = self._times_kernel(step)
        decrement = dot(error, penalty) + bias * pull.sum(dim=1)
        return Step(step, bias, penalty + bias[:, None], penalty, decrement)

    def _times_kernel(self, vector: torch.Tensor) -> torch.Tensor:
        # Twice as fast as the matrix product at these sizes.
        product: torch.Tensor = (self.kernel * vector[:, None, :]).sum(dim=2)
        return product


class PrimalForm:
    """Solves for w by Cholesky factors; theta is w, and P is I."""

    together = 1

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def start(self) -> torch.Tensor:
        """Give zeros of theta\'s shape."""
        return self.points.new_zeros(len(self.points), self.points.shape[2])

    def part(self, chosen: torch.Tensor) -> PrimalForm:
        """Take the regressions with these numbers."""
        return PrimalForm(self.points[chosen])

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> Step:
        """Solve [I + Xᵀ·W·X, Xᵀ·W·1; 1ᵀ·W·X, 1ᵀ·W·1]·[dw; db] = minus the gradient, by its Schur complement."""
        matrix = self.points.mT @ (self.points * curvature[:, :, None])
        matrix.diagonal(dim1=1, dim2=2).add_(1.0)
        factor = cholesky(matrix)
        downhill = times(self.points.mT, pull) - theta
        level = times(self.points.mT, curvature)
        solved = torch.cholesky_solve(torch.stack([downhill, level], dim=2), factor)
        bias_downhill = pull.sum(dim=1)
        bias = bias_downhill - dot(level, solved[:, :, 0])
        bias = bias / (curvature.sum(dim=1) - dot(level, solved[:, :, 1]))
        step = solved[:, :, 0] - bias[:, None] * solved[:, :, 1]
        decrement = dot(downhill, step) + bias * bias_downhill
        return Step(step, bias, times(self.points, step) + bias[:, None], step, decrement)


def minimise(form: Form, sign: torch.Tensor, weight: torch.Tensor) -> Solution:
    """Minimise (1) with r = 0 by damped Newton steps.

    Parameters
    ----------
    sign, weight : t and C·s of p regressions over m rows, shape (p, m).

    Raises
    ------
    ConceptBenchError
        if the optimum is not reached.
    """
    theta = form.start()
    solution = Solution(torch.zeros_like(theta), theta.new_zeros(len(theta)))
    at = torch.arange(len(theta), device=theta.device)
    penalty = torch.zeros_like(theta)
    logits = torch.zeros_like(sign)
    bias = logits.new_zeros(len(logits))
    value = log_loss(logits, sign, weight)
    for _ in range(_STEPS):
        against = torch.sigmoid(-sign * logits)
        pull = weight * sign * against
        curvature = weight * against * (1 - against)
        step = form.step(theta, pull, curvature)
        length, gained = _line_search(theta, penalty, logits, value, step, sign, weight)
        theta = theta + length[:, None] * step.theta
        penalty = penalty + length[:, None] * step.penalty
        logits = logits + length[:, None] * step.logits
        bias = bias + length * step.bias
        value = gained
        unsolved = ((step.decrement > _DECREMENT) & (length > 0)).view(-1, form.together).any(dim=1)
        going = unsolved.repeat_interleave(form.together).nonzero()[:, 0]
        if len(going) > _WORTHWHILE * len(at):
            continue
        solution.theta[at], solution.bias[at] = theta, bias
        if not len(going):
            return solution
        form = form.part(going)
        at, theta, penalty, logits = at[going], theta[going], penalty[going], logits[going]
        bias, value, sign, weight = bias[going], value[going], sign[going], weight[going]
    raise ConceptBenchError(f"a probe had not converged after {_STEPS} steps: give a smaller c")


def _line_search(
    theta: torch.Tensor,
    penalty: torch.Tensor,
    logits: torch.Tensor,
    value: torch.Tensor,
    step: Step,
    sign: torch.Tensor,
    weight: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Halve each regression's step until (1) falls enough.

    Returns
    -------
    the length of each step, 0 where rounding hides any fall, and the value of (1) after it; both of shape (p,).
    """
    level, slope, bend = dot(theta, penalty), dot(theta, step.penalty), dot(step.theta, step.penalty)
    length = torch.ones_like(value)
    # Where classes are far apart full steps are too short by far; these cost a vector each, a new step a matrix.
    for _ in range(_LENGTH_STEPS):
        against = torch.sigmoid(-sign * (logits + length[:, None] * step.logits))
        pull = weight * against * step.logits
        first = slope + length * bend - dot(pull, sign)
        second = bend + dot(pull * (1 - against), step.logits)
        length = (length - first / second.clamp_min(_TINY)).clamp(_SHORTEST, _LONGEST)
    slack = _ROUNDING * torch.finfo(step.logits.dtype).eps * value
    for _ in range(_HALVINGS):
        reached = log_loss(logits + length[:, None] * step.logits, sign, weight)
        reached = reached + 0.5 * level + length * slope + 0.5 * length**2 * bend
        short = reached > value - _ARMIJO * length * step.decrement + slack
        if not bool(short.any()):
            return length, reached
        length = torch.where(short, 0.5 * length, length)
    return torch.where(short, 0.0, length), torch.where(short, value, reached)
