"""Labels held against gold names: whether they are right, and how similar they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np

from conceptbench.benchmark.lexicon import LANGUAGE_PREFIX, GoldConcept, lineages, load_language, load_lexicon
from conceptbench.eval.annotation.groups import Values
from conceptbench.eval.annotation.records import Record
from conceptbench.runtime.similarity import Similarity, bertscore
from conceptbench.runtime.text_encoder import TextEncoder

LONGEST_LABEL: Final = 80
MOST_WORDS: Final = 10


class GoldScorer:
    """Tells whether a label is right for a gold concept.

    A label fails, whatever it holds, if it is longer than 80 characters or 10 words, or if the pattern of an
    unrelated concept takes it too: one outside the concept's own line of ancestors and descendants and its siblings.
    """

    def __init__(self, lexicon: Mapping[str, GoldConcept]) -> None:
        self._lexicon = lexicon
        self._lines = lineages(lexicon)

    def matches(self, label: str | None, concept: GoldConcept) -> bool:
        """Tell whether the concept's pattern takes the label and the guard lets it pass."""
        if label is None or len(label) > LONGEST_LABEL or len(label.split()) > MOST_WORDS:
            return False
        if not concept.accepts(label):
            return False
        return not any(self._unrelated(rival, concept) and rival.accepts(label) for rival in self._lexicon.values())

    def includes(self, label: str | None, concept: GoldConcept) -> bool:
        """Tell whether the label holds the canonical name, case ignored: what a plain harness measures."""
        return label is not None and concept.name.casefold() in label.casefold()

    def in_line(self, first: str, second: str) -> bool:
        """Tell whether one concept is the other, or wider or narrower."""
        return second in self._lines[first]

    def _unrelated(self, rival: GoldConcept, concept: GoldConcept) -> bool:
        return not self.in_line(rival.id, concept.id) and (rival.parent is None or rival.parent != concept.parent)


def gold_of(record: Record) -> GoldConcept | None:
    """Give the gold concept of an item; None for a concept of a store, or one that the lexicon does not have."""
    return _lexicon(record).get(record.concept) if record.language is not None else None


def scorer_of(record: Record) -> GoldScorer:
    """Give the scorer over the lexicon that a gold item is from."""
    return _scorer(record.language or "", _small(record))


def gold_values(
    items: Sequence[Record], similarity: Similarity, token_encoder: TextEncoder | None
) -> dict[str, Values]:
    """Score `gold_match`, `gold_includes`, `gold_similarity` and `bertscore`; a missing label counts 0.

    Parameters
    ----------
    items : those without a gold concept have no values.
    similarity : its encoder gives `gold_similarity`.
    token_encoder : that of `bertscore`, which is left out where it is None.
    """
    gold = {number: concept for number, item in enumerate(items) if (concept := gold_of(item)) is not None}
    if not gold:
        return {}
    labels = {number: items[number].label for number in gold}
    scorers = {number: scorer_of(items[number]) for number in gold}
    values: dict[str, Values] = {
        "gold_match": {number: float(scorers[number].matches(labels[number], gold[number])) for number in gold},
        "gold_includes": {number: float(scorers[number].includes(labels[number], gold[number])) for number in gold},
    }
    pairs = {number: (label, gold[number].name) for number, label in labels.items() if label is not None}
    texts, names = [label for label, _ in pairs.values()], [name for _, name in pairs.values()]
    similarity.learn([*names, *texts])
    cosines = (similarity.vectors(texts) * similarity.vectors(names)).sum(axis=1) if pairs else np.zeros(0)
    values["gold_similarity"] = dict.fromkeys(gold, 0.0) | dict(zip(pairs, cosines.tolist(), strict=True))
    if token_encoder is not None:
        scores = bertscore(token_encoder, texts, names).tolist()
        values["bertscore"] = dict.fromkeys(gold, 0.0) | dict(zip(pairs, scores, strict=True))
    return values


def _small(record: Record) -> bool:
    """Tell whether an item is of the small gold set of its language, not of the lexicon."""
    return record.concept.startswith(LANGUAGE_PREFIX)


def _lexicon(record: Record) -> Mapping[str, GoldConcept]:
    return _loaded(record.language or "", _small(record))


def _loaded(language: str, small: bool) -> Mapping[str, GoldConcept]:
    return load_language(language) if small else load_lexicon()


@cache
def _scorer(language: str, small: bool) -> GoldScorer:
    return GoldScorer(_loaded(language, small))
