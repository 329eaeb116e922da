"""Voxels as text modules: recorded responses to texts, the ridge regressions that predict them, a made-up subject."""

from __future__ import annotations

import importlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.stats import norm

from conceptbench.benchmark.lexicon import GoldConcept
from conceptbench.benchmark.modules.answers import Answer
from conceptbench.benchmark.modules.families import draw_modules
from conceptbench.benchmark.modules.responses import Encoder
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError

PENALTIES: Final = tuple(np.logspace(-2, 4, 13).tolist())
"""The penalties that the ridge regressions choose from, for text vectors of length 1."""
LARGEST: Final = 8 << 30
"""The most bytes that an array in a file of responses may have."""

_FOLDS = 5
_FEWEST_STIMULI = 50
_HELD_OUT = 0.2
_WORDS = 6
_DAMAGE = (ValueError, RuntimeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)


class Recording(NamedTuple):
    """Responses to texts: a float array of shape (texts, voxels)."""

    responses: np.ndarray
    texts: list[str]


def read_responses(path: Path) -> Recording:
    """Read recorded responses from an `.npz` or an HDF5 file (`.h5`, `.hdf5`).

    The file holds `responses`, floats of shape (n, voxels), and `texts`, n unicode texts. Pickled objects are refused.

    Raises
    ------
    InputError
        if it cannot be read, or an array is missing or wrong; the message names the file and the array.
    """
    readers = {".npz": _read_npz, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: responses are read from {', '.join(readers)}; save them as one of these")
    try:
        responses, texts = readers[path.suffix.lower()](path)
    except (*_DAMAGE, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path} cannot be read: {reason}") from error
    if responses.ndim != 2 or 0 in responses.shape or responses.dtype.kind != "f":
        raise InputError(
            f"{path}: `responses` is {responses.dtype} of shape {responses.shape}; give floats of shape (n, voxels)"
        )
    if texts.shape != responses.shape[:1]:
        raise InputError(
            f"{path}: `texts` has the shape {texts.shape} and `responses` {responses.shape}; give one text a row"
        )
    _check_finite(responses, f"{path}: `responses`")
    return Recording(responses, texts.tolist())


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        files = [file for file in archive.infolist() if file.filename.endswith(".npy")]
        _check_sizes(path, {file.filename.removesuffix(".npy"): file.file_size for file in files})
        arrays = []
        for name in ("responses", "texts"):
            with archive.open(f"{name}.npy") as file:
                arrays.append(np.lib.format.read_array(file, allow_pickle=False))
    responses, texts = arrays
    if texts.dtype.kind != "U":
        raise InputError(f"{path}: `texts` is {texts.dtype}; save it as unicode, numpy.array(texts, dtype=str)")
    return responses, texts


def _read_hdf5(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        # Loaded by name: it is not among the package's dependencies.
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise InputError(
            f"{path}: reading HDF5 needs the package h5py. Install it with: python -m pip install h5py; or save "
            "`responses` and `texts` with numpy.savez"
        ) from error
    with h5py.File(path, "r") as file:
        _check_sizes(path, {name: item.nbytes for name, item in file.items() if isinstance(item, h5py.Dataset)})
        if h5py.check_string_dtype(file["texts"].dtype) is None:
            raise InputError(f"{path}: `texts` is {file['texts'].dtype}; save it as a data set of UTF-8 strings")
        return np.asarray(file["responses"][()]), np.asarray(file["texts"].asstr()[()])


def _check_sizes(path: Path, sizes: Mapping[str, int]) -> None:
    for name in ("responses", "texts"):
        if name not in sizes:
            raise InputError(f"{path}: there is no array `{name}`; it has {', '.join(sorted(sizes)) or 'none'}")
        if sizes[name] > LARGEST:
            raise InputError(f"{path}: `{name}` has {sizes[name]:,} bytes, more than {LARGEST:,}: keep fewer voxels")


@dataclass(frozen=True, repr=False, eq=False)
class Voxels:
    """Fitted voxels: `predict` gives their responses to texts' features.

    `weights` is float64 of shape (width, voxels), `intercepts`, `penalties` and `correlations` of shape (voxels,).
    The latter are Pearson's, between predicted and recorded responses to the last `held_out` stimuli, with the 95 %
    intervals `low` .. `high` by Fisher's transformation, which takes stimuli as independent.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    penalties: np.ndarray
    correlations: np.ndarray
    low: np.ndarray
    high: np.ndarray
    held_out: int

    @property
    def p_values(self) -> np.ndarray:
        """One-sided p-values of the correlations being above 0, by the same transformation: shape (voxels,)."""
        middle = np.arctanh(np.clip(self.correlations, -1 + 1e-12, 1 - 1e-12))
        result: np.ndarray = norm.sf(middle * np.sqrt(self.held_out - 3))
        return result

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predict the responses to features of shape (n, width): float64 of shape (n, voxels)."""
        result: np.ndarray = features @ self.weights + self.intercepts
        return result

    def modules(self, encoder: Encoder) -> list[VoxelModule]:
        """Make the voxels' modules, which share the encoder that gave the features."""
        return [VoxelModule(encoder, *fitted) for fitted in zip(self.weights.T, self.intercepts.tolist(), strict=True)]


@dataclass(frozen=True, repr=False, eq=False)
class VoxelModule:
    """A voxel's predicted response to a text: a linear function of the text's vector.

    Modules of one encoder can share its vectors: embed each text once, and call each module's `respond`.
    """

    encoder: Encoder
    weights: np.ndarray
    intercept: float

    def respond(self, vectors: np.ndarray) -> np.ndarray:
        """Respond to texts by their vectors, of shape (n, width), with a float64 array of shape (n,)."""
        result: np.ndarray = vectors @ self.weights + self.intercept
        return result

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return self.respond(self.encoder.encode(texts))


def delayed(features: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """Join the features of the stimuli that were shown `delays` stimuli earlier, with zeros before the first stimulus.

    Returns
    -------
    float array of shape (n, len(delays) * width), the first delay's features first.

    Raises
    ------
    InputError
        if there is no delay, or one is negative or as long as the recording.
    """
    if not delays or not all(0 <= delay < len(features) for delay in delays):
        raise InputError(f"delays {list(delays)}: give one or more, each from 0 to less than {len(features)} stimuli")
    shifted = [np.vstack([np.zeros_like(features[:delay]), features[: len(features) - delay]]) for delay in delays]
    return np.hstack(shifted)


def fit_voxels(
    features: np.ndarray,
    responses: np.ndarray,
    *,
    delays: Sequence[int] = (0,),
    penalties: Sequence[float] = PENALTIES,
) -> Voxels:
    """Fit a ridge regression to each voxel (as the encoding models of Singh et al. 2023, section 5).

    Each voxel's penalty is the one with the least squared error in five-fold cross-validation; one decomposition a
    fold serves all voxels and penalties. Stimuli are taken in the order of time: folds are neighbouring stimuli, and
    the last fifth is held out for the correlations. Shuffle stimuli that have no order. With delays, a module
    treats its text as having been shown for all of them: a feature's weights are summed over the delays.

    Parameters
    ----------
    features : the features of the stimuli, of shape (stimuli, width), such as `TextEncoder.encode` gives.
    responses : the recorded responses, of shape (stimuli, voxels).
    delays : the numbers of stimuli between a stimulus and the response to it.
    penalties : the penalties to choose from, above 0.

    Raises
    ------
    InputError
        if there are fewer than 50 stimuli, the arrays do not fit or are not finite, or a voxel is constant.
    """
    if features.ndim != 2 or responses.ndim != 2 or len(features) != len(responses):
        raise InputError(
            f"features of shape {features.shape} and responses of shape {responses.shape}: give (stimuli, width) and "
            "(stimuli, voxels), one row a stimulus in both"
        )
    if len(features) < _FEWEST_STIMULI:
        raise InputError(f"{len(features)} stimuli: give {_FEWEST_STIMULI} or more to fit voxels")
    if not penalties or min(penalties) <= 0:
        raise InputError(f"penalties {list(penalties)}: give one or more numbers above 0")
    _check_finite(features, "features")
    _check_finite(responses, "responses")
    x, y = delayed(np.asarray(features, dtype=np.float64), delays), np.asarray(responses, dtype=np.float64)
    held_out = round(_HELD_OUT * len(x))
    x, x_held, y, y_held = x[:-held_out], x[-held_out:], y[:-held_out], y[-held_out:]
    constant = np.flatnonzero((np.ptp(y, axis=0) == 0) | (np.ptp(y_held, axis=0) == 0))
    if constant.size:
        raise InputError(f"responses: voxel {constant[0]} is constant (as are {constant.size - 1} others); drop them")
    chosen = _chosen_penalties(x, y, penalties)
    weights, intercepts = _Ridge.of(x, y).fitted(chosen)
    correlations = _correlations(x_held @ weights + intercepts, y_held)
    reach = 1.96 / np.sqrt(held_out - 3)
    middle = np.arctanh(np.clip(correlations, -1 + 1e-12, 1 - 1e-12))
    summed = weights.reshape(len(delays), features.shape[1], -1).sum(axis=0)
    return Voxels(summed, intercepts, chosen, correlations, np.tanh(middle - reach), np.tanh(middle + reach), held_out)


class _Ridge(NamedTuple):
    """The singular value decomposition of centred features, and the responses in its terms."""

    mean_x: np.ndarray
    mean_y: np.ndarray
    singular: np.ndarray
    right: np.ndarray
    projected: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> _Ridge:
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        left_vectors, singular, right = np.linalg.svd(x - mean_x, full_matrices=False)
        return cls(mean_x, mean_y, singular, right, left_vectors.T @ (y - mean_y))

    def fitted(self, penalties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give weights (width, voxels) and intercepts (voxels,) for a penalty to each voxel, or one to all."""
        singular = self.singular[:, None]
        weights = self.right.T @ (singular / (singular**2 + penalties) * self.projected)
        return weights, self.mean_y - self.mean_x @ weights


def _chosen_penalties(x: np.ndarray, y: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
    errors = np.zeros((len(penalties), y.shape[1]))
    for tested in np.array_split(np.arange(len(x)), _FOLDS):
        ridge = _Ridge.of(np.delete(x, tested, axis=0), np.delete(y, tested, axis=0))
        for row, penalty in enumerate(penalties):
            weights, intercepts = ridge.fitted(np.array([penalty]))
            errors[row] += ((x[tested] @ weights + intercepts - y[tested]) ** 2).mean(axis=0)
    result: np.ndarray = np.asarray(penalties, dtype=np.float64)[errors.argmin(axis=0)]
    return result


def _correlations(predicted: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Give Pearson's correlation of each column; 0 where the prediction is constant."""
    predicted, recorded = predicted - predicted.mean(axis=0), recorded - recorded.mean(axis=0)
    length, recorded_length = np.linalg.norm(predicted, axis=0), np.linalg.norm(recorded, axis=0)
    products, varied = (predicted * recorded).sum(axis=0), length > 1e-9 * recorded_length
    result: np.ndarray = np.divide(products, length * recorded_length, out=np.zeros_like(products), where=varied)
    return result


def _check_finite(array: np.ndarray, name: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InputError(
            f"{name} has {array.size - finite.sum()} numbers that are not finite, the first at row {row}, "
            f"column {column}; mend or drop them"
        )


class SyntheticSubject(NamedTuple):
    """A made-up recording, and the answer of each voxel; None for voxels that respond to nothing."""

    responses: np.ndarray
    texts: list[str]
    answers: list[Answer | None]


def synthetic_subject(
    lexicon: Mapping[str, GoldConcept],
    voxels: int,
    seed: int,
    noise: float = 1.0,
    *,
    controls: int = 10,
    stimuli: int = 1000,
) -> SyntheticSubject:
    """Make up a subject whose voxels' answers are planted.

    A voxel responds to the share of a text's words that are a gold concept's, in standard deviations over the stimuli,
    plus Gaussian noise. A stimulus is a sentence of the lexicon and six words, of which zero to six belong to one
    concept. In every other stimulus this is a concept that a voxel responds to.

    Parameters
    ----------
    voxels : the number of voxels that respond to a concept, each to a different one.
    noise : the standard deviation of the noise.
    controls : the number of voxels after these that are only noise, with the same variance.

    Returns
    -------
    responses of shape (stimuli, voxels + controls), float64, with the texts and answers.

    Raises
    ------
    InputError
        if the lexicon has fewer fitting concepts, or a number is out of range.
    """
    if noise < 0 or controls < 0 or stimuli < 2:
        raise InputError(f"noise {noise:g}, {controls} controls, {stimuli} stimuli: give 0 or more, and 2 stimuli")
    planted = draw_modules(lexicon, ["lexical"], voxels, seed)
    targets = [lexicon[module.concept] for module in planted if module.concept is not None]
    concepts = list(lexicon.values())
    texts = [
        _stimulus(concepts, targets if number % 2 else concepts, generator_of("stimulus", seed, number))
        for number in range(stimuli)
    ]
    signal = np.column_stack([module.module(texts) for module in planted])
    silent = np.flatnonzero(np.ptp(signal, axis=0) == 0)
    if silent.size:
        raise InputError(f"{stimuli} stimuli have no word of {planted[silent[0]].concept}: give more stimuli")
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    generator = generator_of("subject", seed)
    recorded = signal + noise * generator.normal(size=signal.shape)
    nothing = np.hypot(1, noise) * generator.normal(size=(stimuli, controls))
    answers = [module.answer for module in planted]
    return SyntheticSubject(np.hstack([recorded, nothing]), texts, answers + [None] * controls)


def _stimulus(concepts: Sequence[GoldConcept], topics: Sequence[GoldConcept], generator: np.random.Generator) -> str:
    frame, topic = sample(concepts, 1, generator)[0], sample(topics, 1, generator)[0]
    topic_words = sample(topic.words, int(generator.integers(_WORDS + 1)), generator)
    strangers = [
        sample(stranger.words, 1, generator)[0] for stranger in sample(concepts, _WORDS - len(topic_words), generator)
    ]
    words = sample([*topic_words, *strangers], _WORDS, generator)
    return f"{sample(frame.sentences, 1, generator)[0]} {', '.join(words)}."
