"""Does a concept's probe need the neurons that a ranking puts first? They are removed, or all others are.

A linear probe's logit is a sum over neurons, b + Σ_i w_i·x_i. So the logits for every number k of removed neurons are
running sums of it in the order of the ranking: one matrix product a concept, and the probe is never fitted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conceptbench.eval.methods.neurons.choices import DRAWS, GRID, Mode, Order
from conceptbench.eval.methods.neurons.vectors import Floats, Ints, checked_vectors
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError

Measure = Literal["accuracy", "auroc"]


@dataclass(frozen=True, eq=False)
class Ablation:
    """How well probes do as neurons are removed.

    Attributes
    ----------
    names : of the C concepts.
    grid : int64 (K,), how many neurons are removed (or kept), from 0 to all.
    accuracy : for each mode and order, float64 (C, K): the mean of the accuracies on the concept's tokens and on the
        others, which is the accuracy on a balanced set; 0.5 is chance.
    auroc : for each mode and order, float64 (C, K): the area under the ROC curve.
    """

    names: tuple[str, ...]
    grid: Ints
    accuracy: Mapping[tuple[Mode, Order], Floats]
    auroc: Mapping[tuple[Mode, Order], Floats]

    def areas(self, measure: Measure, mode: Mode, order: Order) -> Floats:
        """Give the area under each concept's curve over the share of neurons, 0 to 1: float64 (C,), at most 1."""
        curves = self.accuracy if measure == "accuracy" else self.auroc
        area: Floats = np.trapezoid(curves[mode, order], self.grid / self.grid[-1], axis=1)
        return area

    def advantages(self, measure: Measure, mode: Mode, order: Order = "random") -> Floats:
        """Give the area between each concept's curves by the top neurons and by another order: float64 (C,).

        It is above 0 where the top neurons matter more: removing them costs more, keeping them saves more.
        """
        sign = 1.0 if mode == "keep" else -1.0
        return sign * (self.areas(measure, mode, "top") - self.areas(measure, mode, order))

    def metrics(self, seed: int = 0) -> dict[str, Metric]:
        """Give the mean of `advantages` over the concepts, with its interval, as `<measure>_advantage/<mode>-<order>`.

        `accuracy/all-neurons` and `auroc/all-neurons` are those of the whole probe.
        """
        orders: tuple[Order, ...] = ("bottom", "random")
        values = {
            f"{measure}_advantage/{mode}-{order}": self.advantages(measure, mode, order)
            for measure in get_args(Measure)
            for mode in get_args(Mode)
            for order in orders
        }
        values["accuracy/all-neurons"] = self.accuracy["zero", "top"][:, 0]
        values["auroc/all-neurons"] = self.auroc["zero", "top"][:, 0]
        return {name: mean_metric(value.tolist(), self.names, seed) for name, value in values.items()}


