"""Which words belong to which gold concepts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from conceptbench.benchmark.lexicon import GoldConcept, ancestors


@dataclass(frozen=True, eq=False)
class Membership:
    """The tokens of a layer, and the gold concepts of each.

    A word of the lexicon may be written in two ways that belong to different concepts ("Turkey", "turkey"). So tokens
    are counted by *unit*: one word type, case folded, with one set of gold concepts.

    Attributes
    ----------
    gold : the concepts of the lexicon, in its order.
    depth : of each, how many concepts are wider.
    types : of each token, its word type, case folded; int64 of shape (tokens,).
    unit : of each token, its unit; -1 for a word that the lexicon does not have; int64 of shape (tokens,).
    words : the word type of each unit.
    members : bool of shape (units, gold concepts), sparse: the unit belongs to the concept or to a narrower one.
    narrowest : of each unit, the concepts (as columns of `members`) that have it in their own list and no narrower
        concept that has it too.
    """

    gold: Sequence[GoldConcept]
    depth: Sequence[int]
    types: np.ndarray
    unit: np.ndarray
    words: Sequence[str]
    members: sparse.csr_array
    narrowest: Sequence[Sequence[int]]


def membership(words: Sequence[str], lexicon: Mapping[str, GoldConcept]) -> Membership:
    """Look up the tokens' words in a lexicon.

    A lexicon's word that begins with a small letter is also met with a capital one, as at the start of a sentence;
    not in concepts of orthography, where spelling is what counts. One with capitals must stand as it is.
    """
    gold = list(lexicon.values())
    lists = _lists(gold)
    column = {concept.id: place for place, concept in enumerate(gold)}
    wider = [frozenset(column[one.id] for one in ancestors(concept, lexicon)) for concept in gold]
    forms = list(dict.fromkeys(words))
    folded = {word: place for place, word in enumerate(dict.fromkeys(form.casefold() for form in forms))}
    units: dict[tuple[str, tuple[int, ...]], int] = {}
    unit_of, type_of = {}, {}
    for form in forms:
        type_of[form] = folded[form.casefold()]
        own = _own(form, lists, gold)
        unit_of[form] = units.setdefault((form.casefold(), own), len(units)) if own else -1
    pairs = [
        (row, place)
        for (_, own), row in units.items()
        for place in sorted(set(own).union(*(wider[place] for place in own)))
    ]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Membership(
        gold=gold,
        depth=[len(above) for above in wider],
        types=np.array([type_of[word] for word in words], dtype=np.int64),
        unit=np.array([unit_of[word] for word in words], dtype=np.int64),
        words=[word for word, _ in units],
        members=sparse.csr_array((np.ones(len(pairs), dtype=np.int64), (rows, columns)), (len(units), len(gold))),
        narrowest=[_narrowest(own, wider) for _, own in units],
    )


def _lists(gold: Sequence[GoldConcept]) -> Mapping[str, Sequence[int]]:
    lists: defaultdict[str, list[int]] = defaultdict(list)
    for place, concept in enumerate(gold):
        for word in dict.fromkeys(concept.words):
            lists[word].append(place)
    return lists


def _own(form: str, lists: Mapping[str, Sequence[int]], gold: Sequence[GoldConcept]) -> tuple[int, ...]:
    found = set(lists.get(form, ()))
    small = form.lower()
    if form == small.capitalize() != small:
        found.update(place for place in lists.get(small, ()) if gold[place].kind != "orthography")
    return tuple(sorted(found))


def _narrowest(own: Sequence[int], wider: Sequence[frozenset[int]]) -> list[int]:
    above = frozenset[int]().union(*(wider[place] for place in own))
    return [place for place in own if place not in above]
