"""The classifiers of a run: Proto-lm, what it is held against, and its variants in a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from conceptbench.eval.methods.protolm.model import LinearConfig, PrototypeConfig
from conceptbench.eval.methods.protolm.training import Training
from conceptbench.runtime.errors import InputError

PROTOTYPES: Final = "prototypes"
LINEAR: Final = "linear"
ALIGNED: Final = "aligned"
"""Proto-lm after alignment: it is not trained, but made of the trained one."""

COUNTS: Final = (1, 3, 10, 30)
NEAREST: Final = (1, 3, 10)


@dataclass(frozen=True)
class Contender:
    """A classifier that is trained on each split; `once` where only the first repeat is."""

    name: str
    config: PrototypeConfig | LinearConfig
    training: Training
    once: bool = False


def contenders(config: PrototypeConfig, training: Training, study: str | None) -> list[Contender]:
    """Give Proto-lm, the linear head, the baselines and a study's variants, all with the same budget.

    The baselines' prototypes stay where they start: random training texts, or the centres of k-means; all else of them
    is trained. A study leaves out what the data or the configuration do not allow.

    Raises
    ------
    InputError
        if there is no such study.
    """
    fixed = replace(training, learned=False)
    found = [
        Contender(PROTOTYPES, config, training),
        Contender(LINEAR, LinearConfig(config.attention), training),
        Contender("random", config, replace(fixed, start="examples"), once=True),
        Contender("kmeans", config, replace(fixed, start="kmeans"), once=True),
    ]
    if study is None:
        return found
    if study not in STUDIES:
        raise InputError(f"--study {study}: there is no such study; there are {', '.join(STUDIES)}")
    variants = {name: own for name, own in STUDIES[study](config).items() if own != config}
    return [*found, *(Contender(name, own, training, once=True) for name, own in variants.items())]


def _of_counts(config: PrototypeConfig) -> dict[str, PrototypeConfig]:
    return {f"N={count}": replace(config, prototypes=count, nearest=min(config.nearest, count)) for count in COUNTS}


def _of_nearest(config: PrototypeConfig) -> dict[str, PrototypeConfig]:
    return {f"K={count}": replace(config, nearest=count) for count in NEAREST if count <= config.prototypes}


def _of_losses(config: PrototypeConfig) -> dict[str, PrototypeConfig]:
    weights: Sequence[dict[str, Any]] = (
        {"cohesion": 0.0, "separation": 0.0},
        {"cohesion": 0.0},
        {"separation": 0.0},
        {"cohesion": 0.1, "separation": 0.1},
        {"cohesion": 1.0, "separation": 1.0},
    )
    every = [replace(config, **own) for own in weights]
    return {f"l1={own.cohesion:g},l2={own.separation:g}": own for own in every}


STUDIES: Final[dict[str, Callable[[PrototypeConfig], dict[str, PrototypeConfig]]]] = {
    "prototypes": _of_counts,
    "nearest": _of_nearest,
    "losses": _of_losses,
}
"""Ablations by name: N prototypes a class, K nearest ones in the loss, and the weights of cohesion and separation."""