def ablate(
    weights: ArrayLike,
    biases: ArrayLike,
    vectors: ArrayLike,
    labels: ArrayLike,
    orders: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    grid: Sequence[int] | None = None,
    mean: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Ablation:
    """Remove the neurons of each concept's ranking from its probe in each `Mode` and `Order`, and test the probe.

    Parameters
    ----------
    weights : numbers (C, width), of the probe of each concept against the rest, in the space of `vectors`.
    biases : numbers (C,).
    vectors : numbers (tokens, width), of tokens that the probes were not fitted on.
    labels : ints (tokens,): the row of the token's concept, or -1 for a token of none of them.
    orders : ints (C, width), the neurons of each concept, best first.
    names : of the concepts, distinct; by default their rows. Random orders depend on the name and the seed alone.
    grid : the numbers k; 0 and the width are added. By default those nearest to `GRID`.
    mean : numbers (width,), what neurons are set to, such as the mean over the tokens that the probes were fitted on;
        by default the mean over `vectors`.
    draws : random orders whose curves are averaged, at least 1.
    seed : of the random orders.

    Raises
    ------
    InputError
        for shapes that do not fit, values that are not finite, orders that are no permutations, or a concept that has
        all tokens or none.

    Examples
    --------
    >>> vectors = [[2.0, 0.1], [3.0, -0.1], [-2.0, 0.1], [-3.0, -0.1]]
    >>> ablation = ablate([[1.0, 0.5]], [0.0], vectors, [0, 0, -1, -1], [[0, 1]], grid=[1])
    >>> ablation.accuracy["zero", "top"].tolist()
    [[1.0, 0.5, 0.5]]
    """
    points = checked_vectors(vectors).astype(np.float64)
    tokens, width = points.shape
    probes = _Probes.checked(weights, biases, orders, names, width)
    average = points.mean(axis=0) if mean is None else _row(mean, width, "mean")
    concept = _checked_concepts(labels, tokens, len(probes.names))
    if draws < 1:
        raise InputError(f"draws={draws}: at least 1 random order is needed")
    steps = _checked_grid([round(share * width) for share in GRID] if grid is None else grid, width)
    return _ablation(probes, np.vstack([points, average]).T, concept, steps, draws, seed)


@dataclass(frozen=True, eq=False)
class _Probes:
    """Probes of C concepts: their names, weights (C, width) and biases (C,), and the rankings (C, width)."""

    names: tuple[str, ...]
    weights: Floats
    biases: Floats
    rankings: Ints

    @classmethod
    def checked(
        cls, weights: ArrayLike, biases: ArrayLike, orders: ArrayLike, names: Sequence[str] | None, width: int
    ) -> _Probes:
        """Check the probes of `width` neurons."""
        weight = checked_vectors(weights, "The weights").astype(np.float64)
        count = len(weight)
        if weight.shape[1] != width:
            raise InputError(f"The probes have {weight.shape[1]} weights, the vectors {width} neurons")
        distinct = tuple(map(str, range(count))) if names is None else tuple(names)
        if len(set(distinct)) != count:
            raise InputError(f"There are {count} probes and {len(set(distinct))} distinct names")
        return cls(distinct, weight, _row(biases, count, "biases"), _checked_orders(orders, weight.shape))

    def orders(self, probe: int, draws: int, seed: int) -> Ints:
        """Give the orders in which a probe's neurons are changed: top, bottom, then the random ones."""
        ranking, width = self.rankings[probe], self.weights.shape[1]
        generators = [generator_of("ablated neurons", seed, self.names[probe], draw) for draw in range(draws)]
        return np.stack([ranking, ranking[::-1], *(generator.permutation(width) for generator in generators)])


def _ablation(probes: _Probes, inputs: Floats, concept: Ints, steps: Ints, draws: int, seed: int) -> Ablation:
    """Compute the curves of all probes; for `inputs` see `_logits`, `concept` is the probe of each token or -1."""
    modes: tuple[Mode, ...] = get_args(Mode)
    rows_of: dict[Order, slice] = {"top": slice(0, 1), "bottom": slice(1, 2), "random": slice(2, None)}
    accuracy = {(mode, order): np.empty((len(probes.names), len(steps))) for mode in modes for order in rows_of}
    auroc = {key: np.empty_like(curve) for key, curve in accuracy.items()}
    for probe in range(len(probes.names)):
        logits = _logits(probes.weights[probe], probes.biases[probe], inputs, probes.orders(probe, draws, seed), steps)
        positive = concept == probe
        areas = {mode: _auroc(logits[mode], positive) for mode in ("zero", "keep")}
        areas["mean"] = areas["zero"]  # the logits of the two modes differ by a constant over the tokens
        for mode in modes:
            accuracies = _balanced_accuracy(logits[mode], positive)
            for order, rows in rows_of.items():
                accuracy[mode, order][probe] = accuracies[rows].mean(axis=0)
                auroc[mode, order][probe] = areas[mode][rows].mean(axis=0)
    return Ablation(probes.names, steps, accuracy, auroc)


def _logits(weight: Floats, bias: float, inputs: Floats, orders: Ints, steps: Ints) -> dict[Mode, Floats]:
    """Logits (orders, K, tokens) of one probe in each mode, for orders (orders, width) and numbers `steps` (K,).

    `inputs` are the vectors (width, tokens + 1), a column each; the last column is what neurons are set to.
    """
    width, pieces = len(weight), len(steps) - 1
    piece = np.searchsorted(steps, np.arange(width), side="right") - 1
    spread = np.zeros((len(orders), pieces, width))
    spread[np.arange(len(orders))[:, None], piece, orders] = weight[orders]
    # What each piece of each order adds to a logit.
    parts = (spread.reshape(-1, width) @ inputs).reshape(len(orders), pieces, -1)
    first = np.zeros((len(orders), pieces + 1, inputs.shape[1]))
    rest = np.zeros_like(first)
    np.cumsum(parts, axis=1, out=first[:, 1:])
    np.cumsum(parts[:, ::-1], axis=1, out=rest[:, -2::-1])
    return {
        "zero": bias + rest[..., :-1],
        "mean": bias + rest[..., :-1] + first[..., -1:],
        "keep": bias + first[..., :-1] + rest[..., -1:],
    }


def _balanced_accuracy(logits: Floats, positive: NDArray[np.bool_]) -> Floats:
    """The mean of the shares of positives above 0 and of others not above it: (…, tokens) to (…)."""
    above = logits > 0
    accuracy: Floats = (above[..., positive].mean(axis=-1) + 1 - above[..., ~positive].mean(axis=-1)) / 2
    return accuracy


def _auroc(logits: Floats, positive: NDArray[np.bool_]) -> Floats:
    """The share of pairs of a positive and another in which the positive is higher, ties half: (…, tokens) to (…)."""
    higher, lower = logits[..., positive], np.sort(logits[..., ~positive], axis=-1)
    shares = np.empty(logits.shape[:-1])
    for index in np.ndindex(shares.shape):
        below = np.searchsorted(lower[index], higher[index], "left").mean()
        not_above = np.searchsorted(lower[index], higher[index], "right").mean()
        shares[index] = (below + not_above) / (2 * lower.shape[-1])
    return shares


def _row(values: ArrayLike, size: int, name: str) -> Floats:
    array = np.asarray(values)
    if array.shape != (size,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError(f"`{name}` must be {size} finite numbers; it is of shape {array.shape}, {array.dtype}")
    return array.astype(np.float64)


def _checked_orders(orders: ArrayLike, shape: tuple[int, ...]) -> Ints:
    array: NDArray[Any] = np.asarray(orders)
    if array.shape != shape or not (np.sort(array, axis=1) == np.arange(shape[1])).all():
        raise InputError(f"`orders` must hold the {shape[1]} neurons once each in {shape[0]} rows, one a probe")
    return array.astype(np.int64)


def _checked_concepts(labels: ArrayLike, tokens: int, count: int) -> Ints:
    array = np.asarray(labels)
    if array.shape != (tokens,) or array.dtype.kind not in "iu":
        raise InputError(f"`labels` must be {tokens} whole numbers; they are of shape {array.shape}, {array.dtype}")
    if array.min() < -1 or array.max() >= count:
        raise InputError(f"`labels` must be rows of the {count} probes, or -1; they reach {array.min()}..{array.max()}")
    concept = array.astype(np.int64)
    sizes = np.bincount(concept + 1, minlength=count + 1)[1:]
    bad = np.flatnonzero((sizes == 0) | (sizes == tokens))
    if len(bad):
        raise InputError(
            f"The probe {bad[0]} cannot be tested: {sizes[bad[0]]} of the {tokens} tokens are of its concept"
        )
    return concept


def _checked_grid(grid: Sequence[int], width: int) -> Ints:
    steps = np.unique([0, width, *grid])
    if steps.dtype.kind not in "iu" or steps[0] < 0 or steps[-1] > width:
        raise InputError(f"`grid` must be whole numbers of neurons, from 0 to {width}")
    return steps.astype(np.int64)
