"""Concepts that are near to one another: in their layer, and across layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow.compute as pc

from conceptbench.leaderboard.browse.layers import Entry, Layers

NEAREST: Final = 10

Measure = Literal["distance", "words", "tokens"]


@dataclass(frozen=True)
class Near:
    """A concept, and how near it is: a distance between mean vectors, or a share of words or tokens."""

    entry: Entry
    value: float
    measure: Measure


def in_layer(layers: Layers, model: str, layer: int, row: int) -> list[Near]:
    """Give the concepts that are nearest to one of their layer, nearest first.

    They are ordered by the Euclidean distance between mean vectors. Where the store has no vectors, they are ordered by
    shared words: the number of words that both concepts have, divided by the number that either has.

    Parameters
    ----------
    row : of the concept in the layer's table.
    """
    centroids = layers.centroids(model, layer)
    if centroids is not None:
        values = np.sqrt(np.square(centroids - centroids[row]).sum(axis=1))
        measure: Measure = "distance"
        order = np.argsort(values, kind="stable")
    else:
        values = _shared_words(layers, model, layer, row)
        measure = "words"
        order = np.argsort(-values, kind="stable")
    ranked = [rival for rival in order.tolist() if rival != row and (measure == "distance" or values[rival] > 0)]
    return [Near(layers.entry(model, layer, rival), float(values[rival]), measure) for rival in ranked[:NEAREST]]


def in_other_layers(layers: Layers, model: str, layer: int, row: int) -> list[Near]:
    """Give, of each other layer of the model, the concept that shares most tokens with one.

    The value is the number of shared tokens divided by the number of tokens that either concept has.

    Parameters
    ----------
    row : of the concept in the layer's table.
    """
    tokens = layers.tokens(model, layer)
    concept = tokens.locations[tokens.owner == row]
    nearest = []
    for second in layers.store.layers(model):
        if second == layer:
            continue
        second_tokens = layers.tokens(model, second)
        count = len(layers.concepts(model, second))
        shared = np.bincount(second_tokens.owner[np.isin(second_tokens.locations, concept)], minlength=count)
        shares = shared / (len(concept) + np.bincount(second_tokens.owner, minlength=count) - shared)
        best = int(np.argmax(shares))
        if shares[best] > 0:
            nearest.append(Near(layers.entry(model, second, best), float(shares[best]), "tokens"))
    return nearest


def _shared_words(layers: Layers, model: str, layer: int, row: int) -> np.ndarray:
    """Give the share of words that each concept of the layer has in common with one, float64 of shape (concepts,)."""
    words = layers.concepts(model, layer)["words"].combine_chunks()
    owner = pc.list_parent_indices(words).to_numpy()
    codes = words.flatten().field("word").dictionary_encode().indices.to_numpy()
    concept = np.unique(codes[owner == row])
    counts = np.bincount(owner, minlength=len(words))
    shared = np.bincount(owner[np.isin(codes, concept)], minlength=len(words))
    shares: np.ndarray = shared / np.maximum(len(concept) + counts - shared, 1)
    return shares
