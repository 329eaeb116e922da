"""Planted controls: labels of gold items that are known to be right, or wrong in a stated way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from conceptbench.benchmark.items import draw_items
from conceptbench.benchmark.lexicon import GoldConcept, Split, ancestors
from conceptbench.eval.annotation.items import Item
from conceptbench.eval.annotation.records import Record, control_record
from conceptbench.runtime.draws import generator_of

RIGHT: Final = "right"
ERRORS: Final = ("near", "far", "general", "stuffed")
"""The label of a concept nearby; of one of another kind; one that fits any list; the right one among many topics."""

CONTROLS: Final = 30
"""Controls of each type by default: half of them select the judges, half measure them."""

HALVES: Final = ("select", "measure")
_GENERAL = (
    "words",
    "various words",
    "common words",
    "general vocabulary",
    "things",
    "different things",
    "terms",
    "a group of related words",
    "language",
    "items",
)


def plant(
    lexicon: Mapping[str, GoldConcept], *, split: Split, purities: Sequence[float], count: int, seed: int
) -> list[Record]:
    """Make `count` controls of each type (or as many as there are concepts), each on a concept of its own.

    They are drawn from another split than the items, at the same purities, and each half of them goes to one use.
    """
    items = [draw_items(lexicon, split=split, purities=[purity], seed=seed) for purity in purities]
    generator = generator_of("controls", seed)
    order = generator.permutation(len(items[0]))
    types = (RIGHT, *ERRORS)
    labels: dict[str, Callable[[GoldConcept], str]] = {
        RIGHT: lambda concept: concept.name,
        "near": lambda concept: _near(concept, lexicon, generator),
        "far": lambda concept: _far(concept, lexicon, generator).name,
        "general": lambda _concept: _GENERAL[int(generator.integers(len(_GENERAL)))],
        "stuffed": lambda concept: _stuffed(concept, lexicon, generator),
    }
    records = []
    for number, row in enumerate(order[: count * len(types)]):
        control = types[number % len(types)]
        # Over the numbers of one type, halves alternate, and each purity stands in both of them.
        turn = number // len(types)
        item = items[turn // len(HALVES) % len(purities)][row]
        concept = lexicon[item.concept]
        asked = Item(
            item=f"control/{control}/{item.item}",
            concept=concept.id,
            words=tuple((word, 1) for word in item.words),
            contexts=concept.sentences,
            kind=concept.kind,
            purity=item.purity,
        )
        records.append(control_record(asked, labels[control](concept), control, HALVES[turn % len(HALVES)]))
    return records


def _near(concept: GoldConcept, lexicon: Mapping[str, GoldConcept], generator: np.random.Generator) -> str:
    """Name a sibling, or else a concept of the same kind, that is neither wider nor narrower."""
    apart = _apart(concept, lexicon)
    siblings = [other for other in apart if other.parent is not None and other.parent == concept.parent]
    near = siblings or [other for other in apart if other.kind == concept.kind]
    return near[int(generator.integers(len(near)))].name


def _far(concept: GoldConcept, lexicon: Mapping[str, GoldConcept], generator: np.random.Generator) -> GoldConcept:
    far = [other for other in _apart(concept, lexicon) if other.kind != concept.kind]
    return far[int(generator.integers(len(far)))]


def _stuffed(concept: GoldConcept, lexicon: Mapping[str, GoldConcept], generator: np.random.Generator) -> str:
    names = [concept.name, *(_far(concept, lexicon, generator).name for _ in range(3))]
    return ", ".join(names[i] for i in generator.permutation(len(names)))


def _apart(concept: GoldConcept, lexicon: Mapping[str, GoldConcept]) -> list[GoldConcept]:
    """Give the concepts whose name is wrong for this one: outside its line, and taken by neither pattern."""
    line = {wide.id for wide in ancestors(concept, lexicon)} | {concept.id}
    return [
        other
        for other in lexicon.values()
        if other.id not in line
        and concept.id not in {wide.id for wide in ancestors(other, lexicon)}
        and not concept.accepts(other.name)
    ]
