"""The groups of breakdowns: what they are groups of, and their order."""

import pytest

from conceptbench.eval.report.groups import bare, crossed, group_kind, natural


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("ward", "method"),
        ("purity=0.9", "purity"),
        ("k=x0.5", "k"),
        ("L03", "layer"),
        ("minilm-L03", "layer"),
        ("semantic", "kind"),
        ("part-of-speech", "kind"),
    ],
)
def test_a_group_is_of_a_kind(group: str, kind: str) -> None:
    assert group_kind(group, {"ward": "method"}) == kind


def test_a_bare_name_is_what_follows_the_equals_sign() -> None:
    assert [bare(group) for group in ("purity=0.9", "corpus=1:news=old", "semantic")] == [
        "0.9",
        "1:news=old",
        "semantic",
    ]


def test_numbers_are_sorted_by_their_size() -> None:
    assert natural({"k=50", "k=x2", "k=400", "k=x0.5", "L10", "L02"}) == [
        "L02",
        "L10",
        "k=50",
        "k=400",
        "k=x0.5",
        "k=x2",
    ]
    # Digits that are no decimal numbers, and equal numbers that are written in two ways.
    assert natural({"m²", "m1"}) == ["m1", "m²"]
    assert natural({"at=1.0", "at=1"}) == ["at=1", "at=1.0"]


def test_a_group_of_a_layer_is_taken_apart() -> None:
    assert crossed("L03:semantic") == ("L03", "semantic")
    assert crossed("corpus=1:L03") is None
    assert crossed("L03:") is None
