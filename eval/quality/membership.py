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
    depth : how many concepts are wider, for each concept.
    types : the word type, case folded, of each token; int64 of shape (tokens,).
    unit : the unit of each token; -1 for a word that the lexicon does not have; int64 of shape (tokens,).
    words : the word type of each unit.
    members : bool of shape (units, gold concepts), sparse: the unit belongs to the concept or to a narrower one.
    narrowest : for each unit, the concepts (as columns of `members`) that list it themselves, where no narrower concept
        lists it too.
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

    A lexicon's word that begins with a small letter is also found with a capital one, as at the start of a sentence;
    not in concepts of orthography, where spelling is what counts. A word with capitals is found in this spelling alone.
    """
    gold = list(lexicon.values())
    lists = _lists(gold)
    column_of = {concept.id: column for column, concept in enumerate(gold)}
    wider = [frozenset(column_of[above.id] for above in ancestors(concept, lexicon)) for concept in gold]
    forms = list(dict.fromkeys(words))
    folded = {word: number for number, word in enumerate(dict.fromkeys(form.casefold() for form in forms))}
    units: dict[tuple[str, tuple[int, ...]], int] = {}
    unit_of, type_of = {}, {}
    for form in forms:
        type_of[form] = folded[form.casefold()]
        columns_of_form = _columns_of(form, lists, gold)
        unit = (form.casefold(), columns_of_form)
        unit_of[form] = units.setdefault(unit, len(units)) if columns_of_form else -1
    pairs = [
        (row, column)
        for (_, listed), row in units.items()
        for column in sorted(set(listed).union(*(wider[column] for column in listed)))
    ]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Membership(
        gold=gold,
        depth=[len(above) for above in wider],
        types=np.array([type_of[word] for word in words], dtype=np.int64),
        unit=np.array([unit_of[word] for word in words], dtype=np.int64),
        words=[word for word, _ in units],
        members=sparse.csr_array((np.ones(len(pairs), dtype=np.int64), (rows, columns)), (len(units), len(gold))),
        narrowest=[_narrowest(listed, wider) for _, listed in units],
    )


def _lists(gold: Sequence[GoldConcept]) -> Mapping[str, Sequence[int]]:
    """Give the columns of the concepts that list each word."""
    lists: defaultdict[str, list[int]] = defaultdict(list)
    for column, concept in enumerate(gold):
        for word in dict.fromkeys(concept.words):
            lists[word].append(column)
    return lists


def _columns_of(form: str, lists: Mapping[str, Sequence[int]], gold: Sequence[GoldConcept]) -> tuple[int, ...]:
    """Give the columns of the concepts that a spelling belongs to by their lists."""
    columns = set(lists.get(form, ()))
    small = form.lower()
    if form == small.capitalize() != small:
        columns.update(column for column in lists.get(small, ()) if gold[column].kind != "orthography")
    return tuple(sorted(columns))


def _narrowest(columns: Sequence[int], wider: Sequence[frozenset[int]]) -> list[int]:
    """Leave out the concepts that are wider than another one of them."""
    above = frozenset[int]().union(*(wider[column] for column in columns))
    return [column for column in columns if column not in above]
