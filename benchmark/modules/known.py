"""Known modules, and the check of the responses of any module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from conceptbench.benchmark.modules.answers import Answer
from conceptbench.benchmark.modules.responses import NoisyModule, TextModule
from conceptbench.runtime.errors import ConceptBenchError, InputError

_SHOWN = 80


@dataclass(frozen=True)
class KnownModule:
    """A module to explain, with its answer where that is known; an explainer is given `module` alone.

    `corpus` loads the texts that its n-grams are taken from; None where there are only published runs of the module.
    A `control` responds to nothing. `fit` says how well a fitted module predicts held-out data: it is Pearson's
    correlation of a voxel, and the AUROC of a probe. `fit_p` is the p-value of a voxel's correlation being above 0. A
    module that is fitted to noise is a function of texts too and can be explained, but it says nothing of the voxel.
    """

    id: str
    family: str
    module: TextModule
    answer: Answer | None
    corpus: Callable[[], Sequence[str]] | None
    control: bool = False
    fit: float | None = None
    fit_p: float | None = None

    @property
    def concept(self) -> str | None:
        """The id of the gold concept that the module responds to, or of the first one if there are several."""
        return self.answer.parts[0].concept if self.answer is not None else None

    @property
    def encoder(self) -> str | None:
        """The name of the encoder whose vectors the module is a function of."""
        module = self.module.clean if isinstance(self.module, NoisyModule) else self.module
        name: str | None = getattr(getattr(module, "encoder", None), "name", None)
        return name


def checked(module: TextModule, texts: Sequence[str], name: str = "the module") -> np.ndarray:
    """Call a module, and check its responses.

    Parameters
    ----------
    name : the name of the module in error messages.

    Returns
    -------
    float64 array of shape (len(texts),), all finite.

    Raises
    ------
    InputError
        if the module raises an error, or gives anything else than a finite number to each text.
    """
    try:
        responses = module(texts)
    except ConceptBenchError:
        raise
    except Exception as error:
        raise InputError(
            f"{name} raises {type(error).__name__} ({error}) on {_failing(module, texts)}: "
            "a module must answer any text"
        ) from error
    if not isinstance(responses, np.ndarray):
        raise InputError(f"{name} gives {type(responses).__name__}: return a NumPy array of one number a text")
    if responses.shape != (len(texts),):
        raise InputError(
            f"{name} gives an array of shape {responses.shape} to {len(texts)} texts: return one number a text, "
            f"shape ({len(texts)},)"
        )
    if responses.dtype.kind not in "fiub":
        raise InputError(f"{name} gives an array of {responses.dtype}: return real numbers, such as float64")
    wrong = np.flatnonzero(~np.isfinite(responses))
    if wrong.size:
        raise InputError(
            f"{name} gives {responses[wrong[0]]} to {_quoted(texts[wrong[0]])} ({wrong.size} of {len(texts)} texts are "
            "not finite): return a finite number for any text"
        )
    return responses.astype(np.float64)


def is_constant(responses: np.ndarray) -> bool:
    """Tell whether there are not two different responses, so that nothing can be explained."""
    return np.unique(responses).size < 2


def _failing(module: TextModule, texts: Sequence[str]) -> str:
    """Find the first text on which the module fails when it gets no other text."""
    for text in texts:
        try:
            module([text])
        except Exception:  # noqa: BLE001 (any error shows that this is the text)
            return _quoted(text)
    return f"these {len(texts)} texts together, though on none alone"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
