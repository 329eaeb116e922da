"""What annotators are asked about: gold items, or the concepts of a store, with words held out to test labels on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conceptbench.benchmark.items import GoldItem, draw_items
from conceptbench.benchmark.lexicon import GoldConcept, lineages
from conceptbench.builders.annotate import ConceptView
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.similarity import Similarity

SHOWN_CONTEXTS = 5
"""Sentences kept with an item for raters, judges and examples."""

_NEIGHBOURS = 3
_TESTED = 12
_FEWEST_WORDS = 4
_PROTOTYPE_WORDS = 12


@dataclass(frozen=True)
class Item:
    """A concept as annotators are asked about it.

    `words` with their counts and `contexts` are what an annotator sees. `held_out` are words of the concept that it
    never sees, `strangers` words of the concept's nearest neighbours. `kind` and `purity` are those of gold items,
    `model`, `layer` and `size` (tokens) those of a store's concepts.
    """

    item: str
    concept: str
    words: tuple[tuple[str, int], ...]
    contexts: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    kind: str | None = None
    purity: float | None = None
    model: str | None = None
    layer: int | None = None
    size: int | None = None

    @property
    def view(self) -> ConceptView:
        """What an annotator sees; recorded labels are looked up by the item's name."""
        return ConceptView(self.item, self.words, self.contexts)


@dataclass(frozen=True)
class Layer:
    """The concepts of a layer: their views, sizes in tokens, and how many sentences are kept of each."""

    model: str
    layer: int
    views: Sequence[ConceptView]
    sizes: Mapping[str, int]
    contexts: int


def gold_items(
    lexicon: Mapping[str, GoldConcept],
    similarity: Similarity,
    *,
    split: str | None,
    purities: Sequence[float],
    seed: int,
    limit: int | None,
) -> list[Item]:
    """Draw gold items; `limit` counts concepts, drawn by the seed.

    Strangers are words of the nearest concepts of the same kind, outside the concept's own line of ancestors and
    descendants, by the mean vector of their words.

    Raises
    ------
    InputError
        if the split has no concepts, or the limit is below 1.
    """
    items = draw_items(lexicon, split=split, purities=purities, seed=seed)  # type: ignore[arg-type]
    concepts = set(limited(sorted({item.concept for item in items}), limit, seed))
    items = [item for item in items if item.concept in concepts]
    if not items:
        raise InputError(f"--split {split}: there are no gold items in it")
    nearest = _nearest_gold(lexicon, concepts, similarity)
    return [_gold_item(item, lexicon, nearest[item.concept]) for item in items]


def store_items(layers: Sequence[Layer], similarity: Similarity, *, seed: int, limit: int | None) -> list[Item]:
    """Take the concepts of a store; `limit` concepts are drawn by the seed, over all the layers.

    A third of a concept's words, and at most 12, are held out, each in all its spellings; a concept of fewer than four
    words keeps all of them. Strangers are words of the nearest concepts of its layer, by the mean vector of its words.

    Raises
    ------
    InputError
        if there are no concepts.
    """
    concepts = set(limited([view.concept for layer in layers for view in layer.views], limit, seed))
    if not concepts:
        raise InputError("--store: the store has no concepts")
    return [
        item
        for layer in layers
        if concepts.intersection(layer.sizes)
        for item in _layer_items(layer, concepts, similarity, seed)
    ]


