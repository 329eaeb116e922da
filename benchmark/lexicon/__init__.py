"""The gold lexicon: concepts whose name is known, with words, example sentences, and a pattern for right labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, get_args

from conceptbench.runtime.errors import ConceptBenchError, InputError

Kind = Literal[
    "semantic", "entity", "part-of-speech", "function", "morphology", "orthography", "sentiment", "sensitive"
]
Split = Literal["dev", "test"]
Language = Literal["en", "de", "es", "sw"]
LANGUAGE_PREFIX: Final = "language/"
"""The beginning of the ids of the concepts of `load_language`, and of no other ids."""

PURITIES: Final = (1.0, 0.9, 0.75)
"""The purities of the word lists that are drawn by default: the shares of their words that belong to the concept."""

CANARY: Final = "conceptbench canary 5c0f0a52-7d1e-4f0c-9a41-0d5b8e6f2c37: benchmark data, not for training"
"""A string in each file of the lexicon, by which the files can be found in training data."""

_FIELDS: Final = {"id", "name", "aliases", "accept", "kind", "parent", "words", "sentences", "split"}


@dataclass(frozen=True)
class GoldConcept:
    """A concept whose answer is known.

    `accept` is a regular expression; a label is right if it is found in the label, case ignored. `parent` is the id
    of the next wider concept, or None. `words` are 15 to 60 word types, `sentences` short texts with some of them.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    accept: str
    kind: Kind
    parent: str | None
    words: tuple[str, ...]
    sentences: tuple[str, ...]
    split: Split

    def accepts(self, label: str) -> bool:
        """Tell whether a label is right for this concept. Only the pattern is tested, without a guard."""
        return re.search(self.accept, label, re.IGNORECASE) is not None


@cache
def load_lexicon() -> Mapping[str, GoldConcept]:
    """Load the packaged lexicon, by id, in the order of its files and lines.

    Raises
    ------
    ConceptBenchError
        if a file is damaged: the package must be installed again.
    """
    concepts: dict[str, GoldConcept] = {}
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".jsonl"):
            for concept in read_concepts(file.read_text(encoding="utf-8"), file.name):
                if concept.id in concepts:
                    raise ConceptBenchError(f"lexicon {file.name}: the id {concept.id!r} occurs twice")
                concepts[concept.id] = concept
    return concepts


@cache
def load_language(language: Language) -> Mapping[str, GoldConcept]:
    """Load the small gold set of one language, by id: the same concepts, in the same order, in each language.

    `words` and `sentences` are in the language, `name` is English, and `accept` takes a label in English or in the
    language.

    Raises
    ------
    InputError
        if there is no set of this language.
    ConceptBenchError
        if its file is damaged: the package must be installed again.
    """
    if language not in get_args(Language):
        raise InputError(f"language {language!r}: there are gold sets only of {', '.join(get_args(Language))}")
    name = f"languages/{language}.jsonl"
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    return {concept.id: concept for concept in read_concepts(text, name)}


def ancestors(concept: GoldConcept, lexicon: Mapping[str, GoldConcept]) -> list[GoldConcept]:
    """Give the wider concepts, the next one first.

    Raises
    ------
    ConceptBenchError
        if a parent does not exist or the parents form a circle.
    """
    wider: list[GoldConcept] = []
    seen = {concept.id}
    while concept.parent is not None:
        parent = lexicon.get(concept.parent)
        if parent is None or parent.id in seen:
            raise ConceptBenchError(f"lexicon: the parent {concept.parent!r} of {concept.id!r} is missing or a circle")
        seen.add(parent.id)
        wider.append(parent)
        concept = parent
    return wider


def lineages(lexicon: Mapping[str, GoldConcept]) -> dict[str, set[str]]:
    """Give, by id, the ids of each concept's line: itself, its ancestors and its descendants.

    Raises
    ------
    ConceptBenchError
        if a parent does not exist or the parents form a circle.
    """
    lines = {concept.id: {concept.id} for concept in lexicon.values()}
    for concept in lexicon.values():
        for wide in ancestors(concept, lexicon):
            lines[concept.id].add(wide.id)
            lines[wide.id].add(concept.id)
    return lines


def read_concepts(text: str, name: str) -> Iterator[GoldConcept]:
    """Read the lines of a lexicon file, of which the first holds the canary.

    Raises
    ------
    ConceptBenchError
        if a line is not a concept; it names file, line and field.
    """
    for number, line in enumerate(text.splitlines(), 1):
        where = f"lexicon {name}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConceptBenchError(f"{where}: not JSON ({error})") from error
        if number == 1:
            if row != {"canary": CANARY}:
                raise ConceptBenchError(f"{where}: the canary is missing")
            continue
        yield _concept(row, where)


def _concept(row: Any, where: str) -> GoldConcept:
    if not isinstance(row, dict) or set(row) != _FIELDS:
        raise ConceptBenchError(f"{where}: a concept has just the fields {', '.join(sorted(_FIELDS))}")
    for field in ("aliases", "words", "sentences"):
        if not isinstance(row[field], list) or not all(isinstance(text, str) for text in row[field]):
            raise ConceptBenchError(f"{where}: `{field}` is not a list of texts")
    if not all(isinstance(row[field], str) for field in ("id", "name", "accept")):
        raise ConceptBenchError(f"{where}: `id`, `name` and `accept` must be texts")
    if row["parent"] is not None and not isinstance(row["parent"], str):
        raise ConceptBenchError(f"{where}: `parent` must be an id or null")
    if row["kind"] not in get_args(Kind) or row["split"] not in get_args(Split):
        raise ConceptBenchError(f"{where}: unknown kind {row['kind']!r} or split {row['split']!r}")
    try:
        re.compile(row["accept"])
    except re.error as error:
        raise ConceptBenchError(f"{where}: `accept` is not a regular expression ({error})") from error
    lists = {field: tuple(row[field]) for field in ("aliases", "words", "sentences")}
    return GoldConcept(**{**row, **lists})
