"""Thinking and the marks of servers are taken off replies, whatever they look like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

X = "names of birds"
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>"

# Each puts a thought and an answer together as a family of models or its server does.
FORMS: dict[str, Callable[[str, str], str]] = {
    "deepseek-r1": lambda t, a: f"<think>\n{t}\n</think>\n\n{a}",
    "deepseek-r1, opened by the prompt": lambda t, a: f"{t}\n</think>\n\n{a}",
    "deepseek-r1, opened twice": lambda t, a: f"<think>\n<think>\n{t}\n</think>\n{a}",
    "deepseek-r1, end of sentence": lambda t, a: f"<think>{t}</think>{a}<｜end▁of▁sentence｜>",
    "qwen": lambda t, a: f"<think>\n{t}\n</think>\n\n{a}<|im_end|>",
    "qwen, role": lambda t, a: f"<|im_start|>assistant\n<think>{t}</think>{a}<|im_end|>\n<|im_start|>user\n",
    "claude": lambda t, a: f"<thinking>{t}</thinking>\n<answer>{a}</answer>",
    "claude, scratchpad": lambda t, a: f"<scratchpad>\n{t}\n</scratchpad>\n{a}",
    "exaone": lambda t, a: f"<thought>{t}</thought>{a}[|endofturn|]",
    "reasoning": lambda t, a: f"<reasoning>{t}</reasoning>\n<answer>\n{a}\n</answer>",
    "letter case": lambda t, a: f"<THINK>{t}</Think>{a}",
    "attributes": lambda t, a: f'<think budget="200">{t}</think>{a}',
    "spaces": lambda t, a: f"<think >{t}</think >{a}",
    "nested": lambda t, a: f"<think>{t}<think>{t}</think>{t}</think>{a}",
    "nested, of other kinds": lambda t, a: f"<think>{t}<scratchpad>{t}</scratchpad>{t}</think>{a}",
    "several": lambda t, a: f"<think>{t}</think>\n<think>{t}</think>{a}",
    "closed by another name": lambda t, a: f"<think>{t}</thinking>{a}",
    "after the answer": lambda t, a: f"{a}\n<think>{t}</think>",
    "mistral": lambda t, a: f"[THINK]{t}[/THINK]{a}</s>",
    "sky-t1": lambda t, a: (
        f"<|begin_of_thought|>\n{t}\n<|end_of_thought|>\n<|begin_of_solution|>\n{a}\n<|end_of_solution|>"
    ),
    "kimi": lambda t, a: f"◁think▷{t}◁/think▷{a}",
    "seed": lambda t, a: f"<seed:think>{t}</seed:think>{a}",
    "command-r": lambda t, a: (
        f"<|START_THINKING|>{t}<|END_THINKING|><|START_RESPONSE|>{a}<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"
    ),
    "gemma 4": lambda t, a: f"<|channel>thought\n{t}<channel|>{a}<turn|>",
    "gemma": lambda t, a: f"<unused94>thought\n{t}<unused95>{a}<end_of_turn>",
    "gpt-oss": HARMONY.format,
    "gpt-oss, within the channel": lambda t, a: HARMONY.format(t, a).removeprefix("<|channel|>"),
    "gpt-oss, role": lambda t, a: "<|start|>assistant" + HARMONY.format(t, a),
    "gpt-oss, commentary": lambda t, a: (
        f"<|channel|>commentary to=functions.x <|constrain|>json<|message|>{t}<|call|>" + HARMONY.format(t, a)
    ),
    "gpt-oss, marks dropped": lambda t, a: f"analysis{t}assistantfinal{a}",
    "granite": lambda t, a: f"Here is my thought process:\n{t}\nHere is my response:\n{a}",
    "granite, shortened": lambda t, a: f"Here's my thought process: {t} Here's my response: {a}",
    "ollama": lambda t, a: f"Thinking...\n{t}\n...done thinking.\n\n{a}",
    "glm": lambda t, a: f"<think>{t}</think>\n<answer><|begin_of_box|>{a}<|end_of_box|></answer>",
    "ernie": lambda t, a: f"<think>\n{t}\n</think>\n\n<response>\n{a}\n</response>",
    "solar": lambda t, a: f"<think>{t}</think><Output>{a}</Output>",
    "apertus": lambda t, a: f"<|inner_prefix|>{t}<|inner_suffix|>{a}",
    "llama": lambda t, a: f"<|start_header_id|>assistant<|end_header_id|>\n\n<think>{t}</think>{a}<|eot_id|>",
    "phi": lambda t, a: f"<think>{t}</think>{a}<|end|>",
    "phi 4": lambda t, a: f"<|im_start|>assistant<|im_sep|><think>{t}</think>{a}<|im_end|>",
    "smollm": lambda t, a: f"<think>\n{t}\n</think>\n{a}<|im_end|>",
}

CASES = [
    ("gpt", X, X),
    ("gpt", f"  {X}\n\nmore", f"  {X}\n\nmore"),
    ("gpt", "words with < and >", "words with < and >"),
    ("gpt", "thinking and reasoning", "thinking and reasoning"),
    ("gpt", "analysis of data", "analysis of data"),
    ("gpt", "the tag <b>", "the tag <b>"),
    ("gpt", "the answer to all", "the answer to all"),
    ("qwen", f"<think></think>\n\n{X}", X),
    ("qwen", f"<think>\n\n</think>\n\n{X}", X),
    ("qwen", f"<think/>{X}", X),
    ("qwen", "<|im_end|>", ""),
    ("qwen", f"{X}<|endoftext|><|im_start|>user\nWords:", X),
    ("llama", f"{X}<|eot_id|>", X),
    ("llama", f"{X}</s>", X),
    ("llama", f"<s> {X} </s>", None),
    ("llama", f"{X}<|eot_id|><|start_header_id|>user<|end_header_id|>cat", X),
    ("mistral", f"{X}</s>[INST] more [/INST]", X),
    ("gemma", f"{X}<end_of_turn>", X),
    ("gemma", f"<start_of_turn>model\n{X}<end_of_turn>\n<eos>", X),
    ("phi", f"{X}<|end|>\n<|user|>\n", X),
    ("gpt-oss", "<|channel|>final<|message|>" + X + "<|return|>", X),
    ("gpt-oss", "<|start|>assistant<|message|>" + X + "<|end|>", X),
    ("gpt-oss", X + "<|return|>", X),
    ("smollm", f"{X}[EOS]", X),
    ("smollm", f"{X}<eos><pad><pad>", X),
    ("gpt", f"\ufeff{X}", X),
    ("gpt", f"\u200b {X}\u200b\n", X),
    ("gpt", f"\u00ad{X}\u2060", X),
    ("gpt", "a\u200db", "a\u200db"),
    ("claude", f"<answer>{X}</answer>", X),
    ("claude", f"The answer:\n<answer>{X}</answer>\nI hope it helps.", X),
    ("claude", f"<answer>{X}", X),
    ("claude", f"{X}</answer>", X),
    ("claude", f"<answer>fish</answer> No: <answer>{X}</answer>", X),
    ("glm", f"The label is <|begin_of_box|>{X}<|end_of_box|>.", X),
    ("gpt", "", ""),
]

UNFINISHED = [
    ("deepseek-r1", "<think>Perhaps fish"),
    ("deepseek-r1", "<think>"),
    ("deepseek-r1", "<think>a<think>b</think>c"),
    ("qwen", "<think>\nOkay, the user wants"),
    ("claude", "fish <thinking>or birds"),
    ("mistral", "[THINK]fish"),
    ("kimi", "◁think▷fish"),
    ("seed", "<seed:think>fish"),
    ("command-r", "<|START_THINKING|>fish"),
    ("gemma", "<|channel>thought\nfish"),
    ("gemma", "<unused94>thought\nfish"),
    ("gpt-oss", "<|channel|>analysis<|message|>fish"),
    ("gpt-oss", "<|channel|>analysis<|message|>fish<|end|><|start|>assistant<|channel|>"),
    ("granite", "Here is my thought process: fish"),
    ("ollama", "Thinking...\nfish"),
    ("sky-t1", "<|begin_of_thought|>fish"),
]

THOUGHTS = [
    "10 words",
    "Is it positive? No.",
    "A or B? B.",
    "1. fish\n2. cat\n3. 7",
    '{"label": "fish"}',
    "yes",
    "fish, 3",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("thought", THOUGHTS)
def test_thinking_is_told_from_the_answer_in_every_form(form: str, thought: str) -> None:
    split = split_thinking(FORMS[form](thought, X))
    assert (split.answer, split.unfinished) == (X, False)
    assert thought in split.thinking


@pytest.mark.parametrize(("family", "text", "answer"), CASES)
def test_marks_of_servers_are_taken_off(family: str, text: str, answer: str | None) -> None:
    split = split_thinking(text)
    assert not split.unfinished, family
    assert split.answer == answer if answer is not None else X in split.answer


@pytest.mark.parametrize(("family", "text"), UNFINISHED)
def test_thinking_that_was_never_closed_has_no_answer(family: str, text: str) -> None:
    split = split_thinking(text)
    assert (split.answer, split.unfinished) == ("", True), family
    assert read_label(text).reason == "unparsable"
    assert read_choice(text, "ABC") is None
    assert read_numbers(text, ["fish", "cat"]) is None
    assert read_list(text) == []
    assert read_summary(text) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("thought", THOUGHTS)
def test_no_thought_leaks_into_an_answer(form: str, thought: str) -> None:
    words = ["cat", "dog", "fish", "cow", "hen", "owl", "emu"]

    def say(answer: str) -> str:
        return FORMS[form](thought, answer)

    assert read_label(say("names of animals")).label == "names of animals"
    assert read_choice(say("C"), "ABC") == "C"
    assert read_name(say("negative"), ["positive", "negative"]) == "negative"
    assert read_yes_no(say("No.")) is False
    assert read_numbers(say("1, 2"), words) == (1, 2)
    assert read_list(say("a trout\nan eel")) == ["a trout", "an eel"]
    assert read_summary(say("animals")) == "animals"


@given(st.text(st.characters(exclude_characters="<>[]|◁▷\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")))
def test_text_without_marks_stays_as_it_is(text: str) -> None:
    if not text.strip().casefold().startswith(("thinking...", "here is my", "here's my", "analysis")):
        assert split_thinking(text).answer == text
