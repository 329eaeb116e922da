"""The settings of Proto-lm and of its training; this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from conceptbench.runtime.errors import InputError

MAX_LENGTH: Final = 128
"""Tokens that are read of a text, special ones included."""
SHORTEST_MAX_LENGTH: Final = 8

Start = Literal["kmeans", "examples"]
"""Where prototypes start: at the centres of k-means over their class's vectors, or at vectors drawn from it."""


@dataclass(frozen=True)
class LinearConfig:
    """A linear head's shape: `attention` is the number of rows of M in equation (1) of `heads`."""

    attention: int = 64


@dataclass(frozen=True)
class PrototypeConfig:
    """A prototype head's shape and loss; the equations are those of `heads`.

    Attributes
    ----------
    prototypes : N, the number of prototypes of each class.
    nearest : K, the number of prototypes that cohesion and separation take of each text.
    cross_entropy, cohesion, separation : l0, l1 and l2, the weights of the loss's terms.
    attention : the number of rows of M in (1).
    length, eps : those of (2).

    Examples
    --------
    >>> PrototypeConfig(prototypes=5, nearest=2).cohesion
    0.01
    """

    prototypes: int = 10
    nearest: int = 1
    cross_entropy: float = 1.0
    cohesion: float = 0.01
    separation: float = 0.01
    attention: int = 64
    length: float = 0.2
    eps: float = 0.01

    def check(self) -> None:
        """Check the values.

        Raises
        ------
        InputError
            if one makes no sense.
        """
        if self.prototypes < 1:
            raise InputError(f"{self.prototypes} prototypes a class: give at least 1")
        if not 1 <= self.nearest <= self.prototypes:
            raise InputError(
                f"K = {self.nearest} with {self.prototypes} prototypes a class: give K from 1 to {self.prototypes}"
            )
        if min(self.cross_entropy, self.cohesion, self.separation) < 0:
            raise InputError("a weight of the loss is below 0, which would reverse the term's meaning: give 0 or more")
        if self.length <= 0 or self.eps <= 0 or self.attention < 1:
            raise InputError("length and eps must be above 0, and attention 1 or more")


@dataclass(frozen=True)
class Training:
    """How a classifier is trained.

    Attributes
    ----------
    epochs : the number of epochs at most.
    batch : texts in a batch.
    rate : AdamW's learning rate of the head.
    prototype_rate : the learning rate of the head's prototypes.
    encoder_rate : the learning rate of a tuned encoder.
    weight_decay : AdamW's; it is not applied to prototypes.
    patience : training ends when the cross-entropy on the dev part has not fallen for this many epochs, and the best
        epoch's weights are kept.
    dev_share : the share of the training texts that is the dev part; with 0, all epochs are run and the last is kept.
    start : where prototypes start.
    learned : whether the prototypes are trained; where they are not, they stay where they start, which is a baseline.
    seed : of every draw.

    Examples
    --------
    >>> Training(epochs=5).start
    'kmeans'
    """

    epochs: int = 60
    batch: int = 32
    rate: float = 1e-3
    prototype_rate: float = 5e-3
    encoder_rate: float = 2e-5
    weight_decay: float = 0.01
    patience: int = 8
    dev_share: float = 0.15
    start: Start = "kmeans"
    learned: bool = True
    seed: int = 0

    def check(self) -> None:
        """Check the values.

        Raises
        ------
        InputError
            if one makes no sense.
        """
        if min(self.epochs, self.batch, self.patience) < 1:
            raise InputError("epochs, batch and patience: give 1 or more")
        if min(self.rate, self.prototype_rate, self.encoder_rate) <= 0 or self.weight_decay < 0:
            raise InputError("learning rates must be above 0, and weight decay 0 or more")
        if not 0 <= self.dev_share < 1:
            raise InputError(f"dev share {self.dev_share:g}: give 0 or more, and below 1")
        if self.start not in get_args(Start):
            raise InputError(f"start {self.start!r}: give one of {', '.join(get_args(Start))}")
