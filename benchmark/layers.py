"""The layers of a concept store as the tasks on word vectors read them: vectors, word types, sentences, concepts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conceptbench.benchmark.schema import parse_layers
from conceptbench.benchmark.store import ConceptStore
from conceptbench.runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class Layer:
    """The tokens of one layer of a model, with the concept of each.

    Attributes
    ----------
    vectors : float32 of shape (tokens, width), mapped from disk.
    words : the tokens' word types: their words, case folded; object array of shape (tokens,).
    sentences : the tokens' sentences, int64 of shape (tokens,).
    concepts : the ids of the layer's concepts, in the order of their clusters.
    labels : the label of each concept; None where it has none.
    index : the number of each token's concept among `concepts`, int64 of shape (tokens,).
    linkage : the merge tree in scipy's convention, shape (tokens - 1, 4).
    """

    model: str
    layer: int
    vectors: np.ndarray
    words: np.ndarray
    sentences: np.ndarray
    concepts: list[str]
    labels: list[str | None]
    index: np.ndarray
    linkage: np.ndarray


def layer_name(layer: int) -> str:
    """Name a layer in breakdowns and file names.

    Examples
    --------
    >>> layer_name(3)
    'L03'
    """
    return f"L{layer:02d}"


def read_layer(store: ConceptStore, model: str, layer: int) -> Layer:
    """Read a layer of a store.

    Raises
    ------
    InputError
        if the store lacks the layer, its vectors (which are kept only where a store was built) or its tree, or its
        tables do not fit each other.
    """
    vectors = store.vectors(model, layer)
    occurrences, concepts = store.occurrences(model, layer), store.concepts(model, layer)
    ids: list[str] = concepts["concept"].to_pylist()
    number_of = {concept: number for number, concept in enumerate(ids)}
    try:
        index = np.array([number_of[concept] for concept in occurrences["concept"].to_pylist()], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"{store.path}, layer {layer} of {model}: tokens of {error} which is no concept") from error
    if len(vectors) != len(index):
        raise InputError(
            f"{store.path}, layer {layer} of {model}: {len(vectors)} vectors of {len(index)} tokens; build it again"
        )
    words = np.array([word.casefold() for word in occurrences["word"].to_pylist()], dtype=object)
    return Layer(
        model=model,
        layer=layer,
        vectors=vectors,
        words=words,
        sentences=occurrences["sentence"].to_numpy(),
        concepts=ids,
        labels=concepts["label"].to_pylist(),
        index=index,
        linkage=store.linkage(model, layer),
    )


def chosen_model(store: ConceptStore, model: str | None) -> str:
    """Give the model that was named, or the store's only one.

    Raises
    ------
    InputError
        if it is not in the store, or none was named and there are several.
    """
    if model is None and len(store.models) == 1:
        return store.models[0]
    if model not in store.models:
        raise InputError(f"--model {model}: {store.path} has {', '.join(store.models)}; name one of them")
    return model


def chosen_layers(store: ConceptStore, model: str, layers: str) -> list[int]:
    """Read `all`, `0,3,6` or `2-5` as layers that the store has.

    Raises
    ------
    InputError
        if the text is none of these, or the store lacks a layer.
    """
    present = store.layers(model)
    if layers.strip() == "all":
        return present
    chosen = parse_layers(layers, store.manifest["models"][model]["layers_available"])
    if set(chosen) - set(present):
        raise InputError(f"--layers {layers}: {store.path} has layers {', '.join(map(str, present))} of {model}")
    return chosen
