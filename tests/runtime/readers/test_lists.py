"""Lists of phrases and summaries are read in the styles of many families of models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conceptbench.runtime.readers import read_list, read_summary

TWO = ["a trout", "an eel"]

LISTS = [
    ("gpt", "a trout\nan eel", TWO),
    ("gpt", "1. a trout\n2. an eel", TWO),
    ("gpt", "Here are two short phrases that fit:\n\n1. a trout\n2. an eel\n\nLet me know if you need more!", TWO),
    ("gpt", '["a trout", "an eel"]', TWO),
    ("gpt", '```json\n[\n  "a trout",\n  "an eel"\n]\n```', TWO),
    ("gpt", '{"phrases": ["a trout", "an eel"]}', TWO),
    ("gpt", '{\n "Phrases": [\n  "a trout",\n  "an eel"\n ]\n}', TWO),
    ("gpt", '[{"phrase": "a trout"}, {"phrase": "an eel"}]', TWO),
    ("gpt", "- **a trout**\n- **an eel**", TWO),
    ("claude", "- a trout\n- an eel", TWO),
    ("claude", "Here are 2 phrases:\n\n- a trout\n- an eel", TWO),
    ("claude", "Certainly! Here are two phrases:\n\n• a trout\n• an eel\n\nI hope this helps!", TWO),
    ("claude", "<phrases>\na trout\nan eel\n</phrases>", TWO),
    ("claude", "<answer>a trout\nan eel</answer>", TWO),
    ("gemini", "*   a trout\n*   an eel\n", TWO),
    ("gemini", "Okay, here are two phrases:\n\n1.  a trout\n2.  an eel", TWO),
    ("gemini", "```\na trout\nan eel\n```", TWO),
    ("gemini", "| # | Phrase |\n|---|---|\n| 1 | a trout |\n| 2 | an eel |", TWO),
    ("llama", "Sure! Here are 10 phrases:\n1) a trout\n2) an eel", TWO),
    ("llama", "Here are ten short phrases that are about fish:\n\n(1) a trout\n(2) an eel", TWO),
    ("llama", 'Here are two phrases: "a trout", "an eel"', TWO),
    ("llama", "1. a trout 2. an eel<|eot_id|>", TWO),
    ("llama", "Here are 2 phrases: 1. a trout 2. an eel", TWO),
    ("qwen", "<think>a carp\na cod</think>\n\na trout\nan eel", TWO),
    ("qwen", "以下是两个短语：\n1. a trout\n2. an eel", TWO),
    ("deepseek-r1", "a carp\n</think>\n1. a trout\n2. an eel", TWO),
    ("mistral", "1. a trout\n2. an eel\n\nThese phrases are all about fish.</s>", TWO),
    ("mistral", "a trout; an eel", TWO),
    ("gemma", "* a trout\n* an eel\n\nLet me know if you'd like more.", TWO),
    ("phi", "a) a trout\nb) an eel", TWO),
    ("phi", '1. "a trout"\n2. "an eel"<|end|>', TWO),
    ("gpt-oss", "analysisa carpassistantfinala trout\nan eel", TWO),
    (
        "gpt-oss",
        "<|channel|>analysis<|message|>cod<|end|><|start|>assistant<|channel|>final<|message|>a trout\nan eel",
        TWO,
    ),
    ("smollm", "a trout\nan eel\na trout\nAn eel", TWO),
    ("smollm", '"a trout", "an eel"', TWO),
    ("command-r", "Sure, here are the phrases:\n- a trout\n- an eel\nWould you like more?", TWO),
    ("german", "Hier sind zwei Phrasen:\n1. a trout\n2. an eel", TWO),
    ("french", "Voici deux phrases :\n- a trout\n- an eel", TWO),
    ("numbers", "99 red balloons\nthe 7th day\n1. 3 blind mice", ["99 red balloons", "the 7th day", "3 blind mice"]),
    ("one", "a trout", ["a trout"]),
    ("commas", "red, white and blue\na trout", ["red, white and blue", "a trout"]),
    ("none", "", []),
    ("none", "I'm sorry, but I can't help with that.", []),
    ("none", "Sure! Here are 10 phrases:", []),
    ("none", "```python\nprint('x')\n```", []),
    ("none", "{}", []),
    ("none", "[]", []),
    ("none", "<b>one</b>", []),
    ("none", "x" * 201, []),
]

SUMMARIES = [
    ("gpt", "fish", "fish"),
    ("gpt", "Fish and fishing.", "Fish and fishing"),
    ("gpt", "**Fish**", "Fish"),
    ("gpt", '{"summary": "fish"}', "fish"),
    ("gpt", 'The common theme among these phrases is "fish".', "fish"),
    ("claude", "The common theme is fish.", "fish"),
    ("claude", "These phrases are all about fish.", "fish"),
    ("claude", "Looking at these phrases, the common theme is fish.", "fish"),
    ("claude", "<answer>fish</answer>", "fish"),
    ("gemini", "**Common theme:** fish", "fish"),
    ("gemini", "Here's what they have in common:\n\nfish", "fish"),
    ("llama", "Theme: fish", "fish"),
    ("llama", "The phrases are about fish", "fish"),
    ("llama", "Here is the answer:\nfish", "fish"),
    ("qwen", "<think>birds</think>fish", "fish"),
    ("qwen", "\\boxed{fish}", "fish"),
    ("deepseek-r1", "birds?</think>\n\nfish", "fish"),
    ("mistral", "Answer: fish</s>", "fish"),
    ("gemma", "- fish", "fish"),
    ("phi", "Description: fish", "fish"),
    ("gpt-oss", "analysisbirdsassistantfinalfish", "fish"),
    ("smollm", "1. fish", "fish"),
    ("command-r", "They are about fish.", "fish"),
    ("none", "", None),
    ("none", "...", None),
    ("none", "None", None),
    ("none", "N/A", None),
    ("none", "I cannot help with that", None),
    ("none", "There is no common theme.", None),
    ("none", "def theme():", None),
    ("none", "x" * 300, None),
    ("none", '{"words": "fish"}', None),
    ("none", "The common theme is:", None),
]

WRAPPERS = [
    *(
        "{0}\n{1}",
        "1. {0}\n2. {1}",
        "1) {0}\n2) {1}",
        "- {0}\n- {1}",
        "* {0}\n* {1}",
        "• {0}\n• {1}",
        '["{0}", "{1}"]',
        "{0}; {1}",
    ),
    *(
        '{{"phrases": ["{0}", "{1}"]}}',
        "```\n{0}\n{1}\n```",
        "Sure! Here are 2 phrases:\n{0}\n{1}",
        '"{0}"\n"{1}"',
        "**{0}**\n**{1}**",
    ),
    *(
        "1. {0}\n2. {1}\n\nLet me know if you need more!",
        "Here are two:\n\n1. {0}\n2. {1}\n\nI hope this helps!",
        "| {0} |\n| {1} |",
    ),
    *(
        "<think>cod\nsalmon</think>{0}\n{1}",
        "{0}\n{1}<|im_end|>",
        "<answer>\n{0}\n{1}\n</answer>",
        "1. {0}\n\n2. {1}",
        "1. {0} 2. {1}",
    ),
]


@pytest.mark.parametrize(("family", "text", "phrases"), LISTS)
def test_a_list_is_read_in_the_style_of_its_family(family: str, text: str, phrases: list[str]) -> None:
    assert read_list(text) == phrases, family


@pytest.mark.parametrize(("family", "text", "summary"), SUMMARIES)
def test_a_summary_is_read_in_the_style_of_its_family(family: str, text: str, summary: str | None) -> None:
    assert read_summary(text) == summary, family


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(
    "phrases", [("a trout", "an eel"), ("3 blind mice", "the 7th day"), ("well-known", "don't stop")]
)
def test_phrases_are_taken_out_of_every_wrapper(wrapper: str, phrases: tuple[str, str]) -> None:
    assert read_list(wrapper.format(*phrases)) == list(phrases)


def test_the_last_phrase_of_a_reply_that_was_cut_is_left_out() -> None:
    assert read_list("a trout\nan eel\na sal", cut=True) == TWO
    assert read_list("1. a trout\n2. an eel\n3. a sal", cut=True) == TWO
    assert read_list('["a trout", "an eel", "a sal', cut=True) == TWO


@given(st.text(max_size=300))
def test_phrases_always_fit(text: str) -> None:
    for phrase in read_list(text):
        assert 0 < len(phrase) <= 200
        assert phrase.isprintable()
    summary = read_summary(text)
    assert summary is None or 0 < len(summary) <= 200
