"""The gold sets of other languages: their promises, checked over all of their concepts."""

import re
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from itertools import combinations
from typing import cast, get_args

import pytest

from conceptbench.benchmark.items import PURITIES, draw_items
from conceptbench.benchmark.lexicon import GoldConcept, Language, load_language, load_lexicon, read_concepts
from conceptbench.eval.annotation.gold import GoldScorer
from conceptbench.runtime.errors import InputError

LANGUAGES: tuple[Language, ...] = get_args(Language)
LABELS = [
    ("de", "animals", "Tierarten"),
    ("de", "illnesses", "Namen von Krankheiten"),
    ("de", "capital-cities", "Europäische Hauptstädte"),
    ("es", "landscape", "accidentes geograficos"),
    ("es", "languages", "nombres de lenguas"),
    ("es", "tools", "herramientas del taller"),
    ("sw", "fruit", "majina ya matunda kwa lugha ya Kiswahili"),
    ("sw", "kitchen-utensils", "vifaa vya jikoni"),
    ("sw", "verbs", "Swahili verbs in the infinitive"),
    ("sw", "animals", "animal names in the Swahili language"),
]


def labels_of(concept: GoldConcept) -> tuple[str, ...]:
    """The names that a concept must be known by."""
    return (concept.name, *concept.aliases)


@pytest.fixture(params=LANGUAGES)
def lexicon(request: pytest.FixtureRequest) -> Mapping[str, GoldConcept]:
    """The set of each language in turn."""
    return load_language(request.param)


def test_the_languages_have_the_same_concepts() -> None:
    english = load_language("en")
    assert len(english) == 24
    for language in LANGUAGES:
        concepts = load_language(language)
        assert list(concepts) == list(english)
        for concept in concepts.values():
            twin = english[concept.id]
            assert (concept.name, concept.kind, concept.split, concept.parent) == (twin.name, twin.kind, "test", None)
            assert concept.id.startswith("language/")
            assert set(twin.aliases) <= set(concept.aliases)
            if language != "en":
                assert set(concept.aliases) - set(twin.aliases), f"{language} {concept.id}: no native name"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_concept_is_hidden_by_a_repeated_id(language: Language) -> None:
    file = files("conceptbench.benchmark.lexicon") / "languages" / f"{language}.jsonl"
    ids = [concept.id for concept in read_concepts(file.read_text(encoding="utf-8"), file.name)]
    assert ids == list(load_language(language))


def test_the_lexicon_does_not_hold_them() -> None:
    assert not any(concept.startswith("language/") for concept in load_lexicon())


def test_every_concept_is_well_formed(lexicon: Mapping[str, GoldConcept]) -> None:
    for concept in lexicon.values():
        assert 18 <= len(concept.words) <= 60, concept.id
        repeated = [word for word, n in Counter(word.casefold() for word in concept.words).items() if n > 1]
        assert repeated == [], concept.id
        assert [word for word in concept.words if word.split() != [word]] == [], concept.id
        assert [word for word in concept.words if concept.accepts(word)] == [], concept.id
        assert not any(concept.accepts(label) for label in ("words", "text", "things", "a list")), concept.id
        assert len(concept.sentences) == 3
        for sentence in concept.sentences:
            assert 3 <= len(sentence.split()) <= 25, sentence
            assert any(
                re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sentence, re.IGNORECASE) for word in concept.words
            ), f"{concept.id}: {sentence!r} holds none of the words"


def test_patterns_tell_concepts_apart(lexicon: Mapping[str, GoldConcept]) -> None:
    missed = [
        (concept.id, label)
        for concept in lexicon.values()
        for label in labels_of(concept)
        if not concept.accepts(label)
    ]
    taken = [
        (concept.id, other.id, label)
        for concept in lexicon.values()
        for other in lexicon.values()
        if other.id != concept.id
        for label in labels_of(other)
        if concept.accepts(label)
    ]
    assert (missed, taken) == ([], [])


def test_concepts_share_few_words(lexicon: Mapping[str, GoldConcept]) -> None:
    shared = {
        (one.id, two.id): words
        for one, two in combinations(lexicon.values(), 2)
        if len(words := set(one.words) & set(two.words)) > 3
    }
    assert shared == {}


def test_words_are_the_languages_own() -> None:
    english = load_language("en")
    for language in LANGUAGES[1:]:
        for concept in load_language(language).values():
            if concept.kind == "entity":
                continue
            same = {word.casefold() for word in english[concept.id].words} & {word.casefold() for word in concept.words}
            assert len(same) < 0.3 * len(concept.words), (language, concept.id, same)


def test_items_can_be_drawn(lexicon: Mapping[str, GoldConcept]) -> None:
    items = draw_items(lexicon, split="test")
    assert len(items) == 24 * len(PURITIES)
    for item in items:
        assert len(set(item.words)) == 12, item.item
        assert len(item.held_out) >= 4, item.item
        assert len(item.intruders) == round((1 - item.purity) * 12), item.item


def test_names_in_english_and_in_the_language_are_right(lexicon: Mapping[str, GoldConcept]) -> None:
    scorer = GoldScorer(lexicon)
    for concept in lexicon.values():
        assert [label for label in labels_of(concept) if not scorer.matches(label, concept)] == [], concept.id


@pytest.mark.parametrize(("language", "slug", "label"), LABELS)
def test_likely_labels_are_right(language: Language, slug: str, label: str) -> None:
    concepts = load_language(language)
    assert GoldScorer(concepts).matches(label, concepts[f"language/{slug}"])


@pytest.mark.parametrize(("language", "label"), [("en", "Tiere"), ("de", "wanyama"), ("sw", "frutas"), ("es", "Obst")])
def test_a_label_in_a_third_language_is_not(language: Language, label: str) -> None:
    assert not any(concept.accepts(label) for concept in load_language(language).values())


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InputError, match="'fr'.*en, de, es, sw"):
        load_language(cast(Language, "fr"))
