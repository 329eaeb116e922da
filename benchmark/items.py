"""Gold items: word lists drawn from the lexicon by seed, so that fresh ones never run out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conceptbench.benchmark.lexicon import PURITIES, GoldConcept, Split, lineages
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError

SHOWN: Final = 12
"""Words in a list: at a purity of 0.9 one of them is an intruder, at 0.75 three."""


@dataclass(frozen=True)
class GoldItem:
    """A word list whose right name is known.

    `words` is what an annotator sees, in random order, `intruders` those of them that belong to `near` and not to
    `concept`; `held_out` are the concept's other words, never shown. `near` is None where there is no intruder.
    No word shown is itself a right label, so copying words from the list names nothing.
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
    """Draw one item a concept and purity.

    A concept's draw depends on the seed, the concept and those near it alone: adding concepts elsewhere
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
        _draw(concept, purity, shown, seed, _near(concept, lexicon, lines, seed))
        for concept in chosen
        for purity in purities
    ]


def _draw(concept: GoldConcept, purity: float, shown: int, seed: int, near: Sequence[GoldConcept]) -> GoldItem:
    generator = generator_of("item", seed, concept.id, purity)
    wanted = round((1.0 - purity) * shown)
    source, strange = None, []
    for other in near if wanted else ():
        strange = [word for word in other.words if word not in concept.words and not concept.accepts(word)]
        if len(strange) >= wanted:
            source = other
            break
    intruders = sample(strange, wanted, generator) if source is not None else []
    own = sample(_shy(concept), shown - len(intruders), generator)
    held_out = [word for word in concept.words if word not in own]
    return GoldItem(
        item=f"{concept.id}@{purity:g}/{seed}",
        concept=concept.id,
        purity=purity,
        words=tuple(sample([*own, *intruders], shown, generator)),
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
    outside = [other for other in lexicon.values() if other.kind == concept.kind and other.id not in lines[concept.id]]
    rank = {other.id: generator_of("near", seed, concept.id, other.id).random() for other in outside}
    return sorted(outside, key=lambda other: (other.parent is None or other.parent != concept.parent, rank[other.id]))
