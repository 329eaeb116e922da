"""Many binary logistic regressions at once, over rows of one matrix, to scikit-learn's optimum.

**The objective**, of each problem by itself, is that of scikit-learn's `LogisticRegression`: over w and b

    (1 - r)/2·‖w‖² + r·‖w‖₁ + C·Σ sᵢ·log(1 + exp(-tᵢ·(w·xᵢ + b))),   tᵢ = ±1, sᵢ a row's weight,        (1)

where r is `l1_ratio`; the bias b is not penalised.

**The l2 penalty (r = 0)** is solved by Newton's method. Concepts have fewer tokens than vectors have
entries, so that w = Σ aᵢ·xᵢ, and a problem is solved for a: its matrix is one of rows by rows. With W the diagonal of
the loss's second derivatives, K = X·Xᵀ and e = C·s·t·σ(-t·f) - a, Newton's step of a and b solves

    (K + W⁻¹)·da + db = W⁻¹·e,   Σ da = 0,                                                              (2)

by conjugate gradients, nearly enough that the steps still converge fast (Eisenstat & Walker 1996). These need K
alone, once for all problems over the same rows, and in float32 for float32 vectors, as in scikit-learn. Where C or
the vectors are so large that conjugate gradients could take long, or where they did not reach the optimum, (2) is
solved in float64 through the Cholesky factor of I + W^½·K·W^½, whose eigenvalues are 1 or more (Rasmussen & Williams
2006, section 3.4.3). A problem of more rows than entries is solved for w, by such a factor too. A step is halved
until it lowers (1) enough (Armijo 1966); since (1) is strictly convex this ends at the optimum, for classes that can
be separated too.

**With an l1 part** the problems are solved by accelerated proximal gradient steps (Beck & Teboulle 2009), begun anew
where they turn uphill (O'Donoghue & Candès 2015), until no step is longer than a tolerance.

Problems of like sizes are solved as one batch of padded arrays. A padded row has weight 0. So may a row that is
given: it takes no part in the fit, and its logit costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.threads import torch_workers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BATCH_BYTES: Final = 2**26
"""Memory of a batch, about; as many batches are in work at once as torch has threads."""

_DECREMENT: Final = 1e-6
"""Of (1): twice what Newton's last step is about to gain. After that step it is about the square of this."""
_STEPS: Final = 200
_WORTHWHILE: Final = 0.8
"""Problems go on together until no more than this share of them is unsolved; copying the rest then pays."""
_ALONG: Final = 1
_SHORTEST: Final = 2.0**-2
_LONGEST: Final = 2.0**4
_TINY: Final = 1e-300
_HALVINGS: Final = 60
_ARMIJO: Final = 1e-4
_ROUNDING: Final = 100
"""In units of the last place of (1): what the line search takes for rounding."""

_EASY: Final = 1e6
"""Largest weight times trace of K, for conjugate gradients: eigenvalues are then 1 to 1 + a quarter of it."""
_INNER_STEPS: Final = 40
_FORCING: Final = 1e-2
"""Conjugate gradients end at this share of the square of the gradient's norm, or at that square's own square."""
_RESIDUAL: Final = {torch.float32: 1e-10, torch.float64: 1e-13}
"""Square of the gradient's norm at which they end in any case; less is rounding."""

_PROXIMAL: Final = 1e-6
"""Largest entry, at the end, of a proximal gradient step times its inverse length: of the (sub)gradient of (1)."""
_PROXIMAL_STEPS: Final = 200_000
_CHECK_EVERY: Final = 20

_LIKE_SIZE: Final = 1.3
"""The largest problem that is padded to has at most this many times the rows of the smallest."""


