"""Known modules, and the check of what any module gives."""

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
    A `control` responds to nothing. `fit` says how well what was fitted tells held-out data: Pearson's correlation of
    a voxel, the AUROC of a probe. `fit_p` is the p-value of a voxel's being above 0; what is fitted to noise is a
    function of texts too, that may be explained, though it says nothing of the voxel.
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
        """The id of the gold concept that it responds to, of several the first."""
        return self.answer.parts[0].concept if self.answer is not None else None

    @property
    def encoder(self) -> str | None:
        """The name of the encoder whose vectors it is a function of."""
        module = self.module.clean if isinstance(self.module, NoisyModule) else self.module
        name: str | None = getattr(getattr(module, "encoder", None), "name", None)
        return name


def checked(module: TextModule, texts: Sequence[str], name: str = "the module") -> np.ndarray:
    """Call a module, and check what it gives.

    Parameters
    ----------
    name : what errors call the module.

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
    """Find the first text that a module fails on alone."""
    for text in texts:
        try:
            module([text])
        except Exception:  # noqa: BLE001 (whatever it raises, the text is what is looked for)
            return _quoted(text)
    return f"these {len(texts)} texts together, though on none alone"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
