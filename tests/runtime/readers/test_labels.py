"""Labels are read in the styles of many families of models, and never invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conceptbench.runtime.readers import read_label

X = "names of birds"

CASES = [
    ("gpt", X, X),
    ("gpt", "Names of birds.", "Names of birds"),
    ("gpt", '"Names of birds"', "Names of birds"),
    ("gpt", "**Names of birds**", "Names of birds"),
    ("gpt", "**Label:** Names of birds", "Names of birds"),
    ("gpt", "**Label: Names of birds**", "Names of birds"),
    ("gpt", "Label: **Names of birds**", "Names of birds"),
    ("gpt", "**Names of birds** – words that name animals which fly.", "Names of birds"),
    ("gpt", "**Names of birds** — these are all animals.", "Names of birds"),
    ("gpt", "Names of birds (because all of them fly)", "Names of birds"),
    ("gpt", "Names of birds\n\nExplanation: these fly.", "Names of birds"),
    ("gpt", "Names of birds. These words are animals.", "Names of birds"),
    ("gpt", "Sure! Here is a short label for the words:\n\n**Names of birds**", "Names of birds"),
    ("gpt", "Certainly!\n\nNames of birds", "Names of birds"),
    ("gpt", 'A suitable label would be "Names of birds".', "Names of birds"),
    ("gpt", 'A good label for these words would be: **"Names of birds"**', "Names of birds"),
    ("gpt", '```json\n{\n  "label": "names of birds"\n}\n```', X),
    ("gpt", '{"label": "names of birds", "why": "they fly"}', X),
    ("gpt", '{"Label": "names of birds"}', X),
    ("gpt", '{"answer": "names of birds"}', X),
    ("gpt", '[{"label": "names of birds"}]', X),
    ("gpt", '["names of birds"]', X),
    ("gpt", '{\n\t"LABEL" : "names of birds"\n}', X),
    ("gpt", 'I would label this group as "names of birds".', X),
    ("gpt", 'I\'d call these "names of birds".', X),
    ("gpt", "Here's a concise label: names of birds", X),
    ("gpt-5", "Label: names of birds", X),
    ("gpt-5", "names of birds — these words all name birds", X),
    ("claude", "<label>names of birds</label>", X),
    ("claude", "<label>\nnames of birds\n</label>", X),
    ("claude", "Here is a label:\n\n<label>names of birds</label>", X),
    ("claude", 'Based on the given words, a suitable label is "names of birds".', X),
    ("claude", "Based on these words, I would label this group as: names of birds", X),
    ("claude", "Looking at these words, the common theme is names of birds.", X),
    ("claude", "# Names of birds\n\nThese words name birds.", "Names of birds"),
    ("claude", "## Label\n\nnames of birds", X),
    ("claude", "**Label**\n\nnames of birds", X),
    ("claude", "names of birds\n\nThese words all name birds.", X),
    ("claude", "The words share one thing:\nnames of birds", X),
    ("claude", "<answer>names of birds</answer>", X),
    ("gemini", "**Names of Birds**\n", "Names of Birds"),
    ("gemini", "*   **Names of birds**", "Names of birds"),
    ("gemini", "Here's a label for the words: **Names of birds**", "Names of birds"),
    ("gemini", "The best label is: **names of birds**", X),
    ("gemini", "Okay, here is a short label:\n\n**names of birds**", X),
    ("gemini", "Okay, here's a label that fits:\n```\nnames of birds\n```", X),
    ("gemini", "```\nnames of birds\n```", X),
    ("gemini", "```text\nnames of birds\n```", X),
    ("llama", "The label for this list of words is: names of birds", X),
    ("llama", "The common theme among these words is names of birds.", X),
    ("llama", "Here is a short and concise label that best describes the words:\n\nNames of birds", "Names of birds"),
    ("llama", "Label: names of birds\n\nNote: I chose it because ...", X),
    ("llama", "names of birds<|eot_id|>", X),
    ("llama", "Answer: names of birds", X),
    ("llama", "The answer is: names of birds", X),
    ("llama", "1. Names of birds", "Names of birds"),
    ("llama", "* names of birds", X),
    ("llama", 'I\'d suggest the label: "names of birds"', X),
    ("llama", 'These words can be labeled as "names of birds".', X),
    ("qwen", "names of birds<|im_end|>", X),
    ("qwen", "<think>\n\n</think>\n\nnames of birds", X),
    ("qwen", "标签：names of birds", X),
    ("qwen", "答案: names of birds", X),
    ("qwen", "这些词的共同主题是鸟类", "鸟类"),
    ("qwen", "鸟的名称", "鸟的名称"),
    ("qwen", "好的，标签：鸟的名称", "鸟的名称"),
    ("qwen", "\\boxed{names of birds}", X),
    ("qwen", "$\\boxed{\\text{names of birds}}$", X),
    ("qwen", "The label is \\boxed{\\text{names of birds}}.", X),
    ("deepseek-r1", "<think>fish? No.</think>\n\n**Label:** names of birds", X),
    ("deepseek-r1", "fish? No.</think>names of birds", X),
    ("deepseek-r1", "**Answer:** names of birds", X),
    ("deepseek-r1", "**Final Answer**\n\\boxed{names of birds}", X),
    ("mistral", " names of birds", X),
    ("mistral", 'Label: "names of birds" (these are animals)', X),
    ("mistral", "Label: Names of birds (as they fly)", "Names of birds"),
    ("mistral", "names of birds</s>", X),
    ("mistral", "Answer -> names of birds", X),
    ("mistral", "Label -> names of birds", X),
    ("mistral", "label = names of birds", X),
    ("gemma", "**Names of birds** \n\n\n", "Names of birds"),
    ("gemma", "Names of birds <end_of_turn>", "Names of birds"),
    (
        "gemma",
        "Here's a label for the words:\n\n**Names of birds**\n\nLet me know if you'd like another!",
        "Names of birds",
    ),
    ("phi", "Label: Names of birds<|end|>", "Names of birds"),
    ("phi", "names of birds.\n\nThese words, ...", X),
    ("phi", "Output:\nnames of birds", X),
    (
        "gpt-oss",
        "<|channel|>analysis<|message|>fish?<|end|><|start|>assistant<|channel|>final<|message|>names of birds",
        X,
    ),
    ("gpt-oss", "analysisWe look.assistantfinalnames of birds", X),
    ("gpt-oss", "**names of birds**", X),
    ("smollm", "The topic or the kind of thing that these words share is birds.", "birds"),
    ("smollm", 'The label for this list of words is "birds."', "birds"),
    ("smollm", 'You can label this list as "birds"', "birds"),
    ("smollm", "Label:\nnames of birds", X),
    ("smollm", "The words are:\nnames of birds", X),
    ("command-r", "Names of birds.", "Names of birds"),
    ("command-r", "Of course, the label would be: names of birds", X),
    ("command-r", "Sure, here is a label: names of birds", X),
    ("yaml", "label: names of birds", X),
    ("yaml", "```yaml\nlabel: names of birds\n```", X),
    ("yaml", "label: |\n  names of birds", X),
    ("yaml", "- label: names of birds", X),
    ("yaml", "---\nlabel: names of birds\n---", X),
    ("quotes", "“names of birds”", X),
    ("quotes", "„names of birds“", X),
    ("quotes", "«names of birds»", X),
    ("quotes", "‘names of birds’", X),
    ("quotes", "`names of birds`", X),
    ("quotes", "_names of birds_", X),
    ("quotes", "*names of birds*", X),
    ("quotes", "'names of birds'.", X),
    ("quotes", "***names of birds***", X),
    ("formula", "$names of birds$", X),
    ("german", "Hier ist eine Bezeichnung für die Wörter:\nVogelnamen", "Vogelnamen"),
    ("german", "Natürlich! Hier ist das Label: Vogelnamen", "Vogelnamen"),
    ("german", "Bezeichnung: Vogelnamen", "Vogelnamen"),
    ("german", "Das Label lautet: Vogelnamen", "Vogelnamen"),
    ("french", "Voici une étiquette : noms d'oiseaux", "noms d'oiseaux"),
    ("french", "Étiquette : noms d'oiseaux", "noms d'oiseaux"),
    ("french", "Bien sûr ! Voici l'étiquette :\nnoms d'oiseaux", "noms d'oiseaux"),
    ("spanish", "Aquí tienes una etiqueta: nombres de aves", "nombres de aves"),
    ("spanish", "¡Claro! La etiqueta es: nombres de aves", "nombres de aves"),
    ("spanish", "Etiqueta: nombres de aves", "nombres de aves"),
]

PLAIN = [
    *("apologies and refusals", "unknown quantities", "words of negation such as none", "phrases such as I'm sorry"),
    *(
        "verbs ending in -ing",
        "and/or",
        "re- verbs",
        "self-driving cars",
        "TCP/IP",
        "parts of speech: nouns",
        "C",
        "日付",
    ),
    *("3D shapes", "12 angry men", "names (people)", "U.S. states", "St. Louis", "J. K. Rowling's characters", "-ing"),
    *(
        "the concept of time",
        "names and titles",
        "answers",
        "labels of clothes",
        "categories",
        "none or all",
        "people unable to help",
    ),
    *(
        "words starting with un-",
        "here and there",
        "sure and certain",
        "okay, fine",
        "events since the war",
        "great apes",
    ),
    *("these, those and this", "the number two", "1999", "50%", "$5 notes", "first, second, third", "themes of war"),
    *(
        "theories of thought",
        "the verb to be",
        "thinking",
        "reasoning and analysis",
        "noun: animal",
        "Let's and let us",
    ),
    *(
        "snake_case names",
        "don't and won't",
        "the cat's tail",
        "names of 'stars' and planets",
        "C++",
        "C#",
        ".NET",
        "e-mail",
    ),
    *("based on a true story", "given names", "looking and seeing", "no smoking signs", "from here to there"),
]

REFUSED = [
    ("gpt", "I'm sorry, but I can't help with that."),
    ("gpt", "I’m sorry, but I can’t assist with that request."),
    ("gpt", "I cannot help with that"),
    ("gpt", "As an AI language model, I do not label people."),
    ("gpt", "Sorry, but I can't provide a label."),
    ("gpt", "Sorry, I cannot comply."),
    ("gpt", "Sure! I'm sorry, but I can't help."),
    ("claude", "I apologize, but I cannot label these words."),
    ("claude", "I don't feel comfortable labeling these words."),
    ("claude", "I must respectfully decline."),
    ("claude", "I won't label these."),
    ("gemini", "I am unable to provide a label."),
    ("gemini", "As a large language model, I cannot judge."),
    ("llama", "I can't fulfill that request."),
    ("llama", "I cannot create content of this kind."),
    ("llama", "Label: I cannot provide a label."),
    ("llama", "**I'm sorry**, I can't do that."),
    ("qwen", "抱歉，我无法提供标签。"),
    ("qwen", "作为一个AI语言模型，我不能回答。"),
    ("qwen", "<think>fish</think>I'm sorry, I can't."),
    ("deepseek", "I'm unable to help with this."),
    ("mistral", "I'm really not able to: I cannot label slurs."),
    ("gemma", "I am not able to label these."),
    ("phi", "I'm very sorry, but that is not possible."),
    ("gpt-oss", "analysisNot allowed.assistantfinalI’m sorry, but I can’t help with that."),
    ("smollm", "Unable to comply."),
    ("command-r", '{"label": "I cannot help with that"}'),
    ("german", "Es tut mir leid, aber ich kann das nicht."),
    ("french", "Désolé, je ne peux pas."),
    ("spanish", "Lo siento, no puedo ayudar."),
]

NOTHING = [
    *(
        "",
        " \n\t",
        "...",
        "…",
        "-",
        "--",
        "?",
        "None",
        "none.",
        "**None**",
        "N/A",
        "n/a",
        "NA",
        "null",
        "Unknown",
        '"unknown"',
    ),
    *(
        "I don't know",
        "I don't know.",
        "I do not know the answer.",
        "I'm not sure.",
        "No common theme",
        "no clear label",
    ),
    *(
        "There is no clear label",
        "There is no common theme among these words.",
        "No obvious connection",
        "nothing in common",
    ),
    *(
        "There are no common features",
        "Label: None",
        "Label: N/A",
        "Label:",
        "**Label:**",
        "The label is: unknown",
        "Sure!",
    ),
    *(
        "Certainly!",
        "Sure! Here is a short label for the words:",
        "Here is the label:",
        "Of course, the label would be:",
    ),
    *(
        "The words do not share a theme.",
        "These words don't have anything in common",
        "Please provide the words.",
        "无",
    ),
    *(
        "Could you give me more words?",
        "It is difficult to determine a label.",
        "Insufficient information",
        "Not applicable",
    ),
    *(
        "<html><body>502</body></html>",
        "<script>alert(1)</script>",
        "```python\nprint('x')\n```",
        "```",
        "```json\n{}\n```",
    ),
    *(
        '{"label": null}',
        '{"label": ""}',
        '{"label": ["a", "b"]}',
        '{"words": "x"}',
        "{broken",
        "[]",
        "a\x07b",
        "x" * 101,
    ),
    *(
        "word " * 13,
        "Okay, so the user wants a label",
        "Let me think about these words.",
        "We need to find a label",
        "Words:",
    ),
    *(
        "analysisWe need a label",
        "The list of words is:",
        "---",
        "| --- |",
        "A short label that best describes these words:",
    ),
    *(
        '{"label": "None"}',
        "\\boxed{}",
        "<label></label>",
        "None of the above",
        "Hier ist das Label:",
        "Voici :",
        "以下是标签：",
    ),
]

WRAPPERS = [
    *(
        "{}",
        " {} ",
        "{}\n",
        "{}.",
        '"{}"',
        "'{}'",
        "“{}”",
        "**{}**",
        "*{}*",
        "_{}_",
        "`{}`",
        "- {}",
        "1. {}",
        "# {}",
        "Label: {}",
    ),
    *(
        "**Label:** {}",
        "**Label**: {}",
        "Label:\n{}",
        "label: {}",
        "The label is: {}",
        "Answer -> {}",
        "Sure! Label: {}",
    ),
    *(
        "Sure! Here is a short label for the words:\n{}",
        "Here is a label: {}",
        "<label>{}</label>",
        "<answer>{}</answer>",
    ),
    *(
        "```\n{}\n```",
        "```text\n{}\n```",
        '{{"label": "{}"}}',
        '{{"Label": "{}"}}',
        '{{\n "answer": "{}"\n}}',
        '["{}"]',
        "\\boxed{{{}}}",
    ),
    *(
        "$\\boxed{{\\text{{{}}}}}$",
        "{}\n\nExplanation: they are alike.",
        "{}. These words are alike.",
        "**{}** – these are alike",
    ),
    *(
        "{} (because they are alike)",
        'Based on the given words, a suitable label is "{}".',
        "<think>x</think>{}",
        "{}<|im_end|>",
    ),
    *(
        "The common theme of these words is: {}",
        'The best label for these words would be "{}".',
        "\ufeff{}",
        "{}\nfish",
    ),
]


@pytest.mark.parametrize(("family", "text", "label"), CASES)
def test_a_label_is_read_in_the_style_of_its_family(family: str, text: str, label: str) -> None:
    assert read_label(text) == (label, None), family


@pytest.mark.parametrize("label", PLAIN)
def test_a_plain_label_stays_as_it_is(label: str) -> None:
    assert read_label(label) == (label, None)


@pytest.mark.parametrize(("family", "text"), REFUSED)
def test_a_refusal_is_no_label(family: str, text: str) -> None:
    assert read_label(text) == (None, "refused"), family


@pytest.mark.parametrize("text", NOTHING)
def test_what_says_nothing_is_no_label(text: str) -> None:
    assert read_label(text) == (None, "unparsable")


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(
    "label", [X, "verbs of motion", "re- verbs", "and/or", "日付", "unknown quantities", "noun: animal"]
)
def test_a_label_is_taken_out_of_every_wrapper(wrapper: str, label: str) -> None:
    assert read_label(wrapper.format(label)).label == label


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_nothing_in_a_wrapper_is_nothing_and_a_refusal_is_one(wrapper: str) -> None:
    assert read_label(wrapper.format("None")).label is None
    assert read_label(wrapper.format("I cannot help with that")).reason == "refused"


@given(st.text(max_size=300))
def test_what_is_read_always_fits(text: str) -> None:
    label = read_label(text).label
    assert label is None or (0 < len(label) <= 100 and len(label.split()) <= 12 and label.isprintable())


@given(
    st.lists(
        st.sampled_from(["cats", "dogs", "of", "verbs", "blue", "names", "and", "red", "ships"]), min_size=1, max_size=6
    )
)
def test_plain_words_are_unchanged(words: list[str]) -> None:
    assert read_label(" ".join(words)).label == " ".join(words)


def test_the_last_line_of_a_reply_that_was_cut_does_not_count() -> None:
    assert read_label("names of birds\nThese wor", cut=True).label == X
    assert read_label("Here is a label:\nnames of bi", cut=True).label is None
    assert read_label("names of bi", cut=True).label is None