@dataclass(frozen=True, eq=False)
class Probes:
    """Fitted problems, in the order given.

    `weights` is float64 of shape (problems, width), `biases` of shape (problems,); `logits` has for each problem a
    float64 array of shape (rows,), `vectors[rows] @ weights + bias`, rows of weight 0 included. From float32 vectors
    they are right to float32's precision.
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
    rows : for each problem, int array of shape (m,); problems over equal `rows` share work.
    targets : for each problem, bool array of shape (m,).
    weights : for each problem, float array of shape (m,), 0 or more, by default all 1; scikit-learn's `sample_weight`.
    c : inverse strength of the penalty, above 0.
    l1_ratio : share of the l1 penalty, 0 to 1.
    device : torch's, by default a GPU if there is one, else the CPU.
    batch_bytes : memory of a batch, about; one set of rows is never divided.

    Raises
    ------
    InputError
        if a shape, a row, a weight or an option is wrong, a vector is not finite, or the rows of a problem that have
        weight are all of one class.
    ConceptBenchError
        if the optimum is not reached, which only an enormous `c` can bring about.
    """
    if not (c > 0 and np.isfinite(c)):
        raise InputError(f"c {c:g}: give a number above 0")
    if not 0 <= l1_ratio <= 1:
        raise InputError(f"l1_ratio {l1_ratio:g}: give a number from 0 (l2) to 1 (l1)")
    _check_vectors(vectors)
    problems = _problems(len(vectors), rows, targets, weights, c)
    width = vectors.shape[1]
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    probes = Probes(np.empty((len(problems), width)), np.empty(len(problems)), [np.empty(0)] * len(problems))

    def fit(batch: _Batch) -> None:
        _fit_batch(vectors, batch, l1_ratio, place, probes)

    batches = list(_batches(problems, width, l1_ratio > 0, batch_bytes))
    if place.type != "cpu":
        for batch in batches:
            fit(batch)
        return probes
    with torch_workers() as workers:
        for _ in workers.map(fit, batches):
            pass
    return probes


class _Problem(NamedTuple):
    """A problem over a set of rows: `fitted` are the places in it of those with weight; arrays (fitted,)."""

    number: int
    rows: Ints
    fitted: Ints
    signs: Floats
    weights: Floats


class _Batch(NamedTuple):
    """Problems by the set of rows that they share; all are solved for a (`dual`), or all for w."""

    sets: list[list[_Problem]]
    dual: bool


def _check_vectors(vectors: NDArray[np.floating]) -> None:
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind not in "fiu":
        raise InputError(f"vectors: {vectors.dtype} of shape {vectors.shape}; give numbers of shape (n, width)")


def _problems(
    n: int, rows: Sequence[ArrayLike], targets: Sequence[ArrayLike], weights: Sequence[ArrayLike] | None, c: float
) -> list[_Problem]:
    """Check the problems, and take C into the weights of their rows."""
    if len(targets) != len(rows) or (weights is not None and len(weights) != len(rows)):
        raise InputError(f"rows of {len(rows)} problems: give targets, and weights if any, of as many")
    if not len(rows):
        return []
    given = [[np.asarray(own) for own in every] for every in (rows, targets, weights or [])]
    places, classes, weight = (given[0], given[1], given[2] or [np.ones(len(own)) for own in given[0]])
    for number, (own, own_classes, own_weight) in enumerate(zip(places, classes, weight, strict=True)):
        if own.ndim != 1 or not own_classes.shape == own_weight.shape == own.shape or own_classes.dtype != bool:
            raise InputError(f"problem {number}: give its rows, its targets (bool) and its weights one shape, (m,)")
    all_rows, all_weights = np.concatenate(places), c * np.concatenate(weight)
    if all_rows.dtype.kind not in "iu" or (len(all_rows) and not 0 <= all_rows.min() <= all_rows.max() < n):
        raise InputError(f"rows: must be whole numbers from 0 to {n - 1}, the rows of the vectors")
    if not (np.isfinite(all_weights).all() and (all_weights >= 0).all()):
        raise InputError("weights: must be finite numbers, 0 or more")
    all_signs = np.where(np.concatenate(classes), 1.0, -1.0)
    ends = np.cumsum([len(own) for own in places])
    problems = []
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        fitted = all_weights[start:end].nonzero()[0]
        signs = all_signs[start:end][fitted]
        if abs(signs.sum()) == len(signs):
            raise InputError(f"problem {number}: its rows are all of one class; give it rows of both")
        problems.append(_Problem(number, places[number], fitted, signs, all_weights[start:end][fitted]))
    return problems


