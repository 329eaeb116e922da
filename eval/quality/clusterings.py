"""The clusters of a layer of a store: its own concepts, and what other methods and other numbers of clusters give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from conceptbench.benchmark.schema import concept_id
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.clustering import MergeTree, kmeans
from conceptbench.builders.leaders import leaders_at
from conceptbench.runtime.errors import InputError

FACTORS: Final = (0.25, 0.5, 2.0, 4.0)
"""Of the study `k`: shares of the number of concepts that the layer has."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """A clustering of a layer's tokens.

    Attributes
    ----------
    method : by which the tokens were clustered.
    k : the number of clusters that the method was to find; leaders may find fewer.
    recut : whether k is another number than that of the layer's concepts.
    names : of the clusters.
    labels : the cluster of each token, int64 of shape (tokens,).
    """

    method: str
    k: int
    recut: bool
    names: Sequence[str]
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class StoreLayer:
    """A layer of a store as this task reads it.

    Attributes
    ----------
    words : of the tokens.
    concepts : the ids of the layer's concepts.
    index : the number of each token's concept among `concepts`, int64 of shape (tokens,).
    """

    store: ConceptStore
    model: str
    layer: int
    words: Sequence[str]
    concepts: Sequence[str]
    index: np.ndarray

    @property
    def where(self) -> str:
        """The layer's store, number and model, for error messages."""
        return f"{self.store.path}, layer {self.layer} of {self.model}"


def read_words(store: ConceptStore, model: str, layer: int) -> StoreLayer:
    """Read the words and concepts of a layer; vectors are not needed.

    Raises
    ------
    InputError
        if the layer is not there, or its tables do not fit each other.
    """
    occurrences = store.occurrences(model, layer)
    concepts: list[str] = store.concepts(model, layer)["concept"].to_pylist()
    number_of = {concept: number for number, concept in enumerate(concepts)}
    try:
        index = np.array([number_of[concept] for concept in occurrences["concept"].to_pylist()], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"{store.path}, layer {layer} of {model}: tokens of {error} which is no concept") from error
    if np.bincount(index, minlength=len(concepts)).min(initial=1) == 0:
        raise InputError(f"{store.path}, layer {layer} of {model}: a concept has no tokens; build it again")
    return StoreLayer(store, model, layer, occurrences["word"].to_pylist(), concepts, index)


def store_method(store: ConceptStore, model: str) -> str:
    """Name the method by which the store's concepts were found."""
    return str(store.manifest["models"][model].get("clustering", "store"))


def clusterings(layer: StoreLayer, methods: Sequence[str], study: bool, seed: int) -> Iterator[Clusters]:
    """Cluster a layer by each method into as many clusters as it has concepts; for the study, re-cut its tree too.

    Raises
    ------
    InputError
        if the store lacks what a method needs: vectors, or a merge tree.
    """
    stores_method, k = store_method(layer.store, layer.model), len(layer.concepts)
    for method in methods:
        if method == stores_method:
            yield Clusters(method, k, False, layer.concepts, layer.index)
        else:
            yield _named(layer, method, k, _clustered(layer, method, k, seed))
    if study:
        tree = _tree(layer, "--study k")
        for cut in sorted({max(2, round(factor * k)) for factor in FACTORS} - {k}):
            if cut <= len(layer.index):
                yield _named(layer, "ward", cut, tree.cut(cut))


def _clustered(layer: StoreLayer, method: str, k: int, seed: int) -> np.ndarray:
    if method == "ward":
        return _tree(layer, "--methods ward").cut(k)
    vectors = layer.store.vectors(layer.model, layer.layer)
    if len(vectors) != len(layer.index):
        raise InputError(f"{layer.where}: {len(vectors)} vectors of {len(layer.index)} tokens; build it again")
    return kmeans(vectors, k, seed) if method == "kmeans" else leaders_at(vectors, k)


def _tree(layer: StoreLayer, option: str) -> MergeTree:
    """Read the layer's merge tree, which an option needs."""
    method = store_method(layer.store, layer.model)
    if method != "ward":
        raise InputError(
            f"{option}: {layer.store.path} was clustered by {method} and has no merge trees; build a store with "
            "`--clustering ward`"
        )
    try:
        linkage = layer.store.linkage(layer.model, layer.layer)
    except InputError as error:
        raise InputError(f"{option} needs the layer's merge tree: {error}") from error
    if len(linkage) + 1 != len(layer.index):
        raise InputError(f"{layer.where}: a tree of {len(linkage) + 1} leaves for {len(layer.index)} tokens")
    return MergeTree(linkage)


def _named(layer: StoreLayer, method: str, k: int, labels: np.ndarray) -> Clusters:
    prefix, letter = concept_id(layer.model, layer.layer, 0).rpartition("/")[0], method if method != "ward" else "K"
    names = [f"{prefix}/{letter}{k}C{cluster:04d}" for cluster in range(int(labels.max()) + 1)]
    return Clusters(method, k, k != len(layer.concepts), names, labels)
