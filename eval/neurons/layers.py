"""A layer of a store as the neurons task reads it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from conceptbench.benchmark.layers import Layer, read_layer
from conceptbench.benchmark.store import ConceptStore
from conceptbench.eval.methods.neurons.pairs import tokens_of
from conceptbench.eval.methods.neurons.vectors import Floats, Ints, checked_vectors, standard_deviations
from conceptbench.runtime.errors import InputError

_WORDS: Final = 12


@dataclass(frozen=True, eq=False)
class LayerNeurons:
    """A layer whose concepts and neurons can be compared.

    Attributes
    ----------
    layer : as in the store.
    where : its store, number and model, for errors.
    vectors : numbers (tokens, width), all finite.
    deviations : the standard deviation of each neuron over the tokens, float64 (width,).
    types : the word types of the layer, in order.
    type_of : the number of each token's word type, int64 (tokens,).
    """

    layer: Layer
    where: str
    vectors: NDArray[Any]
    deviations: Floats
    types: tuple[str, ...]
    type_of: Ints

    @classmethod
    def read(cls, store: ConceptStore, model: str, number: int) -> LayerNeurons:
        """Read a layer, and refuse one whose concepts or neurons cannot be told apart.

        Raises
        ------
        InputError
            if it has no tree, fewer than two concepts, a value that is not finite, or constant neurons alone.
        """
        where = f"{store.path}, layer {number} of {model}"
        if store.manifest["models"][model].get("clustering", "ward") != "ward":
            raise InputError(f"{where}: has no merge tree; build a store with --clustering ward")
        layer = read_layer(store, model, number)
        if len(np.unique(layer.index)) < 2:
            raise InputError(f"{where}: has one concept, and concepts are compared: build it with a larger -k")
        vectors = checked_vectors(np.asarray(layer.vectors), f"{where}: the vectors")
        deviations = standard_deviations(vectors)
        if not deviations.any():
            raise InputError(f"{where}: all neurons are the same for all tokens; build the store's vectors again")
        types, type_of = np.unique(layer.words.astype(str), return_inverse=True)
        return cls(layer, where, vectors, deviations, tuple(types.tolist()), type_of.astype(np.int64))

    @property
    def name(self) -> str:
        """The layer's name in the provenance, such as `L03`."""
        return f"L{self.layer.layer:02d}"

    @property
    def k(self) -> int:
        """The number of the layer's concepts."""
        return len(self.layer.concepts)

    @property
    def constant(self) -> int:
        """The number of neurons that have one value for all tokens."""
        return int((self.deviations == 0).sum())

    @cached_property
    def concepts(self) -> Ints:
        """The numbers of the concepts that have tokens."""
        return np.unique(self.layer.index)

    @cached_property
    def concept_of(self) -> Ints:
        """The position of each token's concept among those that have tokens, int64 (tokens,)."""
        return np.searchsorted(self.concepts, self.layer.index)

    @cached_property
    def rows_of_types(self) -> tuple[Ints, ...]:
        """The rows of the tokens of each word type."""
        return tokens_of(self.type_of, len(self.types))

    @cached_property
    def zscored(self) -> NDArray[Any]:
        """The vectors with each neuron divided by its standard deviation; a constant one is 0."""
        scale = np.where(self.deviations == 0, 0.0, 1 / np.where(self.deviations == 0, 1.0, self.deviations))
        return (self.vectors * scale.astype(np.float32)).astype(np.float32)

    def words(self, rows: Ints, without: Ints | None = None) -> tuple[str, ...]:
        """Give the most frequent word types of the tokens in `rows`, except for the tokens in `without`."""
        counts = np.bincount(self.type_of[rows], minlength=len(self.types))
        if without is not None:
            counts = counts - np.bincount(self.type_of[np.intersect1d(rows, without)], minlength=len(self.types))
        most_frequent = np.argsort(-counts, kind="stable")[:_WORDS]
        return tuple(self.types[number] for number in most_frequent.tolist() if counts[number] > 0)
