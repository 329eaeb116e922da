"""The gold lexicon: its promises, checked over all of its concepts."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from conceptbench.benchmark.lexicon import CANARY, GoldConcept, ancestors, load_lexicon, read_concepts
from conceptbench.runtime.errors import ConceptBenchError

Lexicon = Mapping[str, GoldConcept]
PLAIN = {
    "id": "semantic/pets",
    "name": "pets",
    "aliases": [],
    "accept": "pets",
    "kind": "semantic",
    "parent": None,
    "words": ["cat"],
    "sentences": [],
    "split": "dev",
}


def problems_of(concept: GoldConcept) -> list[str]:
    """What is wrong with a concept by itself."""
    found = []
    if re.fullmatch(rf"{concept.kind}/[a-z0-9]+(-[a-z0-9]+)*", concept.id) is None:
        found.append("id is not <kind>/<slug>")
    if not 15 <= len(concept.words) <= 60:
        found.append(f"{len(concept.words)} words, not 15 to 60")
    repeated = [word for word, count in Counter(concept.words).items() if count > 1]
    if repeated:
        found.append(f"words repeated: {repeated}")
    found += [f"word with white space: {word!r}" for word in concept.words if word.split() != [word]]
    found += [
        f"accept does not take {text!r}" for text in (concept.name, *concept.aliases) if not concept.accepts(text)
    ]
    if len(concept.sentences) < 3:
        found.append("fewer than 3 sentences")
    for sentence in concept.sentences:
        if not 3 <= len(sentence.split()) <= 25:
            found.append(f"sentence of {len(sentence.split())} words: {sentence!r}")
        if not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sentence, re.IGNORECASE) for word in concept.words):
            found.append(f"sentence without any of the words: {sentence!r}")
    found += [
        f"accepts the adversary {label!r}" for label in ("words", "text", "things", "a list") if concept.accepts(label)
    ]
    return found


def problems_between(lexicon: Lexicon) -> list[str]:
    """What is wrong between concepts: names, patterns that take another's name, equal word lists."""
    found = []
    names = Counter(concept.name.casefold() for concept in lexicon.values())
    found += [f"name {name!r} stands {count} times" for name, count in names.items() if count > 1]
    lists: dict[frozenset[str], str] = {}
    for concept in lexicon.values():
        other = lists.setdefault(frozenset(concept.words), concept.id)
        if other != concept.id:
            found.append(f"{concept.id} and {other} have the same words")
        wider = {wide.id for wide in ancestors(concept, lexicon)}
        found += [
            f"{concept.id}: accept {concept.accept!r} takes {other.name!r}, the name of {other.id}"
            for other in lexicon.values()
            if other.id != concept.id and other.id not in wider and concept.accepts(other.name)
        ]
    return found


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    """The packaged lexicon."""
    return load_lexicon()


def test_it_is_as_large_as_promised(lexicon: Lexicon) -> None:
    assert len(lexicon) >= 300
    assert sum(len(concept.words) for concept in lexicon.values()) >= 8000
    kinds = Counter(concept.kind for concept in lexicon.values())
    assert len(kinds) >= 8
    assert min(kinds.values()) >= 10
    splits = Counter(concept.split for concept in lexicon.values())
    assert 0.3 < splits["dev"] / len(lexicon) < 0.5
    assert sum(concept.parent is not None for concept in lexicon.values()) >= 60


def test_every_concept_is_well_formed(lexicon: Lexicon) -> None:
    assert {concept.id: found for concept in lexicon.values() if (found := problems_of(concept))} == {}


def test_patterns_tell_concepts_apart(lexicon: Lexicon) -> None:
    assert problems_between(lexicon) == []


def test_parents_form_a_tree(lexicon: Lexicon) -> None:
    for concept in lexicon.values():
        assert len(ancestors(concept, lexicon)) <= 5


def test_independent_resources_bear_it_out(
    lexicon: Lexicon, tmp_path: Path, load_module: Callable[[Path], ModuleType]
) -> None:
    agreement = load_module(Path(__file__).parent / "agreement.py")
    if not agreement.WORDNET.is_dir():
        pytest.skip("WordNet is not installed: apt-get install wordnet-base")
    wordnet = agreement.open_wordnet(tmp_path)
    related = agreement.relatedness(lexicon, wordnet)
    assert {row.kind for row in related} == {"semantic", "entity", "sentiment", "sensitive"}
    assert all(row.low > row.chance + 0.15 for row in related), related
    grammar = agreement.parts_of_speech(lexicon, wordnet)
    assert {row.measure for row in grammar} == set(agreement.POS)
    assert all(row.low > row.chance + 0.15 for row in grammar), grammar
    (affixes,) = agreement.affixes(lexicon)
    assert affixes.concepts >= 30
    assert affixes.value > 0.99


@pytest.mark.slow
def test_a_tagger_bears_the_grammar_out(lexicon: Lexicon, load_module: Callable[[Path], ModuleType]) -> None:
    agreement = load_module(Path(__file__).parent / "agreement.py")
    tagger = agreement.open_tagger()
    if tagger is None:
        pytest.skip(f"spaCy or its English model is not installed: pip install spacy {agreement.TAGGER}")
    rows = {row.kind: row for row in agreement.tagged(lexicon, tagger)}
    alone = {row.kind: row for row in agreement.tagged_alone(lexicon, tagger)}
    covered = {"part-of-speech": 34, "function": 20, "morphology": 22, "orthography": 16}
    assert {kind: row.concepts for kind, row in rows.items()} == covered
    assert all(row.low > 0.75 > row.chance + 0.5 for row in rows.values()), rows
    assert all(row.low > row.chance + 0.35 for row in alone.values()), alone

    grammar = [concept for concept in lexicon.values() if concept.kind == "part-of-speech"]
    half = len(grammar) // 2
    false = {
        concept.id: replace(concept, words=other.words, sentences=other.sentences)
        for concept, other in zip(grammar, grammar[half:] + grammar[:half], strict=True)
    }
    (exchanged, *_) = agreement.tagged({**lexicon, **false}, tagger)
    assert exchanged.high < 0.1, exchanged


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([PLAIN], "the canary is missing"),
        ([{"canary": CANARY}, {**PLAIN, "extra": 1}], "line 2: a concept has just the fields"),
        ([{"canary": CANARY}, {**PLAIN, "words": "cat"}], "line 2: `words` is not a list"),
        ([{"canary": CANARY}, {**PLAIN, "name": 1}], "must be texts"),
        ([{"canary": CANARY}, {**PLAIN, "parent": 1}], "`parent` must be"),
        ([{"canary": CANARY}, {**PLAIN, "kind": "animal"}], "unknown kind 'animal'"),
        ([{"canary": CANARY}, {**PLAIN, "accept": "("}], "not a regular expression"),
        ([{"canary": CANARY}, []], "line 2: a concept has just"),
    ],
)
def test_a_damaged_file_is_named(lines: list[object], message: str) -> None:
    with pytest.raises(ConceptBenchError, match=message):
        list(read_concepts("\n".join(map(json.dumps, lines)), "x.jsonl"))


def test_a_circle_of_parents_is_refused() -> None:
    (one,) = read_concepts(json.dumps({"canary": CANARY}) + "\n" + json.dumps({**PLAIN, "parent": "b"}), "x")
    (two,) = read_concepts(
        json.dumps({"canary": CANARY}) + "\n" + json.dumps({**PLAIN, "id": "b", "parent": one.id}), "x"
    )
    with pytest.raises(ConceptBenchError, match="circle"):
        ancestors(one, {one.id: one, "b": two})
