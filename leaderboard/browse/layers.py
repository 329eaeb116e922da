"""The layers of a store, which are read when they are needed; the most recently used ones stay in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.benchmark.schema import layer_file, slug
from conceptbench.benchmark.store import ConceptStore
from conceptbench.leaderboard.browse.tree import Tree
from conceptbench.runtime.errors import InputError

_CHUNK = 8192
# How many layers stay in memory: many tables of concepts, which are small and needed by every list and search.
_CONCEPTS_CACHED, _TOKENS_CACHED, _CACHED = 256, 40, 6


@dataclass(frozen=True)
class Entry:
    """A concept in a list; its words have their counts, and the most frequent ones come first."""

    concept: str
    model: str
    layer: int
    label: str | None
    words: list[tuple[str, int]]
    size: int
    cohesion: float | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Entry:
        """Make an entry from a row of the store's table of concepts."""
        words = [(word["word"], word["count"]) for word in row["words"]]
        names = ("concept", "model", "layer", "label", "size", "cohesion")
        return cls(words=words, **{name: row[name] for name in names})


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a layer, in the order of the tree's leaves.

    Attributes
    ----------
    owner : the row of each token's concept in the table of concepts, int64 of shape (tokens,).
    sentences, positions : the sentence of each token and its position in there, int64 of shape (tokens,).
    types : the distinct words.
    codes : which of the distinct words each token is, int64 of shape (tokens,).
    """

    owner: np.ndarray
    sentences: np.ndarray
    positions: np.ndarray
    types: list[str]
    codes: np.ndarray

    @property
    def locations(self) -> np.ndarray:
        """A number for each token that is the same in every layer, int64 of shape (tokens,)."""
        locations: np.ndarray = (self.sentences << 32) | self.positions
        return locations

    def words(self, rows: np.ndarray, most: int) -> list[tuple[str, int]]:
        """Give the `most` frequent words of some tokens, with their counts."""
        counts = np.bincount(self.codes[rows], minlength=len(self.types))
        ranked = np.argsort(-counts, kind="stable")[:most]
        return [(self.types[code], int(counts[code])) for code in ranked if counts[code]]


class Layers:
    """A store's tables by layer. Files that change while the store is open are not read again."""

    def __init__(self, store: ConceptStore) -> None:
        self.store = store
        self.concepts = lru_cache(_CONCEPTS_CACHED)(self._concepts)
        self.tokens = lru_cache(_TOKENS_CACHED)(self._tokens)
        self.tree = lru_cache(_CACHED)(self._tree)
        self.centroids = lru_cache(_CACHED)(self._centroids)
        self.annotations = lru_cache(_CACHED)(self._annotations)
        self.sentences = cache(store.sentences)

    def entry(self, model: str, layer: int, row: int) -> Entry:
        """Give the concept in a row of the layer's table."""
        return Entry.of(self.concepts(model, layer).slice(int(row), 1).to_pylist()[0])

    def _concepts(self, model: str, layer: int) -> pa.Table:
        return self.store.concepts(model, layer).combine_chunks()

    def _tokens(self, model: str, layer: int) -> Tokens:
        table = self.store.occurrences(model, layer)
        owner = pc.index_in(table["concept"], value_set=self.concepts(model, layer)["concept"])
        if owner.null_count:
            raise InputError(f"{self.store.path}, layer {layer} of {model}: has tokens of a concept that it lacks")
        words = table["word"].combine_chunks().dictionary_encode()
        return Tokens(
            owner=owner.to_numpy().astype(np.int64),
            sentences=table["sentence"].to_numpy().astype(np.int64),
            positions=table["position"].to_numpy().astype(np.int64),
            types=words.dictionary.to_pylist(),
            codes=words.indices.to_numpy().astype(np.int64),
        )

    def _tree(self, model: str, layer: int) -> Tree | None:
        if not self._file("trees", model, layer):
            return None
        owner = self.tokens(model, layer).owner
        try:
            return Tree.of(self.store.linkage(model, layer), owner)
        except ValueError as error:
            raise InputError(f"{self.store.path}, tree of layer {layer} of {model}: {error}; build it again") from error

    def _centroids(self, model: str, layer: int) -> np.ndarray | None:
        """Give the mean vector of each concept, float64 of shape (concepts, width); None where there are no vectors."""
        owner = self.tokens(model, layer).owner
        try:
            vectors = self.store.vectors(model, layer)
        except InputError:
            return None
        if len(vectors) != len(owner):
            return None
        count = len(self.concepts(model, layer))
        sums = np.zeros((count, vectors.shape[1]))
        for start in range(0, len(owner), _CHUNK):
            part = slice(start, start + _CHUNK)
            np.add.at(sums, owner[part], np.asarray(vectors[part], dtype=np.float64))
        centroids: np.ndarray = sums / np.maximum(np.bincount(owner, minlength=count), 1)[:, None]
        return centroids

    def _annotations(self, model: str, layer: int) -> pa.Table | None:
        return self.store.annotations(model, layer) if self._file("annotations", model, layer) else None

    def _file(self, table: str, model: str, layer: int) -> bool:
        return (self.store.path / table / slug(model) / layer_file(layer)).exists()
