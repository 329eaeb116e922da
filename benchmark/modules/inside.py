"""Text modules inside models: readings of neurons, directions, transformer factors or probes in a text's words."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

import numpy as np

from conceptbench.benchmark.modules.responses import tokens_of
from conceptbench.benchmark.store import ConceptStore
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError

if TYPE_CHECKING:
    from conceptbench.runtime.encoder import WordEncoder, Words

Pool = Literal["mean", "max"]
"""How the readings of a text's words become one number."""

PENALTY: Final = 0.1
"""The penalty of sparse codes, for vectors of length 1.

With it about nine of 200 factors are active in a word (MiniLM, layer 3).
"""

_PASSES = 10
_BATCH = 64
_CODE_STEPS = 10_000
_OTHERS_A_TOKEN = 10
_NO_WORD = "."


class LayerEncoder:
    """Embeds texts by what is read off their words' vectors at one layer, pooled over the words.

    Words are taken as in n-grams, and each punctuation mark counts as one. A text in which the model sees no word is
    read as a full stop.

    Parameters
    ----------
    model : what gives the words' vectors.
    layer : 0 is the embedding layer.
    pool : over the words of a text.
    read : from word vectors of shape (words, width) to readings of shape (words, readings); None for the vectors
        themselves.

    Raises
    ------
    InputError
        if the model has no such layer, or there is no such way to pool.
    """

    def __init__(
        self, model: WordEncoder, layer: int, pool: Pool, read: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> None:
        _check_layer(model, layer)
        if pool not in get_args(Pool):
            raise InputError(f"pool {pool!r}: give one of {', '.join(get_args(Pool))}")
        self.name = f"{model.revision}/L{layer:02d}"
        self._model, self._layer, self._pool, self._read = model, layer, pool, read

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Read texts, each distinct one once.

        Returns
        -------
        float array of shape (len(texts), readings).
        """
        spaced = [" ".join(tokens_of(text)) for text in texts]
        # The full stop replaces texts without a word, and gives the shape if there is no text at all.
        distinct = list(dict.fromkeys([_NO_WORD, *spaced]))
        words = self._model.read(distinct)
        words = [sentence if any(sentence.subwords) else words[0] for sentence in words]
        rows, parts = [], []
        for batch in self._model.batches([len(sentence) for sentence in words]):
            rows += batch
            parts.append(self._encode([words[row] for row in batch]))
        readings = np.concatenate(parts)[np.argsort(rows)]
        place_of = {text: row for row, text in enumerate(distinct)}
        result: np.ndarray = readings[[place_of[text] for text in spaced]]
        return result

    def _encode(self, batch: Sequence[Words]) -> np.ndarray:
        """Read a batch of texts of one word or more."""
        seen_positions = [[position for position, piece in enumerate(sentence.subwords) if piece] for sentence in batch]
        counts = np.array([len(positions) for positions in seen_positions])
        words = [(row, position) for row, positions in enumerate(seen_positions) for position in positions]
        readings = self._model.vectors(batch, words, [self._layer])[0]
        if self._read is not None:
            readings = self._read(readings)
        starts = np.cumsum(counts) - counts
        if self._pool == "mean":
            readings = readings / np.repeat(counts, counts)[:, None]
        result: np.ndarray = (np.add if self._pool == "mean" else np.maximum).reduceat(readings, starts, axis=0)
        return result


class WordVectors(NamedTuple):
    """Words as they are written in texts, with a float32 array of their vectors, of shape (words, width)."""

    words: list[str]
    vectors: np.ndarray


def word_vectors(model: WordEncoder, layer: int, texts: Sequence[str]) -> WordVectors:
    """Give the vector of each word of each text at a layer, without words of which the model sees nothing.

    Words are taken as in n-grams, and each punctuation mark counts as one. The words are in no particular order.

    Raises
    ------
    InputError
        if the model has no such layer, or sees no word at all.
    """
    _check_layer(model, layer)
    tokens = [sentence for sentence in map(tokens_of, texts) if sentence]
    read = model.read([" ".join(sentence) for sentence in tokens])
    words: list[str] = []
    parts = []
    for batch in model.batches([len(sentence) for sentence in read]):
        seen = [
            (row, position) for row, number in enumerate(batch) for position, p in enumerate(read[number].subwords) if p
        ]
        if seen:
            words += [tokens[batch[row]][position] for row, position in seen]
            parts.append(model.vectors([read[number] for number in batch], seen, [layer])[0])
    if not parts:
        raise InputError("the model sees no word in the texts: there are no vectors to read")
    return WordVectors(words, np.concatenate(parts))


@dataclass(frozen=True, repr=False, eq=False)
class ReadingModule:
    """One of the readings of an encoder.

    Modules of one encoder can share its readings: embed each text once, and call each module's `respond`.
    """

    encoder: LayerEncoder
    reading: int

    def respond(self, vectors: np.ndarray) -> np.ndarray:
        """Respond to texts by their readings, of shape (n, readings), with a float64 array of shape (n,)."""
        return vectors[:, self.reading].astype(np.float64)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return self.respond(self.encoder.encode(texts))


def neuron_modules(model: WordEncoder, layer: int, neurons: Sequence[int], pool: Pool = "mean") -> list[ReadingModule]:
    """Make the modules of some neurons of a layer, which share an encoder.

    Raises
    ------
    InputError
        as `LayerEncoder`, or if the layer has no such neuron.
    """
    wrong = [neuron for neuron in neurons if not 0 <= neuron < model.width]
    if wrong:
        raise InputError(f"neuron {wrong[0]}: this model has neurons 0 to {model.width - 1} in a layer")
    encoder = LayerEncoder(model, layer, pool)
    return [ReadingModule(encoder, neuron) for neuron in neurons]


def direction_modules(
    model: WordEncoder, layer: int, directions: np.ndarray, pool: Pool = "mean"
) -> list[ReadingModule]:
    """Make the modules of some directions of a layer, which share an encoder: words' dot products with a direction.

    Parameters
    ----------
    directions : array of shape (directions, width).

    Raises
    ------
    InputError
        as `LayerEncoder`, or if these are not finite directions of this model.
    """
    matrix = _vectors(directions, "directions", model.width)
    if not matrix.any(axis=1).all():
        raise InputError("directions: one is all zeros; give vectors that point somewhere")
    encoder = LayerEncoder(model, layer, pool, lambda vectors: vectors @ matrix.T)
    return [ReadingModule(encoder, direction) for direction in range(len(matrix))]


@dataclass(frozen=True, repr=False, eq=False)
class Factors:
    """A dictionary of transformer factors.

    `atoms` is float64 of shape (factors, width), rows of unit length; a word's vector, divided by `scale`, is about a
    sum of few atoms with positive weights. `penalty` is that of the weights' sum.
    """

    atoms: np.ndarray
    scale: float
    penalty: float

    def codes(self, vectors: np.ndarray) -> np.ndarray:
        """Give the weights of the atoms in word vectors of shape (n, width): float64 of shape (n, factors), >= 0."""
        from sklearn.decomposition import sparse_encode

        scaled = np.asarray(vectors, dtype=np.float64) / self.scale
        # Not the faster `lasso_lars`, which stops short of the minimum.
        codes: np.ndarray = sparse_encode(
            scaled, self.atoms, algorithm="lasso_cd", alpha=self.penalty, positive=True, max_iter=_CODE_STEPS
        )
        return codes


def fit_factors(
    vectors: np.ndarray, factors: int, seed: int, *, penalty: float = PENALTY, rows: int = 20_000
) -> Factors:
    """Learn a dictionary of transformer factors from word vectors (Yun et al. 2021, arXiv 2103.15949, section 2).

    Minimises half the squared error plus `penalty` times the sum of the codes, which are positive, for vectors that
    are divided by their root mean square length. Unlike there, the vectors are those of one layer, and frequent words
    are not given less weight.

    Parameters
    ----------
    vectors : array of shape (n, width), such as `ConceptStore.vectors` gives.
    factors : atoms to learn, 2 or more and at most half as many as vectors.
    rows : vectors learned from at most, drawn by the seed.

    Raises
    ------
    InputError
        if the vectors are not finite, all zero, or fewer than two for each factor.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    if penalty <= 0:
        raise InputError(f"penalty {penalty:g}: give a number above 0")
    generator = generator_of("factors", seed)
    if len(vectors) > rows:
        vectors = vectors[np.sort(generator.choice(len(vectors), size=rows, replace=False))]
    matrix = _vectors(vectors, "vectors")
    if not 2 <= factors <= len(matrix) // 2:
        raise InputError(f"{factors} factors of {len(matrix)} vectors: give 2 or more, and two vectors or more to each")
    scale = float(np.sqrt((matrix**2).sum(axis=1).mean()))
    if scale == 0:
        raise InputError("vectors: all are zero; there is nothing to learn from")
    learner = MiniBatchDictionaryLearning(
        n_components=factors,
        alpha=penalty,
        fit_algorithm="cd",
        positive_code=True,
        max_iter=_PASSES,
        batch_size=_BATCH,
        # All passes are always made: scikit-learn's early stopping ends before planted factors are found.
        tol=0,
        max_no_improvement=None,
        random_state=int(generator.integers(2**32)),
    )
    with warnings.catch_warnings():
        # Codes that are not quite optimal during the passes do no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        atoms = learner.fit(matrix / scale).components_
    return Factors(atoms / np.linalg.norm(atoms, axis=1, keepdims=True), scale, penalty)


def factor_modules(model: WordEncoder, layer: int, factors: Factors, pool: Pool = "max") -> list[ReadingModule]:
    """Make the modules of all factors of a dictionary: their codes in a text's words.

    They share an encoder, whose `encode` gives the codes of all factors at once, shape (len(texts), factors).

    Raises
    ------
    InputError
        as `LayerEncoder`, or if the factors are those of a model of another width.
    """
    _vectors(factors.atoms, "factors", model.width)
    encoder = LayerEncoder(model, layer, pool, factors.codes)
    return [ReadingModule(encoder, factor) for factor in range(len(factors.atoms))]


@dataclass(frozen=True, repr=False, eq=False)
class Probe:
    """A linear probe of word vectors: its logit is `vectors @ weights + bias`; `weights` has shape (width,)."""

    weights: np.ndarray
    bias: float


def fit_probe(vectors: np.ndarray, inside: np.ndarray, seed: int) -> Probe:
    """Fit a logistic regression that tells a concept's word vectors from others.

    The two classes weigh the same, and each neuron is scaled to unit variance before the penalty (C = 1). At most ten
    other vectors are used for each vector of the concept, drawn by the seed.

    Parameters
    ----------
    vectors : array of shape (n, width).
    inside : bool array of shape (n,): which are the concept's.

    Raises
    ------
    InputError
        if a vector is not finite, or there are not two vectors or more of either class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inside = np.asarray(inside)
    if inside.dtype != bool or inside.shape != (len(vectors),):
        raise InputError(
            f"inside: {inside.dtype} of shape {inside.shape}; give bool of shape ({len(vectors)},), one a vector"
        )
    of_concept, outside = np.flatnonzero(inside), np.flatnonzero(~inside)
    if min(len(of_concept), len(outside)) < 2:
        raise InputError(
            f"{len(of_concept)} vectors of the concept and {len(outside)} others: give two or more of each"
        )
    chosen = generator_of("probe", seed).permutation(len(outside))[: _OTHERS_A_TOKEN * len(of_concept)]
    rows = np.sort(np.concatenate([of_concept, outside[chosen]]))
    matrix = _vectors(vectors[rows], "vectors")
    scaler, regression = StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    make_pipeline(scaler, regression).fit(matrix, inside[rows])
    weights = regression.coef_[0] / scaler.scale_
    return Probe(weights, float(regression.intercept_[0] - weights @ scaler.mean_))


def fit_concept_probe(store: ConceptStore, concept: str, seed: int) -> Probe:
    """Fit a probe that tells the tokens of a store's concept from the others of its layer.

    Raises
    ------
    InputError
        if the store has no such concept or did not keep its vectors, or as `fit_probe`.
    """
    match = re.fullmatch(r"(.+)/L(\d+)/C\d+", concept)
    if match is None:
        raise InputError(f"concept {concept!r}: give an id such as bert-base-cased/L09/C0123")
    model, layer = match[1], int(match[2])
    inside = store.occurrences(model, layer)["concept"].to_numpy() == concept
    if not inside.any():
        raise InputError(f"{store.path} has no concept {concept!r}: see `conceptbench browse {store.path}`")
    return fit_probe(store.vectors(model, layer), inside, seed)


def probe_modules(model: WordEncoder, layer: int, probes: Sequence[Probe], pool: Pool = "max") -> list[ReadingModule]:
    """Make the modules of some probes of a layer, which share an encoder: the logits of a text's words.

    Raises
    ------
    InputError
        as `LayerEncoder`, or if there is no probe or one of another width.
    """
    weights = _vectors(np.array([probe.weights for probe in probes]), "probes", model.width)
    biases = np.array([probe.bias for probe in probes])
    encoder = LayerEncoder(model, layer, pool, lambda vectors: vectors @ weights.T + biases)
    return [ReadingModule(encoder, number) for number in range(len(probes))]


def _check_layer(model: WordEncoder, layer: int) -> None:
    if not 0 <= layer < model.layers:
        raise InputError(f"layer {layer}: this model has layers 0 (embeddings) to {model.layers - 1}")


def _vectors(array: np.ndarray, name: str, width: int | None = None) -> np.ndarray:
    """Check that these are one or more finite vectors, of this width if one is given, and make them float64."""
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(f"{name}: {array.dtype} of shape {array.shape}; give numbers of shape (n, width)")
    if width is not None and array.shape[1] != width:
        raise InputError(f"{name}: their width is {array.shape[1]} and the model's is {width}; give this model's")
    wrong = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if wrong.size:
        raise InputError(f"{name}: {wrong.size} of {len(array)} are not finite, the first is row {wrong[0]}; drop them")
    return np.asarray(array, dtype=np.float64)
