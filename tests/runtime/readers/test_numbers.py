"""Numbers of listed words are read in the styles of many families of models, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conceptbench.runtime.readers import read_numbers

WORDS = ["cat", "dog", "hen", "red", "blue", "New York", "fox", "owl", "ice", "sun"]
ALL = tuple(range(1, 11))

CASES = [
    ("gpt", "1, 2", (1, 2)),
    ("gpt", "1,2,7", (1, 2, 7)),
    ("gpt", "2, 1.", (1, 2)),
    ("gpt", "[1, 2, 7]", (1, 2, 7)),
    ("gpt", '{"numbers": [1, 2]}', (1, 2)),
    ("gpt", '{"answer": "1, 2"}', (1, 2)),
    ("gpt", '```json\n{"answer": [1, 2]}\n```', (1, 2)),
    ("gpt", '{"words": ["cat", "fox"]}', (1, 7)),
    ("gpt", '["1", "2"]', (1, 2)),
    ("gpt", "**1, 2, 7**", (1, 2, 7)),
    ("gpt", "1. cat\n2. dog\n7. fox", (1, 2, 7)),
    ("gpt", "**1. cat**\n**2. dog**", (1, 2)),
    ("claude", "1 and 5", (1, 5)),
    ("claude", "1, 2, and 7", (1, 2, 7)),
    ("claude", "The words that belong to the group are 1, 2 and 7.", (1, 2, 7)),
    ("claude", "<answer>1, 2</answer>", (1, 2)),
    ("claude", "None of them", ()),
    ("claude", "1, 2\n\nThe other words are colours.", (1, 2)),
    ("claude", "1 (cat), 2 (dog)", (1, 2)),
    ("gemini", "1, 2, 7, 8", (1, 2, 7, 8)),
    ("gemini", "**Answer:** 1, 2", (1, 2)),
    ("gemini", "Here are the words that belong:\n1. cat\n7. fox", (1, 7)),
    ("gemini", "*   1. cat\n*   2. dog", (1, 2)),
    ("llama", "Answer: 1, 2", (1, 2)),
    ("llama", "The answer is: 1, 2", (1, 2)),
    ("llama", "There are 3 words: 1, 2, 5", (1, 2, 5)),
    ("llama", "Words 1, 2 and 10.", (1, 2, 10)),
    ("llama", "1, 2 because they are animals", (1, 2)),
    ("llama", "1, 2, 3<|eot_id|>", (1, 2, 3)),
    ("llama", "No words belong to the group.", ()),
    ("qwen", "<think>10 words</think>1, 2", (1, 2)),
    ("qwen", "\\boxed{1, 2, 7}", (1, 2, 7)),
    ("qwen", "1, 2, 7<|im_end|>", (1, 2, 7)),
    ("deepseek-r1", "3 words? 1, 2, 3.</think>\n\n1, 7", (1, 7)),
    ("deepseek-r1", "**Answer:** 1, 2, 7", (1, 2, 7)),
    ("mistral", "1-5", (1, 2, 3, 4, 5)),
    ("mistral", "1–3", (1, 2, 3)),
    ("mistral", "1 to 5", (1, 2, 3, 4, 5)),
    ("mistral", "1-3, 7", (1, 2, 3, 7)),
    ("gemma", "1, 2\n", (1, 2)),
    ("gemma", "cat, dog", (1, 2)),
    ("gemma", "cat, dog and New York", (1, 2, 6)),
    ("gemma", "- cat\n- dog", (1, 2)),
    ("phi", "1; 2; 7", (1, 2, 7)),
    ("phi", "Numbers: 1, 2", (1, 2)),
    ("gpt-oss", "analysisWords 3, 4.assistantfinal1, 2", (1, 2)),
    ("gpt-oss", "<|channel|>analysis<|message|>3<|end|><|start|>assistant<|channel|>final<|message|>1", (1,)),
    ("smollm", "1. cat\n2. fox", (1, 7)),
    ("smollm", "1. cat", (1,)),
    ("smollm", "7", (7,)),
    ("command-r", "Sure! The numbers are: 1, 2", (1, 2)),
    ("command-r", "1 & 2", (1, 2)),
    ("none", "none", ()),
    ("none", "None.", ()),
    ("none", "Answer: none", ()),
    ("none", "none of the words", ()),
    ("none", "No words", ()),
    ("none", "[]", ()),
    ("none", '{"answer": "none"}', ()),
    ("none", '{"numbers": []}', ()),
    ("all", "all", ALL),
    ("all", "All of them", ALL),
    ("all", "All of the words belong to the group.", ALL),
    ("all", "All 10 words", ALL),
    ("all", "1-10", ALL),
    ("unclear", "", None),
    ("unclear", "11", None),
    ("unclear", "1, 11", None),
    ("unclear", "0, 1", None),
    ("unclear", "[1, 99]", None),
    ("unclear", "5-1", None),
    ("unclear", "5-12", None),
    ("unclear", "2019", None),
    ("unclear", "1.5", None),
    ("unclear", "3 of the words", None),
    ("unclear", "3 words", None),
    ("unclear", "All 5 words", None),
    ("unclear", "all but 3", None),
    ("unclear", "None but 3", None),
    ("unclear", "not 3", None),
    ("unclear", "1 or 2", None),
    ("unclear", "1, 2, but not 3", None),
    ("unclear", "cat and lion", None),
    ("unclear", "I cannot tell", None),
    ("unclear", "I'm sorry, but I can't: 1, 2", None),
    ("unclear", "It depends", None),
    ("unclear", "1. lion\n2. tiger", None),
    ("unclear", "1. cat: yes\n2. dog: no", None),
    ("unclear", '{"reason": "1"}', None),
    ("unclear", '["lion"]', None),
    ("unclear", "Label 1 is about 2 cats and 3 hats", None),
]

WRAPPERS = [
    *(
        "{}",
        " {}\n",
        "{}.",
        "**{}**",
        "Answer: {}",
        "**Answer:** {}",
        "The answer is: {}",
        "`{}`",
        '"{}"',
        "[{}]",
        "({})",
        "```\n{}\n```",
    ),
    *(
        '{{"answer": "{}"}}',
        "\\boxed{{{}}}",
        "<answer>{}</answer>",
        "{}<|eot_id|>",
        "<think>8, 9</think>{}",
        "Numbers: {}",
    ),
    *("{}\n\nThese are animals.", "Here are the numbers:\n{}", "Sure!\n{}"),
]


@pytest.mark.parametrize(("family", "text", "numbers"), CASES)
def test_numbers_are_read_only_where_they_are_clear(family: str, text: str, numbers: tuple[int, ...] | None) -> None:
    assert read_numbers(text, WORDS) == numbers, family


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("answer", ["1, 2", "3", "1 and 5", "2-4", "1, 2, and 10"])
def test_numbers_are_taken_out_of_every_wrapper(wrapper: str, answer: str) -> None:
    assert read_numbers(wrapper.format(answer), WORDS) == read_numbers(answer, WORDS) is not None


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("nothing", ["", "perhaps", "I cannot help with that", "1, 99", "1 or 2"])
def test_nothing_in_a_wrapper_is_nothing(wrapper: str, nothing: str) -> None:
    text = wrapper.format(nothing)
    # An empty list in JSON says that it is none of them.
    assert read_numbers(text, WORDS) == (() if text == "[]" else None)


@given(st.sets(st.integers(1, 10), min_size=1), st.sampled_from([", ", ",", " and ", "; ", " "]))
def test_numbers_come_back_as_they_were_written(numbers: set[int], separator: str) -> None:
    assert read_numbers(separator.join(map(str, numbers)), WORDS) == tuple(sorted(numbers))


@given(st.text(max_size=200))
def test_only_listed_numbers_are_read(text: str) -> None:
    assert set(read_numbers(text, WORDS) or ()) <= set(ALL)
