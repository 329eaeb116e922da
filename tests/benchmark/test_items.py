"""Gold items: what is drawn, and what a draw depends on."""

from collections.abc import Mapping

import pytest

from conceptbench.benchmark.items import SHOWN, draw_items
from conceptbench.benchmark.lexicon import GoldConcept, ancestors, load_lexicon
from conceptbench.runtime.errors import InputError


@pytest.fixture(scope="module")
def lexicon() -> Mapping[str, GoldConcept]:
    """The packaged lexicon."""
    return load_lexicon()


def test_an_item_has_words_of_its_concept_intruders_of_a_near_one_and_words_held_out(
    lexicon: Mapping[str, GoldConcept],
) -> None:
    items = draw_items(lexicon, split=None)
    assert len(items) == 3 * len(lexicon)
    assert len({item.item for item in items}) == len(items)
    for item in items:
        concept = lexicon[item.concept]
        own = set(item.words) - set(item.intruders)
        assert len(set(item.words)) == SHOWN
        assert own | set(item.held_out) == set(concept.words)
        assert not own & set(item.held_out)
        assert not set(item.intruders) & set(concept.words)
        assert len(item.intruders) == {1.0: 0, 0.9: 1, 0.75: 3}[item.purity]
        assert len(item.held_out) >= 3
        assert not any(concept.accepts(word) for word in item.words)
        if item.near is not None:
            near = lexicon[item.near]
            assert set(item.intruders) <= set(near.words)
            assert near.kind == concept.kind
            assert concept.id not in {wide.id for wide in ancestors(near, lexicon)}
            assert near.id not in {wide.id for wide in ancestors(concept, lexicon)}


def test_the_split_is_kept(lexicon: Mapping[str, GoldConcept]) -> None:
    assert {lexicon[item.concept].split for item in draw_items(lexicon, split="dev")} == {"dev"}
    assert {lexicon[item.concept].split for item in draw_items(lexicon)} == {"test"}


def test_a_draw_follows_its_seed(lexicon: Mapping[str, GoldConcept]) -> None:
    first, again, other = (draw_items(lexicon, seed=seed) for seed in (0, 0, 1))
    assert first == again
    same = sum(a.words == b.words for a, b in zip(first, other, strict=True))
    assert same == 0


def test_an_item_does_not_depend_on_concepts_elsewhere(lexicon: Mapping[str, GoldConcept]) -> None:
    kind = next(iter(lexicon.values())).kind
    some = {concept.id: concept for concept in lexicon.values() if concept.kind == kind}
    whole = {item.item: item for item in draw_items(lexicon, split=None)}
    assert all(whole[item.item] == item for item in draw_items(some, split=None))


def test_intruders_are_drawn_from_siblings_where_there_are_some(lexicon: Mapping[str, GoldConcept]) -> None:
    families = [(concept.kind, concept.parent) for concept in lexicon.values() if concept.parent is not None]
    for item in draw_items(lexicon, split=None, purities=[0.75]):
        concept = lexicon[item.concept]
        if families.count((concept.kind, concept.parent)) > 1:
            assert item.near is not None
            assert lexicon[item.near].parent == concept.parent


@pytest.mark.parametrize(
    ("options", "message"),
    [({"purities": [0.2]}, "purities"), ({"shown": 1}, "lists of 1 words"), ({"shown": 40}, "lists of 40 words")],
)
def test_wrong_options_are_named(lexicon: Mapping[str, GoldConcept], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_items(lexicon, **options)  # type: ignore[arg-type]
