"""Planted controls: labels of gold items that are known to be right, or wrong in a stated way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from conceptbench.benchmark.items import draw_items
from conceptbench.benchmark.lexicon import GoldConcept, Split, lineages
from conceptbench.eval.annotation.items import Item
from conceptbench.eval.annotation.records import Record, control_record
from conceptbench.runtime.draws import generator_of

RIGHT: Final = "right"
ERRORS: Final = ("near", "far", "general", "stuffed")
"""The label of a concept nearby; of one of another kind; one that fits any list; the right one among many topics."""

SELECT: Final = "select"
MEASURE: Final = "measure"
HALVES: Final = (SELECT, MEASURE)

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

    They are drawn at the same purities as the items that they go with, whose split should be the one not named here.
    Half of the controls of each type and purity are to select the judges, half to measure them.
    """
    items = [draw_items(lexicon, split=split, purities=[purity], seed=seed) for purity in purities]
    generator = generator_of("controls", seed)
    order = generator.permutation(len(items[0]))
    types = (RIGHT, *ERRORS)
    lines = lineages(lexicon)
    labels: dict[str, Callable[[GoldConcept], str]] = {
        RIGHT: lambda concept: concept.name,
        "near": lambda concept: _near(concept, _apart(concept, lexicon, lines), generator),
        "far": lambda concept: _far(concept, _apart(concept, lexicon, lines), generator).name,
        "general": lambda _concept: _GENERAL[int(generator.integers(len(_GENERAL)))],
        "stuffed": lambda concept: _stuffed(concept, _apart(concept, lexicon, lines), generator),
    }
    records = []
    for number, row in enumerate(order[: count * len(types)]):
        control = types[number % len(types)]
        # Over the controls of one type, the halves alternate, and each purity is in both of them.
        turn = number // len(types)
        item = items[turn // len(HALVES) % len(purities)][row]
        concept = lexicon[item.concept]
        planted = Item(
            item=f"control/{control}/{item.item}",
            concept=concept.id,
            words=tuple((word, 1) for word in item.words),
            contexts=concept.sentences,
            kind=concept.kind,
            purity=item.purity,
        )
        records.append(control_record(planted, labels[control](concept), control, HALVES[turn % len(HALVES)]))
    return records


def _near(concept: GoldConcept, apart: Sequence[GoldConcept], generator: np.random.Generator) -> str:
    """Name a sibling, or else a concept of the same kind, that is neither wider nor narrower."""
    siblings = [rival for rival in apart if rival.parent is not None and rival.parent == concept.parent]
    near = siblings or [rival for rival in apart if rival.kind == concept.kind]
    return near[int(generator.integers(len(near)))].name


def _far(concept: GoldConcept, apart: Sequence[GoldConcept], generator: np.random.Generator) -> GoldConcept:
    """Draw a concept of another kind."""
    far = [rival for rival in apart if rival.kind != concept.kind]
    return far[int(generator.integers(len(far)))]


def _stuffed(concept: GoldConcept, apart: Sequence[GoldConcept], generator: np.random.Generator) -> str:
    """Put the right name among those of three concepts of other kinds, in random order."""
    names = [concept.name, *(_far(concept, apart, generator).name for _ in range(3))]
    return ", ".join(names[i] for i in generator.permutation(len(names)))


def _apart(
    concept: GoldConcept, lexicon: Mapping[str, GoldConcept], lines: Mapping[str, set[str]]
) -> list[GoldConcept]:
    """Give the concepts whose name is wrong for this one: outside its line, and not taken by its pattern."""
    return [
        rival for rival in lexicon.values() if rival.id not in lines[concept.id] and not concept.accepts(rival.name)
    ]