def limited(names: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """Draw `limit` of the names by the seed; all where it is None.

    Raises
    ------
    InputError
        if the limit is below 1.

    Examples
    --------
    >>> limited(["a", "b", "c"], None, seed=0)
    ['a', 'b', 'c']
    >>> len(limited(["a", "b", "c"], 2, seed=0))
    2
    """
    if limit is None:
        return list(names)
    if limit < 1:
        raise InputError(f"--limit {limit}: give a number of concepts")
    return [names[i] for i in np.random.default_rng(seed).permutation(len(names))[:limit]]


class _Nearest:
    """The nearest of a group of concepts, by the mean vector of (at most 12 of) their words."""

    def __init__(self, words: Mapping[str, Sequence[str]], similarity: Similarity) -> None:
        self._row = {concept: row for row, concept in enumerate(words)}
        lists = [list(members[:_PROTOTYPE_WORDS]) for members in words.values()]
        similarity.centre_on([word for members in lists for word in members])
        self._prototypes = similarity.prototypes(lists)

    def of(self, concept: str, candidates: Sequence[str]) -> list[str]:
        closeness = self._prototypes @ self._prototypes[self._row[concept]]
        return sorted(candidates, key=lambda candidate: -closeness[self._row[candidate]])[:_NEIGHBOURS]


def _nearest_gold(
    lexicon: Mapping[str, GoldConcept], concepts: set[str], similarity: Similarity
) -> dict[str, list[str]]:
    """Give the nearest concepts of the same kind of each concept, outside its line."""
    lines = lineages(lexicon)
    nearest = {}
    similarity.learn([word for concept in lexicon.values() for word in concept.words[:_PROTOTYPE_WORDS]], lasting=True)
    for kind in sorted({lexicon[concept].kind for concept in concepts}):
        group = {concept.id: concept.words for concept in lexicon.values() if concept.kind == kind}
        near = _Nearest(group, similarity)
        for concept in sorted(concepts & set(group)):
            nearest[concept] = near.of(concept, [name for name in group if name not in lines[concept]])
    return nearest


def _gold_item(item: GoldItem, lexicon: Mapping[str, GoldConcept], nearest: Sequence[str]) -> Item:
    concept = lexicon[item.concept]
    generator = generator_of("tested", item.item)
    near_words = [
        word
        for neighbour in nearest
        for word in sample(lexicon[neighbour].words, len(lexicon[neighbour].words), generator)
        if word not in concept.words
    ]
    # A word that was shown as an intruder would test the reading of the list, not the label.
    unseen = [word for word in near_words if word not in item.words]
    held_out = sample(item.held_out, _TESTED, generator)
    return Item(
        item=item.item,
        concept=concept.id,
        words=tuple((word, 1) for word in item.words),
        contexts=concept.sentences,
        held_out=tuple(held_out),
        strangers=tuple(sample(list(dict.fromkeys(unseen)), _TESTED, generator)),
        kind=concept.kind,
        purity=item.purity,
    )


def _layer_items(layer: Layer, concepts: set[str], similarity: Similarity, seed: int) -> list[Item]:
    words = {view.concept: tuple(word for word, _ in view.words) for view in layer.views}
    near = _Nearest(words, similarity)
    items = []
    for view in layer.views:
        if view.concept not in concepts:
            continue
        neighbours = near.of(view.concept, [name for name in words if name != view.concept])
        strangers = [word for name in neighbours for word in words[name] if word not in words[view.concept]]
        item = _hold_out(view, list(dict.fromkeys(strangers)), layer.contexts, seed)
        items.append(replace(item, model=layer.model, layer=layer.layer, size=layer.sizes[view.concept]))
    return items


def _hold_out(view: ConceptView, strangers: Sequence[str], contexts: int, seed: int) -> Item:
    generator = generator_of("held out", seed, view.concept)
    # "The" shown gives "the" away, so the spellings of a word go together.
    folded = list(dict.fromkeys(word.casefold() for word, _ in view.words))
    count = min(len(folded) // 3, _TESTED) if len(folded) >= _FEWEST_WORDS else 0
    hidden_forms = set(sample(folded, count, generator)) if count else set()
    hidden = {word for word, _ in view.words if word.casefold() in hidden_forms}
    held_out = tuple(word for word, _ in view.words if word in hidden)
    return Item(
        item=view.concept,
        concept=view.concept,
        words=tuple((word, count) for word, count in view.words if word not in hidden),
        contexts=tuple(text for text in view.contexts if hidden.isdisjoint(text.split(" ")))[:contexts],
        held_out=held_out,
        strangers=tuple(sample(strangers, _TESTED, generator)) if held_out else (),
    )
