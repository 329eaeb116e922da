"""Scoring labels of gold items: by pattern, guarded against labels that say everything."""

from __future__ import annotations

from collections.abc import Mapping

from conceptbench.benchmark.lexicon import GoldConcept, ancestors

LONGEST_LABEL = 80
MOST_WORDS = 10


class GoldScorer:
    """Tells whether a label is right for a gold concept.

    A label fails, whatever it holds, if it is longer than 80 characters or 10 words, or if the pattern of an
    unrelated concept takes it too: one outside the concept's own line of ancestors and descendants and its siblings.
    """

    def __init__(self, lexicon: Mapping[str, GoldConcept]) -> None:
        self._lexicon = lexicon
        self._lines = {concept.id: {wide.id for wide in ancestors(concept, lexicon)} for concept in lexicon.values()}

    def matches(self, label: str | None, concept: GoldConcept) -> bool:
        """Tell whether the concept's pattern takes the label and the guard lets it pass."""
        if label is None or len(label) > LONGEST_LABEL or len(label.split()) > MOST_WORDS:
            return False
        if not concept.accepts(label):
            return False
        return not any(self._unrelated(other, concept) and other.accepts(label) for other in self._lexicon.values())

    def includes(self, label: str | None, concept: GoldConcept) -> bool:
        """Tell whether the label holds the canonical name, case ignored: what a plain harness measures."""
        return label is not None and concept.name.casefold() in label.casefold()

    def _unrelated(self, other: GoldConcept, concept: GoldConcept) -> bool:
        if other.id == concept.id or other.id in self._lines[concept.id] or concept.id in self._lines[other.id]:
            return False
        return other.parent is None or other.parent != concept.parent
