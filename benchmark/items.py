"""Gold items: word lists drawn from the lexicon by seed, so that there are always new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conceptbench.benchmark.lexicon import PURITIES, GoldConcept, Split, lineages
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError

SHOWN: Final = 12
"""The number of words in a list. At a purity of 0.9 one of them is an intruder, at 0.75 three are."""


@dataclass(frozen=True)
class GoldItem:
    """A word list whose right name is known.

    `words` is what an annotator sees, in random order. `intruders` are those of them that belong to the concept `near`
    and not to `concept`; `near` is None where there is no intruder. `held_out` are the other words of the concept,
    which are never shown. No word that is shown is itself a right label, so copying words from the list names nothing.
    """

    item: str
    concept: str
    purity: float
    words: tuple[str, ...]
    intruders: tuple[str, ...]
    near: str | None
    held_out: tuple[str, ...]


def draw_items(
    lexicon: Mapping[str, GoldConcept],
    *,
    split: Split | None = "test",
    purities: Sequence[float] = PURITIES,
    shown: int = SHOWN,
    seed: int = 0,
) -> list[GoldItem]:
    """Draw one item for each concept and purity.

    A concept's draw depends only on the seed, the concept and the concepts near it, so adding concepts elsewhere
    changes no other item. Intruders come from a concept with the same parent or, where there is none, of the
    same kind and outside the concept's own line of ancestors and descendants.

    Raises
    ------
    InputError
        if a purity is not within 0.5 .. 1, or lists of this length leave a concept no word to hold out.
    """
    if not all(0.5 <= purity <= 1.0 for purity in purities):
        raise InputError(f"purities {list(purities)}: give shares of a list from 0.5 to 1")
    chosen = [concept for concept in lexicon.values() if split in {None, concept.split}]
    short = [concept.id for concept in chosen if min(len(_shy(concept)), len(concept.words) - 1) < shown]
    if short or shown < 2:
        raise InputError(
            f"lists of {shown} words: give 2 or more, and fewer than the {short or 'smallest'} concept has"
        )
    lines = lineages(lexicon)
    return [
        _draw(concept, purity, shown, seed, near)
        for concept in chosen
        for near in [_near(concept, lexicon, lines, seed)]
        for purity in purities
    ]


def _draw(concept: GoldConcept, purity: float, length: int, seed: int, near: Sequence[GoldConcept]) -> GoldItem:
    generator = generator_of("item", seed, concept.id, purity)
    intruder_count = round((1.0 - purity) * length)
    source, strange = None, []
    for neighbour in near if intruder_count else ():
        strange = [word for word in neighbour.words if word not in concept.words and not concept.accepts(word)]
        if len(strange) >= intruder_count:
            source = neighbour
            break
    intruders = sample(strange, intruder_count, generator) if source is not None else []
    concept_words = sample(_shy(concept), length - len(intruders), generator)
    held_out = [word for word in concept.words if word not in concept_words]
    return GoldItem(
        item=f"{concept.id}@{purity:g}/{seed}",
        concept=concept.id,
        purity=purity,
        words=tuple(sample([*concept_words, *intruders], length, generator)),
        intruders=tuple(intruders),
        near=source.id if source is not None else None,
        held_out=tuple(held_out),
    )


def _shy(concept: GoldConcept) -> list[str]:
    """Give the words that do not give the answer away."""
    return [word for word in concept.words if not concept.accepts(word)]


def _near(
    concept: GoldConcept, lexicon: Mapping[str, GoldConcept], lines: Mapping[str, set[str]], seed: int
) -> list[GoldConcept]:
    """Give the concepts that intruders may come from: siblings first, each group in random order."""
    outside = [
        candidate
        for candidate in lexicon.values()
        if candidate.kind == concept.kind and candidate.id not in lines[concept.id]
    ]
    rank = {candidate.id: generator_of("near", seed, concept.id, candidate.id).random() for candidate in outside}
    return sorted(
        outside,
        key=lambda candidate: (candidate.parent is None or candidate.parent != concept.parent, rank[candidate.id]),
    )
