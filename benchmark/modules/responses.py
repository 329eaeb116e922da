"""The functions that modules compute from a text. None holds the name, the id or the explanation of its concept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtri

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
_TOKEN = re.compile(rf"{_WORD.pattern}|[^\w\s]")


class TextModule(Protocol):
    """A function from texts to numbers; explainers are asked what it responds to."""

    def __call__(self, texts: Sequence[str], /) -> np.ndarray:
        """Give a float array of shape (len(texts),)."""


class Encoder(Protocol):
    """What embeds texts, such as `TextEncoder`."""

    name: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float array of shape (len(texts), width)."""


@dataclass(frozen=True, repr=False, eq=False)
class LexicalModule:
    """The share of a text's words that are in a list of case-folded words; 0 where there is no word."""

    words: frozenset[str]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),), within 0 .. 1."""
        return _shares([text.casefold() for text in texts], self.words.__contains__)


@dataclass(frozen=True, repr=False, eq=False)
class FormModule:
    """The share of a text's words in which a pattern is found; 0 where there is no word."""

    form: re.Pattern[str]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),), within 0 .. 1."""
        return _shares(texts, lambda word: self.form.search(word) is not None)


@dataclass(frozen=True, repr=False, eq=False)
class CountModule:
    """How often a pattern is found in a text."""

    form: re.Pattern[str]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return np.array([sum(1 for _ in self.form.finditer(text)) for text in texts], dtype=np.float64)


@dataclass(frozen=True, repr=False, eq=False)
class EmbeddingModule:
    """Minus the Euclidean distance between the embeddings of a text and of a target (Singh et al. 2023, section 3).

    Modules of one encoder can share its vectors: embed each text once, and call each module's `respond`.

    Parameters
    ----------
    encoder : the encoder that embeds the texts.
    target : array of shape (width,).
    """

    encoder: Encoder
    target: np.ndarray

    def respond(self, vectors: np.ndarray) -> np.ndarray:
        """Respond to texts by their vectors, of shape (n, width), with a float64 array of shape (n,)."""
        distances: np.ndarray = np.linalg.norm(vectors - self.target, axis=1)
        return -distances.astype(np.float64)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return self.respond(self.encoder.encode(texts))


def module_of(encoder: Encoder, target: str) -> EmbeddingModule:
    """Make the module that responds to texts by how close they are to a target text."""
    return EmbeddingModule(encoder, encoder.encode([target])[0])


@dataclass(frozen=True, repr=False, eq=False)
class NoisyModule:
    """An embedding module with Gaussian noise that depends only on the text and `key`.

    A text always gets the same response. With the vectors of the texts at hand, add `clean.respond(vectors)` and
    `noise(texts)`.
    """

    clean: EmbeddingModule
    deviation: float
    key: bytes

    def noise(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),) with the standard deviation `deviation`."""
        noise: np.ndarray = self.deviation * normals_of(texts, self.key)
        return noise

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        responses: np.ndarray = self.clean(texts) + self.noise(texts)
        return responses


@dataclass(frozen=True, repr=False, eq=False)
class ComposedModule:
    """Two modules' responses put together."""

    first: TextModule
    second: TextModule
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return self.combine(self.first(texts), self.second(texts))


def unless(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Combine: the first response where the second is 0, else 0."""
    return np.where(second == 0, first, 0.0)


def plus_half(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Combine: the first response and half of the second."""
    return first + 0.5 * second


@dataclass(frozen=True, repr=False, eq=False)
class ConstantModule:
    """The same response to each text."""

    value: float

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return np.full(len(texts), self.value)


@dataclass(frozen=True, repr=False, eq=False)
class RandomModule:
    """A standard normal response that depends only on a hash of the text and `key`."""

    key: bytes

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return normals_of(texts, self.key)


def normals_of(texts: Sequence[str], key: bytes) -> np.ndarray:
    """Draw a standard normal number for each text, always the same for a text and key (at most 64 bytes).

    Returns
    -------
    float64 array of shape (len(texts),).
    """
    hashes = b"".join(
        hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8, key=key).digest() for text in texts
    )
    # 52 bits plus one half are exact in float64, so no quantile is 0 or 1.
    quantiles = ((np.frombuffer(hashes, dtype="<u8") >> 12) + 0.5) / 2**52
    normals: np.ndarray = ndtri(quantiles)
    return normals


def tokens_of(text: str) -> list[str]:
    """Split a text into its words and single punctuation marks."""
    return _TOKEN.findall(text)


def words_of(text: str) -> list[str]:
    """Split a text into its words, with their inner hyphens and apostrophes and without punctuation."""
    return _WORD.findall(text)


def _shares(texts: Sequence[str], counts: Callable[[str], bool]) -> np.ndarray:
    shares = np.zeros(len(texts))
    for row, text in enumerate(texts):
        words = words_of(text)
        if words:
            shares[row] = sum(map(counts, words)) / len(words)
    return shares
