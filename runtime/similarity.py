"""How close texts are: by a pinned encoder, and by BERTScore."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import model_folder
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.text_encoder import TextEncoder

_WORTH_SHOWING = 1000
# Vectors of texts that run after run of a process encodes, by encoder and texts.
_LASTING: WeakKeyDictionary[TextEncoder, dict[tuple[str, ...], np.ndarray]] = WeakKeyDictionary()


class Similarity:
    """An encoder's vectors of texts, each encoded once.

    Vectors that are compared with words are centred: the mean vector of the words of the run is subtracted, since
    vectors of decoders share a large common part. The mean of the labels is not used, so that the score of one
    label does not depend on an annotator's other labels.
    """

    def __init__(self, model: str, progress: Progress | None = None, device: str | None = None) -> None:
        self._encoder = _opened(model, device, _state(model))
        self._progress = progress
        self._row: dict[str, int] = {}
        self._vectors = np.zeros((0, self._encoder.width), dtype=np.float32)
        self._centre = np.zeros(self._encoder.width, dtype=np.float32)

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self._encoder.name

    @property
    def digest(self) -> str:
        """What pins the encoder: the revision or the digest of its weights."""
        return self._encoder.digest

    def forget(self) -> None:
        """Encode everything anew from here on: a vector's last digits depend on the texts that it is encoded with."""
        self._row, self._vectors = {}, self._vectors[:0]

    def learn(self, texts: Sequence[str], *, lasting: bool = False) -> None:
        """Encode those texts that are not known yet, together; `lasting` keeps their vectors for other runs."""
        new = sorted({text for text in texts if text not in self._row})
        if new:
            self._row |= {text: len(self._row) + i for i, text in enumerate(new)}
            progress = self._progress if len(new) >= _WORTH_SHOWING else None
            known = _LASTING.setdefault(self._encoder, {}) if lasting else {}
            vectors = known.get(tuple(new))
            if vectors is None:
                vectors = known[tuple(new)] = self._encoder.encode(new, progress)
            self._vectors = np.concatenate([self._vectors, vectors])

    def centre_on(self, words: Sequence[str]) -> None:
        """Set what is subtracted in `centred` to the mean of these words' vectors."""
        self._centre = self.vectors(sorted(set(words))).mean(axis=0)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Give the vectors of texts: float32 of shape (len(texts), width), rows of unit length."""
        self.learn(texts)
        result: np.ndarray = self._vectors[[self._row[text] for text in texts]]
        return result

    def centred(self, texts: Sequence[str]) -> np.ndarray:
        """Give their vectors less the centre, again of unit length."""
        return _unit(self.vectors(texts) - self._centre)

    def prototypes(self, lists: Sequence[Sequence[str]]) -> np.ndarray:
        """Give the mean centred vector of each list of words: shape (len(lists), width), rows of unit length."""
        self.learn([word for words in lists for word in words])
        return _unit(np.stack([self.centred(list(words)).mean(axis=0) for words in lists]))


def open_token_encoder(model: str) -> TextEncoder:
    """Open the encoder of BERTScore.

    Raises
    ------
    InputError
        if it cannot be read, or is a decoder.
    """
    encoder = _opened(model, None, _state(model))
    # A decoder is refused here, before any system is asked.
    encoder.token_vectors([])
    return encoder


def check_weights(encoder: Similarity | TextEncoder, digest: str) -> None:
    """Refuse an encoder that is not the one of a run.

    Raises
    ------
    InputError
        if its digest is not the run's.
    """
    if encoder.digest != digest:
        raise InputError(
            f"the encoder {encoder.name} has other weights here ({encoder.digest}) than in the run ({digest})"
        )


def bertscore(encoder: TextEncoder, texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Give BERTScore's F1 of each text against its reference (Zhang et al. 2020), without weighting or rescaling.

    Each token is matched with the closest one of the other text by the cosine of their last-layer vectors.

    Returns
    -------
    float64 array of shape (len(texts),); 0 where a text has no token.
    """
    distinct = sorted({*texts, *references})
    vectors = dict(zip(distinct, encoder.token_vectors(distinct), strict=True))
    scores = np.zeros(len(texts))
    for i, (text, reference) in enumerate(zip(texts, references, strict=True)):
        closeness = vectors[text] @ vectors[reference].T
        if closeness.size:
            precision, recall = closeness.max(axis=1).mean(), closeness.max(axis=0).mean()
            scores[i] = 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0
    return scores


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Give the chance that a positive scores above a negative, ties counting half."""
    above = (positives[:, None] > negatives).mean() + 0.5 * (positives[:, None] == negatives).mean()
    return float(above)


@lru_cache(maxsize=4)
def _opened(model: str, device: str | None, _state: Hashable) -> TextEncoder:
    """Open an encoder; one that was opened before, whose files have not changed since, is not read again."""
    return TextEncoder(model, device=device)


def _state(model: str) -> Hashable:
    """Give what changes when a model's files do."""
    folder = Path(model_folder(model))
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def _unit(vectors: np.ndarray) -> np.ndarray:
    result: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return result
