"""What the helper is question, and how its answers are read."""

import pytest

from conceptbench.eval.methods.sasc.helper import read_strings, read_summary, summary_request
from conceptbench.runtime.llm import Reply


def text(reply: str, reason: str | None = None) -> Reply:
    return Reply(text=reply, reason=reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("birds and their nests.", "birds and their nests"),
        ('The common theme among these phrases is "birds".', "birds"),
        ("1. birds", "birds"),
        ("- Theme: birds", "birds"),
        ("\n\nbirds\nmore of it", "birds"),
        ("", None),
        ("...", None),
        ("I'm sorry, I cannot help with that", None),
        ("def theme():", None),
        ("x" * 500, None),
    ],
)
def test_summaries_are_read_in_other_styles(reply: str, expected: str | None) -> None:
    assert read_summary(text(reply)) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("one\ntwo\nthree", ["one", "two", "three"]),
        ("1. one\n2) two\n(3) three", ["one", "two", "three"]),
        ("- one\n* two\n• three", ["one", "two", "three"]),
        ('["one", "two", "three"]', ["one", "two", "three"]),
        ("1. one 2. two 3. three", ["one", "two", "three"]),
        ("one; two; three", ["one", "two", "three"]),
        ("99 red balloons\nthe 7th day\n1. 3 blind mice", ["99 red balloons", "the 7th day", "3 blind mice"]),
        ("one\nOne\none", ["one"]),
        ("one", ["one"]),
        ("", []),
        ("```python\nprint('x')\n```", []),
        ("<b>one</b>\ntwo", ["two"]),
    ],
)
def test_lists_are_read_in_other_styles(reply: str, expected: list[str]) -> None:
    assert read_strings(text(reply), 10) == expected


def test_the_last_string_of_a_reply_that_was_cut_is_left_out() -> None:
    assert read_strings(text("one\ntwo\nthr", "cut"), 10) == ["one", "two"]
    assert read_strings(text("one\ntwo\nthree"), 2) == ["one", "two"]


def test_the_strongest_ngrams_stand_next_to_the_question() -> None:
    question = summary_request(["the strongest", "a middling one", "the weakest"]).messages[-1].content
    assert question.startswith("Phrases: the weakest / a middling one / the strongest\n")
