"""The classifiers of a run: Proto-lm, what it is compared with, and its variants in a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from conceptbench.eval.methods.protolm.settings import LinearConfig, PrototypeConfig, Training

PROTOTYPES: Final = "prototypes"
LINEAR: Final = "linear"
ALIGNED: Final = "aligned"
"""Proto-lm after alignment, which is not trained but made of the trained one."""

COUNTS: Final = (1, 3, 10, 30)
"""N in the study `prototypes`."""
NEAREST: Final = (1, 3, 10)
"""K in the study `nearest`."""


@dataclass(frozen=True)
class Contender:
    """A classifier that is trained on each split; `once` where it is trained in the first repeat alone."""

    name: str
    config: PrototypeConfig | LinearConfig
    training: Training
    once: bool = False

    @property
    def prototypes(self) -> int:
        """The number of training texts that a class needs: one for each of its prototypes."""
        return self.config.prototypes if isinstance(self.config, PrototypeConfig) else 1


def contenders(config: PrototypeConfig, training: Training, study: str | None) -> list[Contender]:
    """Give Proto-lm, the linear head, the baselines and a study's variants, all with the same budget.

    The baselines' prototypes stay where they start: at random training texts, or at the centres of k-means; all else
    of them is trained. A study leaves out what the configuration does not allow.

    Parameters
    ----------
    config, training : those of Proto-lm.
    study : a name in `STUDIES`.

    Examples
    --------
    >>> [contender.name for contender in contenders(PrototypeConfig(), Training(), None)]
    ['prototypes', 'linear', 'random', 'kmeans']
    """
    fixed = replace(training, learned=False)
    without_study = [
        Contender(PROTOTYPES, config, training),
        Contender(LINEAR, LinearConfig(config.attention), training),
        Contender("random", config, replace(fixed, start="examples"), once=True),
        Contender("kmeans", config, replace(fixed, start="kmeans"), once=True),
    ]
    if study is None:
        return without_study
    variants = {name: variant for name, variant in STUDIES[study](config).items() if variant != config}
    return [*without_study, *(Contender(name, variant, training, once=True) for name, variant in variants.items())]


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
    variants = [replace(config, **changes) for changes in weights]
    return {f"l1={variant.cohesion:g},l2={variant.separation:g}": variant for variant in variants}


STUDIES: Final[dict[str, Callable[[PrototypeConfig], dict[str, PrototypeConfig]]]] = {
    "prototypes": _of_counts,
    "nearest": _of_nearest,
    "losses": _of_losses,
}
"""Ablations by name: N prototypes a class, K nearest ones in the loss, and the weights of cohesion and separation."""
