"""What annotators are asked about: gold items, or the concepts of a store, with words held out to test labels on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conceptbench.benchmark.items import draw_items
from conceptbench.benchmark.lexicon import GoldConcept, ancestors
from conceptbench.benchmark.schema import slug
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
    """A concept as it is asked.

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
        """What an annotator sees; its own labels in files go by the concept's id, or the item's."""
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
    drawn = draw_items(lexicon, split=split, purities=purities, seed=seed)  # type: ignore[arg-type]
    kept = set(limited(sorted({item.concept for item in drawn}), limit, seed))
    chosen = [item for item in drawn if item.concept in kept]
    if not chosen:
        raise InputError(f"--split {split}: there are no gold items in it")
    lines = {concept.id: {wide.id for wide in ancestors(concept, lexicon)} for concept in lexicon.values()}
    nearest = {}
    similarity.learn([w for c in lexicon.values() for w in c.words[:_PROTOTYPE_WORDS]])
    for kind in sorted({lexicon[concept].kind for concept in kept}):
        group = {concept.id: concept.words for concept in lexicon.values() if concept.kind == kind}
        near = _Nearest(group, similarity)
        for name in sorted(kept & set(group)):
            apart = [
                other for other in group if other != name and other not in lines[name] and name not in lines[other]
            ]
            nearest[name] = near.of(name, apart)
    items = []
    for item in chosen:
        concept = lexicon[item.concept]
        generator = generator_of("tested", item.item)
        near_words = [
            word
            for other in nearest[concept.id]
            for word in sample(lexicon[other].words, len(lexicon[other].words), generator)
            if word not in concept.words
        ]
        # What was shown as an intruder would test the reading of the list, not the label.
        unseen = [word for word in near_words if word not in item.words]
        held_out = sample(item.held_out, _TESTED, generator)
        items.append(
            Item(
                item=item.item,
                concept=concept.id,
                words=tuple((word, 1) for word in item.words),
                contexts=concept.sentences,
                held_out=tuple(held_out),
                strangers=tuple(sample(list(dict.fromkeys(unseen)), _TESTED, generator)),
                kind=concept.kind,
                purity=item.purity,
            )
        )
    return items


def store_items(layers: Sequence[Layer], similarity: Similarity, *, seed: int, limit: int | None) -> list[Item]:
    """Take the concepts of a store; `limit` concepts are drawn by the seed, over all the layers.

    A third of a concept's words, and at most 12, are held out, each in all its spellings; a concept of fewer than four
    words keeps all of them. Strangers are words of the nearest concepts of its layer, by the mean vector of its words.

    Raises
    ------
    InputError
        if there are no concepts.
    """
    kept = set(limited([view.concept for layer in layers for view in layer.views], limit, seed))
    if not kept:
        raise InputError("--store: the store has no concepts")
    items = []
    for layer in layers:
        if not kept.intersection(layer.sizes):
            continue
        words = {view.concept: tuple(word for word, _ in view.words) for view in layer.views}
        near = _Nearest(words, similarity)
        for view in layer.views:
            if view.concept in kept:
                others = near.of(view.concept, [other for other in words if other != view.concept])
                strangers = [w for other in others for w in words[other] if w not in words[view.concept]]
                item = _hold_out(view, list(dict.fromkeys(strangers)), layer.contexts, seed)
                items.append(replace(item, model=layer.model, layer=layer.layer, size=layer.sizes[view.concept]))
    return items


def limited(names: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """Draw `limit` of the names by the seed; all where it is None.

    Raises
    ------
    InputError
        if the limit is below 1.
    """
    if limit is None:
        return list(names)
    if limit < 1:
        raise InputError(f"--limit {limit}: give a number of concepts")
    return [names[i] for i in np.random.default_rng(seed).permutation(len(names))[:limit]]


def layer_group(item_model: str, layer: int, models: int) -> str:
    """Name a layer in a breakdown: `L03`, with the model before it where there are several."""
    return f"L{layer:02d}" if models == 1 else f"{slug(item_model)}-L{layer:02d}"


class _Nearest:
    """The nearest of a group of concepts, by the mean vector of (at most 12 of) their words."""

    def __init__(self, words: Mapping[str, Sequence[str]], similarity: Similarity) -> None:
        self._row = {concept: row for row, concept in enumerate(words)}
        lists = [list(own[:_PROTOTYPE_WORDS]) for own in words.values()]
        similarity.centre_on([word for own in lists for word in own])
        self._prototypes = similarity.prototypes(lists)

    def of(self, concept: str, candidates: Sequence[str]) -> list[str]:
        closeness = self._prototypes @ self._prototypes[self._row[concept]]
        return sorted(candidates, key=lambda other: -closeness[self._row[other]])[:_NEIGHBOURS]


def _hold_out(view: ConceptView, strangers: Sequence[str], contexts: int, seed: int) -> Item:
    generator = generator_of("held out", seed, view.concept)
    # "The" shown gives "the" away, so the spellings of a word go together.
    folded = list(dict.fromkeys(word.casefold() for word, _ in view.words))
    chosen = set(sample(folded, min(len(folded) // 3, _TESTED), generator)) if len(folded) >= _FEWEST_WORDS else set()
    hidden = {word for word, _ in view.words if word.casefold() in chosen}
    held_out = [word for word, _ in view.words if word in hidden]
    return Item(
        item=view.concept,
        concept=view.concept,
        words=tuple((word, count) for word, count in view.words if word not in hidden),
        contexts=tuple(text for text in view.contexts if hidden.isdisjoint(text.split(" ")))[:contexts],
        held_out=tuple(held_out),
        strangers=tuple(sample(strangers, _TESTED, generator)) if held_out else (),
    )
