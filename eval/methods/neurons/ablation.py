"""Does a concept's probe need the neurons that a ranking puts first? They are taken away, or all others are.

A linear probe's logit is a sum over neurons, b + Σ_i w_i·x_i. So the logits for every number k of neurons taken away
are running sums of it in the order of the ranking: one matrix product a concept, and the probe is never fitted anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conceptbench.eval.methods.neurons.ranking import Floats, Ints, checked_vectors
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError

Mode = Literal["zero", "mean", "keep"]
Order = Literal["top", "bottom", "random"]
Measure = Literal["accuracy", "auroc"]

DRAWS: Final = 5
GRID: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""The shares of the neurons that are taken away, or kept, by default."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """How well probes do as neurons are taken away.

    Attributes
    ----------
    names : of the C concepts.
    grid : int64 (K,), how many neurons are taken away (or kept), from 0 to all.
    accuracy : for each mode and order, float64 (C, K): the mean of the accuracies on the concept's tokens and on the
        others, which is the accuracy on a balanced set; 0.5 is chance.
    auroc : the same for the area under the ROC curve.
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

        It is above 0 where the top neurons matter more: taking them away costs more, keeping them saves more.
        """
        sign = 1.0 if mode == "keep" else -1.0
        return sign * (self.areas(measure, mode, "top") - self.areas(measure, mode, order))

    def metrics(self, seed: int = 0) -> dict[str, Metric]:
        """Give the mean of `advantages` over the concepts, with its interval, as `<measure>_advantage/<mode>-<order>`.

        Beside them, `accuracy/all-neurons` and `auroc/all-neurons` are those of the whole probe.
        """
        others: tuple[Order, ...] = ("bottom", "random")
        values = {
            f"{measure}_advantage/{mode}-{order}": self.advantages(measure, mode, order)
            for measure in get_args(Measure)
            for mode in get_args(Mode)
            for order in others
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
    """Take the neurons of each concept's ranking away from its probe, and see how well it still does.

    | mode | of the first k neurons of the order |
    |---|---|
    | `zero` | they are set to 0 |
    | `mean` | they are set to their mean |
    | `keep` | they alone are kept, all others are set to their mean |

    | order | |
    |---|---|
    | `top` | as ranked |
    | `bottom` | the ranking from its end |
    | `random` | at random, the mean of `draws` curves |

    Parameters
    ----------
    weights : numbers (C, width), of the probe of each concept against the rest, in the space of `vectors`.
    biases : numbers (C,).
    vectors : numbers (tokens, width), of tokens that the probes were not fitted on.
    labels : ints (tokens,): the row of the token's concept, or -1 for a token of none of them.
    orders : ints (C, width), the neurons of each concept, best first.
    names : of the concepts, distinct; by default their rows. Random orders hang on the name and the seed alone.
    grid : the numbers k; 0 and the width are added. By default those nearest to `GRID`.
    mean : numbers (width,), what neurons are set to, such as the mean over the tokens the probes were fitted on; by
        default the mean over `vectors`.
    draws : random orders, at least 1.
    seed : of the random orders.

    Raises
    ------
    InputError
        for shapes that do not fit, values that are not finite, orders that are no permutations, or a concept for which
        all tokens, or none, are its own.
    """
    points = checked_vectors(vectors).astype(np.float64)
    weight = checked_vectors(weights, "The weights").astype(np.float64)
    count, width = weight.shape
    bias = _row(biases, count, "biases")
    average = points.mean(axis=0) if mean is None else _row(mean, width, "mean")
    if points.shape[1] != width:
        raise InputError(f"The probes have {width} weights, the vectors {points.shape[1]} neurons")
    rankings = _checked_orders(orders, (count, width))
    concept = _checked_concepts(labels, len(points), count)
    called = tuple(map(str, range(count))) if names is None else tuple(names)
    if len(set(called)) != count:
        raise InputError(f"There are {count} probes and {len(set(called))} distinct names")
    if draws < 1:
        raise InputError(f"draws={draws}: at least 1 random order is needed")
    steps = _checked_grid([round(share * width) for share in GRID] if grid is None else grid, width)

    inputs = np.vstack([points, average]).T
    modes: tuple[Mode, ...] = get_args(Mode)
    kinds: tuple[Order, ...] = get_args(Order)
    accuracy = {(mode, kind): np.empty((count, len(steps))) for mode in modes for kind in kinds}
    auroc = {key: np.empty_like(curve) for key, curve in accuracy.items()}
    for c in range(count):
        chance = [generator_of("ablated neurons", seed, called[c], draw).permutation(width) for draw in range(draws)]
        order = np.stack([rankings[c], rankings[c][::-1], *chance])
        logits = _logits(weight[c], bias[c], inputs, order, steps)
        areas = {mode: _auroc(logits[mode], concept == c) for mode in ("zero", "keep")}
        areas["mean"] = areas["zero"]  # their logits differ by what is the same for all tokens
        for mode in modes:
            right = _balanced_accuracy(logits[mode], concept == c)
            for kind, rows in zip(kinds, (slice(0, 1), slice(1, 2), slice(2, None)), strict=True):
                accuracy[mode, kind][c] = right[rows].mean(axis=0)
                auroc[mode, kind][c] = areas[mode][rows].mean(axis=0)
    return Ablation(called, steps, accuracy, auroc)


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


def _checked_orders(orders: ArrayLike, shape: tuple[int, int]) -> Ints:
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
    own = np.bincount(concept + 1, minlength=count + 1)[1:]
    bad = np.flatnonzero((own == 0) | (own == tokens))
    if len(bad):
        raise InputError(f"The probe {bad[0]} cannot be tested: {own[bad[0]]} of the {tokens} tokens are its concept's")
    return concept


def _checked_grid(grid: Sequence[int], width: int) -> Ints:
    steps = np.unique([0, width, *grid])
    if steps.dtype.kind not in "iu" or steps[0] < 0 or steps[-1] > width:
        raise InputError(f"`grid` must be whole numbers of neurons, from 0 to {width}")
    return steps.astype(np.int64)
