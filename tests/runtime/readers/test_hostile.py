"""Replies that are one mark again and again: no reader makes an answer of them.

They are twice as long as the longest reply that a client lets through. No time is asserted; a reader whose time grew
with the square of the length would be seen by it.
"""

from __future__ import annotations

import pytest

from conceptbench.runtime.readers import (
    read_choice,
    read_label,
    read_list,
    read_name,
    read_numbers,
    read_summary,
    read_yes_no,
    split_thinking,
)

LENGTH = 32_768
UNITS = [
    "the answer is ",
    "A ",
    "the ",
    "my so ",
    "?",
    "not ",
    "positive ",
    "(",
    "**",
    "\n",
    " ",
    "the label ",
    '"',
    "- ",
    "a, ",
    "here is ",
    "{",
    "[",
    "```\n",
    "\\boxed{",
    "<label>",
    "because ",
    "the best best best label for ",
    "sure! ",
    "a. ",
    "1. ",
    "$",
    "*a",
    "label: ",
    "#",
    "<a>",
    "based on ",
    "i cannot ",
    "1. a ",
    "a; ",
    "- a\n",
    '"a", ',
    "|",
    "here ",
    "a\n",
    "1, ",
    "1-",
    "1 ",
    "none ",
    "all of them ",
    "1. cat\n",
    "cat, ",
    "<think>",
    "<",
    "</think>",
    "<think ",
    "<think>a",
    "<think>a</think>",
    "<answer>",
    "</answer>",
    "<|channel|>",
    "<|message|>",
    "Thinking...\n",
    "◁",
    "◁think▷",
    "\u200b",
    "[THINK]",
    "<|im_start|>",
    "<|",
    "analysis",
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_mark_repeated_without_end_is_no_answer(unit: str) -> None:
    text = (unit * LENGTH)[:LENGTH]
    split = split_thinking(text)
    assert len(split.answer) + len(split.thinking) <= LENGTH
    assert read_choice(text, ["X", "Y"]) is None
    assert read_name(text, ["up", "down"]) is None
    assert read_yes_no(text) is None
    label = read_label(text).label
    assert label is None or len(label) <= 100
    assert set(read_numbers(text, ["cat", "dog"]) or ()) <= {1, 2}
    assert all(len(phrase) <= 200 for phrase in read_list(text))
    summary = read_summary(text)
    assert summary is None or len(summary) <= 200