def _batches(problems: list[_Problem], width: int, l1: bool, batch_bytes: int) -> Iterator[_Batch]:
    """Put the problems together by the rows they share, and the sets of rows by size."""
    by_rows: dict[bytes, list[_Problem]] = {}
    for problem in problems:
        by_rows.setdefault(problem.rows.tobytes(), []).append(problem)
    kinds: dict[bool, list[list[_Problem]]] = {True: [], False: []}
    for own in by_rows.values():
        kinds[not l1 and max(len(problem.fitted) for problem in own) <= width].append(own)
    for dual, sets in kinds.items():
        sets.sort(key=lambda own: (len(own[0].rows), own[0].number))
        batch: list[list[_Problem]] = []
        most = 0
        for own in sets:
            size, most = len(own[0].rows), max(most, len(own))
            each = 8 * (size * (width + size) + most * (4 * size**2 if dual else 3 * size * width + 3 * width**2))
            if batch and ((len(batch) + 1) * each > batch_bytes or size > _LIKE_SIZE * len(batch[0][0].rows)):
                yield _Batch(batch, dual)
                batch, most = [], len(own)
            batch.append(own)
        if batch:
            yield _Batch(batch, dual)


def _fit_batch(
    vectors: NDArray[np.floating], batch: _Batch, l1_ratio: float, device: torch.device, probes: Probes
) -> None:
    """Solve a batch and write its results to their places in `probes`."""
    sizes = [len(own[0].rows) for own in batch.sets]
    rows = np.zeros((len(sizes), max(sizes)), dtype=np.int64)
    for at, own in enumerate(batch.sets):
        rows[at, : sizes[at]] = own[0].rows
        rows[at, sizes[at] :] = own[0].rows[0]
    narrow = batch.dual and vectors.dtype in (np.float16, np.float32)
    points = torch.from_numpy(vectors[rows]).to(device=device, dtype=torch.float32 if narrow else torch.float64)
    # The bias takes up any shift; without the common part of the vectors less is lost to rounding.
    centres = points.mean(dim=1, keepdim=True)
    points -= centres
    if not torch.isfinite(centres).all():
        raise InputError("vectors: one is not finite; leave out the rows with NaN or infinite numbers")

    # Each set's problems lie side by side, so that no vector is copied for each of them.
    heaviest = max(float(problem.weights.max()) for own in batch.sets for problem in own)
    if batch.dual and float(torch.linalg.vector_norm(points, dim=(1, 2)).max()) ** 2 * heaviest <= _EASY:
        fitted = _fit_together(points, batch.sets)
    else:
        fitted = None
    if fitted is None:
        points, centres = points.double(), centres.double()
        fitted = _fit_apart(points, batch, l1_ratio)
    slopes, bias = fitted
    logits = (slopes @ points.mT + bias[:, :, None]).cpu().numpy()
    found, biases = slopes.cpu().numpy(), (bias - _times(slopes, centres[:, 0])).cpu().numpy()
    for at, own_problems in enumerate(batch.sets):
        for slot, problem in enumerate(own_problems):
            probes.weights[problem.number] = found[at, slot]
            probes.biases[problem.number] = biases[at, slot]
            probes.logits[problem.number] = logits[at, slot, : sizes[at]].astype(np.float64)


