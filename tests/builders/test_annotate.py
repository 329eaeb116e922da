"""Naming concepts: replies become labels or reasons, and refused concepts are asked again."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conceptbench.benchmark.prompts import load_prompt
from conceptbench.builders.annotate import ConceptView, annotate, open_annotator, read_labels
from conceptbench.builders.lexical import lexical_label
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.readers import read_label


def view(*words: str, count: int = 2) -> ConceptView:
    return ConceptView("m/L00/C0000", tuple((word, count) for word in words), ("A sentence .",))


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("Days of the week", "Days of the week"),
        ("Label: days of the week.", "days of the week"),
        ('  "Days of the week"  \nThese words ...', "Days of the week"),
        ("**Label:** Modal verbs", "Modal verbs"),
        ("The label is: modal verbs", "modal verbs"),
        ("- modal verbs", "modal verbs"),
        ("1. modal verbs", "modal verbs"),
        ('{"label": "modal verbs"}', "modal verbs"),
        ("12 angry men", "12 angry men"),
        ("verbs ending in -ing", "verbs ending in -ing"),
        ("names (people)", "names (people)"),
        ("C", "C"),
        ("日付", "日付"),
        ("3D shapes", "3D shapes"),
        ("apologies and regrets", "apologies and regrets"),
        ("concepts of law", "concepts of law"),
    ],
)
def test_a_label_is_read_out_of_a_reply(reply: str, label: str) -> None:
    assert read_label(reply) == (label, None)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I’m sorry, I cannot assist with this request", "refused"),
        ("As an AI language model, I do not label people.", "refused"),
        ("I am unable to provide a label", "refused"),
        ("", "unparsable"),
        (" \n\t", "unparsable"),
        ("...", "unparsable"),
        ("<html><body>502</body></html>", "unparsable"),
        ("<script>alert(1)</script>", "unparsable"),
        ("```python", "unparsable"),
        ("word " * 13, "unparsable"),
        ("x" * 101, "unparsable"),
        ("a\x07b", "unparsable"),
        ('{"words": "x"}', "unparsable"),
        ("{broken", "unparsable"),
    ],
)
def test_what_is_no_label_is_recorded_as_what_it_is(reply: str, reason: str) -> None:
    assert read_label(reply) == (None, reason)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("The the THE", 'the word "The"'),
        ("12 3.5 1999 7%", "numbers"),
        (". , ; !", "punctuation"),
        ("B2 F16 4x4", "words with digits"),
        ("NATO UN EU", "words in capital letters"),
        ("twenty-two well-known re-open", "hyphenated words"),
        ("walking talking singing", "words ending in -ing"),
        ("nation station ration creation dog", "words ending in -ation"),
        ("unfair unkind unwise", "words starting with un-"),
        ("Paris London Rome Oslo", "capitalised words such as Paris, London, Rome"),
        ("cat dog horse", "cat, dog, horse"),
        (", . cat dog of", "cat, dog, of"),
    ],
)
def test_the_lexical_baseline_names_the_common_form(words: str, label: str) -> None:
    assert lexical_label([(word, 1) for word in words.split()]) == label


def ask(server: Any, words: list[ConceptView], prompt: str = "zero-shot", **options: Any) -> list[list[Any]]:
    def client(system: str) -> LLM:
        return open_llm(system, base_url=server.base_url, **{"timeout": 2.0, "retries": 1} | options)

    annotator = open_annotator("openai:m", prompt=load_prompt(prompt), open_client=client)
    try:
        return annotate(words, annotator)
    finally:
        annotator.close()


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_every_kind_of_reply_is_an_attempt_and_none_stops_the_run(fault_server: Any, faults: ModuleType) -> None:
    replies = [
        faults.chat("Label: animals"),
        faults.chat(""),
        faults.chat("x" * 100_000),
        faults.chat("an answer that", finish="length"),
        faults.chat("animals\nand", finish="length"),
        faults.error(500, "boom"),
        faults.Answer(b"<html>"),
        faults.chat("<b>animals</b>"),
    ]
    views = [view(f"w{i}", f"v{i}") for i in range(len(replies))]
    prompt = load_prompt("zero-shot")
    for one, reply in zip(views, replies, strict=True):
        fault_server.script[prompt.messages(one.words)[-1].content] = [reply]
    last = [attempts[-1] for attempts in ask(fault_server, views)]
    assert [(a.label, a.reason) for a in last] == [
        ("animals", None),
        (None, "unparsable"),
        (None, "unparsable"),
        (None, "unparsable"),
        ("animals", None),
        (None, "failed"),
        (None, "failed"),
        (None, "unparsable"),
    ]
    assert all(a.raw is None or len(a.raw) <= 2000 for a in last)
    assert (last[0].tokens_in, last[0].tokens_out) == (11, 3)


@pytest.mark.parametrize("first", ["refusal in words", "refusal", "filter", "filter as an error"])
def test_a_refused_concept_is_asked_with_types_and_then_with_another_prompt(
    fault_server: Any, faults: ModuleType, first: str
) -> None:
    answer = {
        "refusal in words": faults.chat("I'm sorry, but I can't help."),
        "refusal": faults.chat(None, refusal="no"),
        "filter": faults.chat("", finish="content_filter"),
        "filter as an error": faults.error(400, "filtered", code="content_filter"),
    }[first]
    reason = "refused" if "refusal" in first else "filtered"
    asked = view("a", "b")
    prompt = load_prompt("zero-shot")
    other = load_prompt("lexical").messages(asked.words)[-1].content
    fault_server.default = answer
    fault_server.script[other] = [faults.chat("letters")]
    (attempts,) = ask(fault_server, [asked])
    assert [(a.prompt, a.label, a.reason) for a in attempts] == [
        ("zero-shot", None, reason),
        ("zero-shot+types", None, reason),
        ("lexical", "letters", None),
    ]
    questions = list(fault_server.asked)
    assert questions == [
        prompt.messages(asked.words)[-1].content,
        prompt.vary(unit="types").messages(asked.words)[-1].content,
        other,
    ]


def test_the_same_question_is_not_asked_twice(fault_server: Any, faults: ModuleType) -> None:
    # `semantic` asks with types from the start, so only the other prompt is left.
    fault_server.default = faults.chat("I cannot assist with that.")
    (attempts,) = ask(fault_server, [view("a", "b")], "semantic")
    assert [a.prompt for a in attempts] == ["semantic", "lexical"]
    assert attempts[-1].reason == "refused"


def test_a_missing_key_shows_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        open_annotator("openai:m", prompt=load_prompt("zero-shot"), open_client=open_llm)


def test_recorded_labels(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("concept,label\nm/L00/C0000,pets of people\nm/L00/C0001,x\n")
    annotator = open_annotator(f"file:{path}")
    assert annotator.name == "file:people.csv"
    (known,), missing = annotate([view("a"), ConceptView("m/L00/C0009", (("b", 1),))], annotator)
    assert (known.label, known.reason) == ("pets of people", None)
    assert missing == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "concept,name\nx,y\n", "row 1: a row must have"),
        ("a.csv", "concept,label\nx,y\nx,z\n", "row 2: concept x stands in it twice"),
        ("a.jsonl", '{"concept": "x", "label": 3}\n', "row 1"),
        ("a.jsonl", "{", "neither CSV nor JSON"),
    ],
)
def test_wrong_recorded_labels_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_labels(path)


def test_a_class_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_annotator.py").write_text(
        "class First:\n    def label(self, words, contexts):\n        return f'{words[0][0]} in {len(contexts)}'\n"
        "class Wrong:\n    def label(self, words, contexts):\n        return 3\n"
        "class Empty: pass\n"
    )
    monkeypatch.chdir(tmp_path)
    (attempt,) = annotate([view("cats", "dogs")], open_annotator("python:own_annotator:First"))[0]
    assert attempt.label == "cats in 1"
    with pytest.raises(ConceptBenchError, match="gave int"):
        annotate([view("cats")], open_annotator("python:own_annotator:Wrong"))
    for name, message in (("Empty", "method label"), ("Gone", "no attribute"), ("", "cannot be made|of the form")):
        with pytest.raises(InputError, match=message):
            open_annotator(f"python:own_annotator:{name}")


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(InputError, match="lexical, openai"):
        open_annotator("carrier:pigeon")


@pytest.mark.slow
def test_a_real_model_names_plain_lists(smollm2_folder: str) -> None:
    lists = {
        "red, blue, green, yellow, purple": "colo",
        "apple, banana, pear, cherry, mango": "fruit",
        "1990, 1995, 2001, 1987, 1999": "year|number|date",
        "dog, cat, horse, cow, sheep": "animal",
        "January, March, July, October, May": "month",
    }
    views = [view(*words.split(", ")) for words in lists]
    annotator = open_annotator("local:smollm2", prompt=load_prompt("few-shot"), open_client=open_llm)
    labels = [attempts[-1].label or "" for attempts in annotate(views, annotator)]
    hits = [
        any(key in label.lower() for key in keys.split("|")) for label, keys in zip(labels, lists.values(), strict=True)
    ]
    assert sum(hits) >= 4, labels
