"""One choice is read out of those listed, in the styles of many families of models, and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conceptbench.runtime.readers import read_choice, read_name, read_yes_no

LETTERS = [
    ("gpt", "B", "B"),
    ("gpt", "b", "B"),
    ("gpt", "B.", "B"),
    ("gpt", "The answer is B.", "B"),
    ("gpt", "**B**", "B"),
    ("gpt", "(B)", "B"),
    ("gpt", "B) It fits the words but is imprecise.", "B"),
    ("gpt", "**B) imprecise**", "B"),
    ("gpt", '{"answer": "B"}', "B"),
    ("gpt", '```json\n{"answer": "b"}\n```', "B"),
    ("gpt", "B — it is imprecise", "B"),
    ("gpt-5", "Answer: B", "B"),
    ("gpt-5", "Final answer: B", "B"),
    ("claude", "I would choose B because A is too broad", "B"),
    ("claude", "I'd go with option B.", "B"),
    ("claude", "<answer>B</answer>", "B"),
    ("claude", "B\n\nThe label fits, but A is too strong.", "B"),
    ("claude", "Looking at the words, the answer is B.", "B"),
    ("claude", "I think it is C", "C"),
    ("claude", "The label is broad.\n\nAnswer: B", None),
    ("claude", "The label is broad.\n\nFinal answer: B", "B"),
    ("claude", "A fits, though C is close. So the answer is C.", "C"),
    ("gemini", "**Answer:** B", "B"),
    ("gemini", "The correct option is **B**.", "B"),
    ("gemini", "The best answer is B) because it is too wide.", "B"),
    ("gemini", "Option B", "B"),
    ("gemini", "Option B is correct.", "B"),
    ("llama", "Answer: B\nExplanation: A is too strong.", "B"),
    ("llama", "The correct answer is: B", "B"),
    ("llama", "B: imprecise", "B"),
    ("llama", "B<|eot_id|>", "B"),
    ("qwen", "\\boxed{B}", "B"),
    ("qwen", "$\\boxed{\\text{B}}$", "B"),
    ("qwen", "<think>A? No, C.</think>\n\nB", "B"),
    ("qwen", "答案：B", "B"),
    ("deepseek-r1", "<think>A is too broad</think>**B**", "B"),
    ("deepseek-r1", "A is too broad.</think>The answer is B.", "B"),
    ("deepseek-r1", "A is too broad. C is wrong.\n\n**Final Answer:** B", "B"),
    ("deepseek-r1", "Final answer: A. No, wait.\nFinal answer: B", "B"),
    ("mistral", " B", "B"),
    ("mistral", "My answer is B.", "B"),
    ("mistral", "The answer is option B", "B"),
    ("gemma", "B\n<end_of_turn>", "B"),
    ("gemma", "The answer is **B**: imprecise", "B"),
    ("phi", "B) imprecise<|end|>", "B"),
    ("phi", "Choice: B", "B"),
    ("gpt-oss", "<|channel|>analysis<|message|>A or C?<|end|><|start|>assistant<|channel|>final<|message|>B", "B"),
    ("gpt-oss", "analysisA or C? So A.assistantfinalB", "B"),
    ("smollm", "B\nA\n", None),
    ("smollm", "Answer: B.", "B"),
    ("command-r", "Sure! The answer is B.", "B"),
    ("command-r", "The answer would be B", "B"),
    ("german", "Die Antwort: B", None),
    ("german", "Antwort: B", "B"),
    ("french", "Réponse : B", "B"),
    ("spanish", "Respuesta: B", "B"),
    ("none", "A good label would be colours", None),
    ("none", "a label should be short", None),
    ("none", "A or B", None),
    ("none", "A, B", None),
    ("none", "A/B", None),
    ("none", "A and B", None),
    ("none", "A & B", None),
    ("none", "(A) or (B)", None),
    ("none", "**A** or **B**", None),
    ("none", "The answer is A or B.", None),
    ("none", "The answer is either A or B.", None),
    ("none", "either", None),
    ("none", "Both are fine", None),
    ("none", "D", None),
    ("none", "", None),
    ("none", "As a model I do not judge", None),
    ("none", "I'm sorry, but I can't choose A.", None),
    ("none", "None of A, B or C", None),
    ("none", "Can you repeat?", None),
    ("none", "A?", None),
    ("none", "The answer is not B.", None),
    ("none", "A is wrong", None),
    ("none", "A\nB\nC", None),
    ("none", "ABC", None),
    ("none", '{"answer": "D"}', None),
    ("none", '{"answer": "A or B"}', None),
    ("none", '{"words": "A"}', None),
    ("none", "\\boxed{A, B}", None),
    ("none", "<html>A</html>", None),
    ("none", "Answer:", None),
    ("none", "the answer is a matter of taste", None),
]

PREFERENCES = [
    ("gpt", "1", "1"),
    ("gpt", "2.", "2"),
    ("gpt", "Label 2", "2"),
    ("gpt", '{"answer": 1}', "1"),
    ("gpt", '{"preference": "both"}', "both"),
    ("claude", "Label 2 is better", "2"),
    ("claude", "I prefer label 1.", "1"),
    ("claude", "Neither", "neither"),
    ("gemini", "**both**", "both"),
    ("gemini", "Both (equally well)", "both"),
    ("llama", "Answer: label 1", "1"),
    ("llama", "Neither of them", "neither"),
    ("qwen", "\\boxed{2}", "2"),
    ("deepseek-r1", "<think>1 or 2?</think>2", "2"),
    ("mistral", "The answer is 1.", "1"),
    ("gemma", "1\n\nLabel 1 is precise.", "1"),
    ("phi", "Answer: both", "both"),
    ("gpt-oss", "analysis1 is fine.assistantfinal2", "2"),
    ("smollm", "1 or 2", None),
    ("smollm", "1 and 2", None),
    ("smollm", "1, 2", None),
    ("command-r", "The better label is 2", "2"),
    ("none", "12", None),
    ("none", "The first", None),
    ("none", "1-2", None),
    ("none", "", None),
]

NAMES = [
    ("gpt", "positive", "positive"),
    ("gpt", "Positive.", "positive"),
    ("gpt", "Class: negative", "negative"),
    ("gpt", '{"class": "negative"}', "negative"),
    ("gpt", '{"Label": "Neutral"}', "neutral"),
    ("claude", "The text is positive.", "positive"),
    ("claude", "I would say negative.", "negative"),
    ("claude", "<answer>neutral</answer>", "neutral"),
    ("gemini", "**negative**", "negative"),
    ("gemini", "The sentiment is **positive**, not negative.", "positive"),
    ("llama", "The class of this text is: neutral", "neutral"),
    ("llama", "It is negative because it isn't positive.", "negative"),
    ("llama", "Positive\n\nThe text is not negative.", "positive"),
    ("qwen", "\\boxed{positive}", "positive"),
    ("qwen", "<think>Is it positive? No.</think> negative", "negative"),
    ("deepseek-r1", "Is it positive? No.</think>negative", "negative"),
    ("mistral", "positive\nText: another one. Class: negative", "positive"),
    ("gemma", "negative<end_of_turn>", "negative"),
    ("phi", "negative, rather than positive", "negative"),
    ("gpt-oss", "analysispositive?assistantfinalneutral", "neutral"),
    ("smollm", "'positive'", "positive"),
    ("command-r", "The class is neutral.", "neutral"),
    ("none", "Is it positive? No.", None),
    ("none", "It is not positive.", None),
    ("none", "It isn't negative.", None),
    ("none", "positive or negative", None),
    ("none", "neither positive nor negative", None),
    ("none", "positively so", None),
    ("none", "non-negative", None),
    ("none", "", None),
    ("none", "I cannot say whether it is positive", None),
    ("none", '{"class": "mixed"}', None),
]

YES_NO = [
    ("gpt", "Yes", True),
    ("gpt", "No.", False),
    ("gpt", '{"answer": "yes"}', True),
    ("gpt", '{"answer": false}', False),
    ("claude", "Yes, they describe the same thing.", True),
    ("claude", "No, the two are different.", False),
    ("gemini", "**No**", False),
    ("llama", "Answer: yes", True),
    ("llama", "No\n\nThe first is about birds.", False),
    ("qwen", "\\boxed{no}", False),
    ("deepseek-r1", "<think>Yes? yes.</think>No", False),
    ("gpt-oss", "analysisyesassistantfinalno", False),
    ("mistral", "The answer is yes.", True),
    ("none", "No idea", None),
    ("none", "Yes or no", None),
    ("none", "No, I cannot tell", None),
    ("none", "", None),
    ("none", "yesterday", None),
]

WRAPPERS = [
    *(
        "{}",
        " {}\n",
        "{}.",
        "**{}**",
        "({})",
        '"{}"',
        "Answer: {}",
        "**Answer:** {}",
        "The answer is {}.",
        "`{}`",
        "Final answer: {}",
    ),
    *(
        '{{"answer": "{}"}}',
        '```json\n{{"answer": "{}"}}\n```',
        "```\n{}\n```",
        "\\boxed{{{}}}",
        "$\\boxed{{\\text{{{}}}}}$",
        "- {}",
    ),
    *(
        "<answer>{}</answer>",
        "{}\n\nExplanation: it fits.",
        "{}<|eot_id|>",
        "<think>x</think>{}",
        "Here is my answer:\n{}",
        "Sure!\n{}",
    ),
    *("I would choose {}.", "Answer: {}\nIt fits.", "My answer is: {}"),
]


@pytest.mark.parametrize(("family", "text", "letter"), LETTERS)
def test_a_letter_is_read_only_where_it_is_chosen(family: str, text: str, letter: str | None) -> None:
    assert read_choice(text, "ABC") == letter, family


@pytest.mark.parametrize(("family", "text", "choice"), PREFERENCES)
def test_a_preference_is_read_only_where_it_is_one(family: str, text: str, choice: str | None) -> None:
    assert read_choice(text, ["1", "2", "both", "neither"]) == choice, family


@pytest.mark.parametrize(("family", "text", "name"), NAMES)
def test_a_class_is_read_only_where_it_is_named_alone(family: str, text: str, name: str | None) -> None:
    assert read_name(text, ["negative", "positive", "neutral"]) == name, family


@pytest.mark.parametrize(("family", "text", "is_yes"), YES_NO)
def test_yes_and_no_are_read_only_where_they_are_plain(family: str, text: str, is_yes: bool | None) -> None:
    assert read_yes_no(text) is is_yes, family


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_choice_is_taken_out_of_every_wrapper(wrapper: str) -> None:
    assert [read_choice(wrapper.format(letter), "ABC") for letter in "ABC"] == ["A", "B", "C"]
    assert [read_choice(wrapper.format(word), ["1", "2", "both"]) for word in ("1", "2", "both")] == ["1", "2", "both"]
    assert [read_name(wrapper.format(word), ["up", "down"]) for word in ("up", "Down")] == ["up", "down"]
    assert (read_yes_no(wrapper.format("yes")), read_yes_no(wrapper.format("No"))) == (True, False)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("nothing", ["", "none of them", "D", "A or B", "I cannot help with that", "maybe"])
def test_nothing_in_a_wrapper_is_nothing(wrapper: str, nothing: str) -> None:
    assert read_choice(wrapper.format(nothing), "ABC") is None


@given(st.text(max_size=200))
def test_only_what_was_listed_is_chosen(text: str) -> None:
    assert read_choice(text, "ABC") in {None, "A", "B", "C"}
    assert read_name(text, ["up", "down"]) in {None, "up", "down"}