def _fit_together(points: torch.Tensor, sets: list[list[_Problem]]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Solve for a over all rows of the sets: slopes (sets, problems, width), biases (sets, problems); None if stuck."""
    shape = (len(sets), max(len(own) for own in sets), points.shape[1])
    sign, weight = np.ones(shape), np.zeros(shape)
    for at, own in enumerate(sets):
        for slot, problem in enumerate(own):
            sign[at, slot, problem.fitted] = problem.signs
            weight[at, slot, problem.fitted] = problem.weights
    flat = [torch.from_numpy(array).to(points.device).flatten(0, 1) for array in (sign, weight)]
    try:
        solved = _newton(_Shared(points @ points.mT, shape[1]), *flat)
    except ConceptBenchError:
        return None
    return solved.theta.to(points.dtype).view(shape) @ points, solved.bias.view(shape[:2])


def _fit_apart(points: torch.Tensor, batch: _Batch, l1_ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve each problem over its fitted rows: slopes (sets, problems, width) and biases (sets, problems)."""
    shape = (len(batch.sets), max(len(own) for own in batch.sets))
    bias = points.new_zeros(shape)
    slopes = points.new_zeros(*shape, points.shape[2])
    gram = points @ points.mT if batch.dual else None
    coefficients = points.new_zeros(*shape, points.shape[1])
    for part in _alike(batch.sets):
        fitting = _Fitted.of(part, points.device)
        if gram is not None:
            kernel = gram[fitting.at[:, None, None], fitting.place[:, :, None], fitting.place[:, None, :]]
            solved = _newton(_Dual(kernel), fitting.sign, fitting.weight)
            coefficients.index_put_(
                (fitting.at[:, None], fitting.slot[:, None], fitting.place), solved.theta, accumulate=True
            )
        else:
            own_points = points[fitting.at[:, None], fitting.place]
            solved = (
                _newton(_Primal(own_points), fitting.sign, fitting.weight)
                if l1_ratio == 0
                else _proximal(own_points, fitting.sign, fitting.weight, l1_ratio)
            )
            slopes[fitting.at, fitting.slot] = solved.theta
        bias[fitting.at, fitting.slot] = solved.bias
    return (slopes if gram is None else coefficients @ points), bias


def _alike(sets: list[list[_Problem]]) -> Iterator[list[tuple[int, int, _Problem]]]:
    """Part a batch's problems by the number of fitted rows; each problem with its set and its place in the set."""
    members = [(at, slot, problem) for at, own in enumerate(sets) for slot, problem in enumerate(own)]
    members.sort(key=lambda member: len(member[2].fitted))
    part: list[tuple[int, int, _Problem]] = []
    for member in members:
        if part and len(member[2].fitted) > _LIKE_SIZE * len(part[0][2].fitted):
            yield part
            part = []
        part.append(member)
    yield part


class _Fitted(NamedTuple):
    """The fitted rows of problems: `at` and `slot` (p,), the others padded to (p, m) with weight 0."""

    at: torch.Tensor
    slot: torch.Tensor
    place: torch.Tensor
    sign: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def of(cls, members: list[tuple[int, int, _Problem]], device: torch.device) -> _Fitted:
        """Pad the fitted rows of problems."""
        shape = (len(members), max(len(problem.fitted) for _, _, problem in members))
        place, sign, weight = np.zeros(shape, dtype=np.int64), np.ones(shape), np.zeros(shape)
        for row, (_, _, problem) in enumerate(members):
            count = len(problem.fitted)
            place[row, :count], sign[row, :count], weight[row, :count] = problem[2:]
        at, slot = np.array([(at, slot) for at, slot, _ in members]).T.copy()
        return cls(*(torch.from_numpy(array).to(device) for array in (at, slot, place, sign, weight)))


class _Solved(NamedTuple):
    """Of problems (p,): what was solved for, a (p, m) or w (p, width), and the biases (p,)."""

    theta: torch.Tensor
    bias: torch.Tensor


class _Step(NamedTuple):
    """Newton's step: of theta, of the bias, of the logits (p, m), and P·dtheta, where ‖w‖² = theta·P·theta."""

    theta: torch.Tensor
    bias: torch.Tensor
    logits: torch.Tensor
    penalty: torch.Tensor
    decrement: torch.Tensor


class _Form(Protocol):
    """The variables that problems are solved for, and how; `together` problems, side by side, go on together."""

    together: int

    def start(self) -> torch.Tensor:
        """All zeros, of theta's shape."""

    def part(self, chosen: torch.Tensor) -> _Form:
        """Take the problems with these numbers."""

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> _Step:
        """Newton's step, from minus the loss's first derivatives by the logits, and the second: (p, m)."""


class _Shared:
    """Solves for a, in w = Σ aᵢ·xᵢ, by conjugate gradients; theta is a, and P is K, one for `together` problems."""

    def __init__(self, gram: torch.Tensor, together: int) -> None:
        self.gram = gram
        self.together = together
        # The bias is the weight of one more entry, as large as a typical vector, so that it converges with the others.
        self.entry = gram.diagonal(dim1=1, dim2=2).mean(dim=1).sqrt().clamp_min(1.0).repeat_interleave(together)

    def start(self) -> torch.Tensor:
        return self.gram.new_zeros(len(self.gram) * self.together, self.gram.shape[1], dtype=torch.float64)

    def part(self, chosen: torch.Tensor) -> _Shared:
        return _Shared(self.gram[chosen[:: self.together] // self.together], self.together)

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> _Step:
        """Solve (2), times W, in the inner product a·K·a + b·b; a residual of a is that of w by the rows' vectors."""
        kind, entry = self.gram.dtype, self.entry
        curvature, error = curvature.to(kind), (pull - theta).to(kind)
        left, left_bias = error, entry * pull.sum(dim=1).to(kind)
        image = self._times_gram(left)
        along, along_image, along_bias = left, image, left_bias
        step, penalty, bias = torch.zeros_like(left), torch.zeros_like(left), torch.zeros_like(left_bias)
        size = _dot(left, image) + left_bias.square()
        enough = (size * size.clamp_max(_FORCING)).clamp_min(_RESIDUAL[kind])
        for _ in range(_INNER_STEPS):
            going = size > enough
            if not bool(going.any()):
                break
            logits = torch.addcmul(along_image, entry[:, None], along_bias[:, None])
            bent = curvature * logits
            length = torch.where(going, size / (_dot(along, along_image) + _dot(bent, logits)), 0.0)
            step.addcmul_(length[:, None], along)
            penalty.addcmul_(length[:, None], along_image)
            bias = bias + length * along_bias
            left = torch.addcmul(left, length[:, None], along + bent, value=-1)
            left_bias = left_bias - length * entry * bent.sum(dim=1)
            image = self._times_gram(left)
            before, size = size, _dot(left, image) + left_bias.square()
            turn = torch.where(going, size / before, 0.0)
            along = torch.addcmul(left, turn[:, None], along)
            along_image = torch.addcmul(image, turn[:, None], along_image)
            along_bias = left_bias + turn * along_bias
        bias = bias * entry
        decrement = _dot(error, penalty) + bias * pull.sum(dim=1)
        return _Step(step, bias, penalty + bias[:, None], penalty, decrement)

    def _times_gram(self, vector: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = vector.view(len(self.gram), self.together, -1) @ self.gram
        return product.flatten(0, 1)


class _Dual:
    """Solves for a too, by a Cholesky factor of each problem's own."""

    together = 1

    def __init__(self, kernel: torch.Tensor) -> None:
        self.kernel = kernel

    def start(self) -> torch.Tensor:
        return self.kernel.new_zeros(self.kernel.shape[:2])

    def part(self, chosen: torch.Tensor) -> _Dual:
        return _Dual(self.kernel[chosen])

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> _Step:
        """Solve (2): with M = (K + W⁻¹)⁻¹, da = M·W⁻¹·e - db·M·1, and M·W⁻¹ = I - M·K."""
        root = curvature.sqrt()
        matrix = self.kernel * root[:, :, None]
        matrix *= root[:, None, :]
        matrix.diagonal(dim1=1, dim2=2).add_(1.0)
        factor = _cholesky(matrix)
        error = pull - theta
        sides = torch.stack([root * self._times_kernel(error), root], dim=2)
        solved = torch.cholesky_solve(sides, factor) * root[:, :, None]
        free, level = error - solved[:, :, 0], solved[:, :, 1]
        bias = free.sum(dim=1) / level.sum(dim=1)
        step = free - bias[:, None] * level
        penalty = self._times_kernel(step)
        decrement = _dot(error, penalty) + bias * pull.sum(dim=1)
        return _Step(step, bias, penalty + bias[:, None], penalty, decrement)

    def _times_kernel(self, vector: torch.Tensor) -> torch.Tensor:
        # Twice as fast as the matrix product at these sizes.
        product: torch.Tensor = (self.kernel * vector[:, None, :]).sum(dim=2)
        return product


class _Primal:
    """Solves for w; theta is w, and P is I."""

    together = 1

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def start(self) -> torch.Tensor:
        return self.points.new_zeros(len(self.points), self.points.shape[2])

    def part(self, chosen: torch.Tensor) -> _Primal:
        return _Primal(self.points[chosen])

    def step(self, theta: torch.Tensor, pull: torch.Tensor, curvature: torch.Tensor) -> _Step:
        """Solve [I + Xᵀ·W·X, Xᵀ·W·1; 1ᵀ·W·X, 1ᵀ·W·1]·[dw; db] = minus the gradient, by its Schur complement."""
        matrix = self.points.mT @ (self.points * curvature[:, :, None])
        matrix.diagonal(dim1=1, dim2=2).add_(1.0)
        factor = _cholesky(matrix)
        downhill = _times(self.points.mT, pull) - theta
        level = _times(self.points.mT, curvature)
        solved = torch.cholesky_solve(torch.stack([downhill, level], dim=2), factor)
        bias_downhill = pull.sum(dim=1)
        bias = bias_downhill - _dot(level, solved[:, :, 0])
        bias = bias / (curvature.sum(dim=1) - _dot(level, solved[:, :, 1]))
        step = solved[:, :, 0] - bias[:, None] * solved[:, :, 1]
        decrement = _dot(downhill, step) + bias * bias_downhill
        return _Step(step, bias, _times(self.points, step) + bias[:, None], step, decrement)


def _newton(form: _Form, sign: torch.Tensor, weight: torch.Tensor) -> _Solved:
    """Minimise (1) with r = 0 by damped Newton steps; `sign` and `weight` (C·s) have shape (p, m)."""
    theta = form.start()
    solved = _Solved(torch.zeros_like(theta), theta.new_zeros(len(theta)))
    at = torch.arange(len(theta), device=theta.device)
    penalty = torch.zeros_like(theta)
    logits = torch.zeros_like(sign)
    bias = logits.new_zeros(len(logits))
    value = _loss(logits, sign, weight)
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
        solved.theta[at], solved.bias[at] = theta, bias
        if not len(going):
            return solved
        form = form.part(going)
        at, theta, penalty, logits = at[going], theta[going], penalty[going], logits[going]
        bias, value, sign, weight = bias[going], value[going], sign[going], weight[going]
    raise ConceptBenchError(f"a probe had not converged after {_STEPS} steps: give a smaller c")


def _line_search(
    theta: torch.Tensor,
    penalty: torch.Tensor,
    logits: torch.Tensor,
    value: torch.Tensor,
    step: _Step,
    sign: torch.Tensor,
    weight: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Halve each problem's step until (1) falls enough: its length, 0 where rounding hides any fall, and (1) there."""
    level, slope, bend = _dot(theta, penalty), _dot(theta, step.penalty), _dot(step.theta, step.penalty)
    length = torch.ones_like(value)
    # Where classes are far apart full steps are too short by far; these cost a vector each, a new step a matrix.
    for _ in range(_ALONG):
        against = torch.sigmoid(-sign * (logits + length[:, None] * step.logits))
        pull = weight * against * step.logits
        first = slope + length * bend - _dot(pull, sign)
        second = bend + _dot(pull * (1 - against), step.logits)
        length = (length - first / second.clamp_min(_TINY)).clamp(_SHORTEST, _LONGEST)
    slack = _ROUNDING * torch.finfo(step.logits.dtype).eps * value
    for _ in range(_HALVINGS):
        reached = _loss(logits + length[:, None] * step.logits, sign, weight)
        reached = reached + 0.5 * level + length * slope + 0.5 * length**2 * bend
        short = reached > value - _ARMIJO * length * step.decrement + slack
        if not bool(short.any()):
            return length, reached
        length = torch.where(short, 0.5 * length, length)
    return torch.where(short, 0.0, length), torch.where(short, value, reached)


def _proximal(points: torch.Tensor, sign: torch.Tensor, weight: torch.Tensor, l1_ratio: float) -> _Solved:
    """Minimise (1) with r > 0; `points` has shape (p, m, width), `sign` and `weight` (C·s) (p, m).

    The last entry of the variables is the bias, whose feature is as large as a typical vector so that its steps are
    as long as those of the weights.
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
    for count in range(_PROXIMAL_STEPS):
        pull = weight * sign * torch.sigmoid(-sign * _times(extended, ahead))
        moved = ahead + (_times(extended.mT, pull) - ridge * ahead) / inverse
        moved = torch.sign(moved) * (moved.abs() - threshold).clamp_min(0)
        residual = ahead - moved
        if count % _CHECK_EVERY == 0 and bool((inverse * residual).abs().max() <= _PROXIMAL):
            return _Solved(moved[:, :-1], moved[:, -1] * size)
        change = moved - now
        uphill = _dot(residual, change)[:, None] > 0
        following = torch.where(uphill, 1.0, 0.5 * (1 + (1 + 4 * momentum**2).sqrt()))
        ahead = torch.where(uphill, moved, moved + (momentum - 1) / following * change)
        now, momentum = moved, following
    raise ConceptBenchError(f"a probe had not converged after {_PROXIMAL_STEPS} steps: give a smaller c")


def _loss(logits: torch.Tensor, sign: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return _dot(-weight, torch.nn.functional.logsigmoid(sign * logits))


def _cholesky(matrix: torch.Tensor) -> torch.Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        raise ConceptBenchError("a probe's equations are too far out of scale: divide the vectors, or give a smaller c")
    found: torch.Tensor = factor
    return found


def _times(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = (matrix @ vector[:, :, None])[:, :, 0]
    return product


def _dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = (left * right).sum(dim=1)
    return total
