"""Columns of the annotation task's records by what they hold; see `records.Record` for what each is."""

from __future__ import annotations

from typing import Final

TEXTS: Final = frozenset({"item", "concept", "kind", "model", "words", "contexts", "held_out", "strangers"})
"""Those whose texts are the dataset's, not the annotator's."""

ASKED: Final = (
    "condition",
    "item",
    "concept",
    "language",
    "kind",
    "purity",
    "model",
    "layer",
    "size",
    "words",
    "counts",
    "contexts",
    "held_out",
    "strangers",
)
"""Those that say what was asked, and what the right answer is."""
