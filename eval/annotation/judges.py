"""Language models as judges of labels: the rubric they are given, and how their answers are read.

A judge sees words, sentences and a label, never who wrote it. It answers like a person does: Q1 and Q2 as one choice
of three (order shuffled), Q3 against another label (order shuffled), and which of some unseen words belong.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from conceptbench.benchmark.prompts import LONGEST_CONTEXT, LONGEST_WORD
from conceptbench.eval.annotation.records import ITEM, Rating, Record
from conceptbench.eval.judges.asking import (
    ANSWER_TOKENS,
    LETTERS,
    LONGEST_RAW,
    addresses_rater,
    ask,
    fill,
    quoted,
    read_choice,
    reply_text,
)
from conceptbench.eval.stats.agreement import SCALE
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.llm import LLM, Message, Request, Usage, public_name
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.readers import read_choice as read_one_of
from conceptbench.runtime.readers import read_numbers

TESTED_WORDS = 5
"""Held-out words, and strangers, that a judge is shown to tell them apart."""

_SHOWN_WORDS = 30
_SHOWN_CONTEXTS = 3
_PREFERENCES = ("1", "2", "both", "neither")


@dataclass(frozen=True)
class Rubric:
    """The texts of the judges' questions; people are asked the same."""

    system: str
    grade: str
    options: Mapping[str, str]
    prefer: str
    belongs: str
    examples: tuple[Mapping[str, Any], ...]
    sha256: str


@cache
def load_rubric() -> Rubric:
    """Load the packaged rubric."""
    content = (files("conceptbench.eval.annotation") / "rubric.toml").read_bytes()
    fields = tomllib.loads(content.decode())
    return Rubric(
        **{name: fields[name] for name in ("system", "grade", "options", "prefer", "belongs")},
        examples=tuple(fields["examples"]),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def rubric_sha256() -> str:
    """Give the digest of the packaged rubric."""
    return load_rubric().sha256


def judge(
    records: Sequence[Record], system: str, client: LLM, *, seed: int, progress: Progress
) -> tuple[dict[int, Rating], Usage]:
    """Have a judge rate every label.

    Parameters
    ----------
    records : items and controls; those without a label are not rated.
    system : the judge.
    client : asks it.
    seed : of the orders in which options, labels and words are listed.

    Returns
    -------
    its ratings by the number of the record, and what they took.
    """
    name = public_name(system)
    questions: list[_Question] = []
    answers: dict[int, dict[str, Any]] = {}
    for number, record in enumerate(records):
        if record.label is None:
            continue
        answers[number] = {}
        if addresses_rater(record.label):
            answers[number] = {"grade": SCALE[0], "raw": "not asked: the label addresses its rater"}
        else:
            questions += _questions(number, record, record.label, name, seed)
            if record.other is not None and record.other.casefold() == record.label.casefold():
                answers[number]["preference"] = "both"
    replies, usage = ask(client, [question.request for question in questions], f"Judging with {name}", progress)
    for question, reply in zip(questions, replies, strict=True):
        answers[question.number][question.field] = question.read(reply_text(reply))
        if question.field == "grade":
            answers[question.number]["raw"] = (reply.text or reply.detail or "")[:LONGEST_RAW]
    return {number: Rating(name, "judges", **fields) for number, fields in answers.items()}, usage


@dataclass(frozen=True)
class _Question:
    """A question about a record: the field of the rating that its answer is for, and how the answer is read."""

    number: int
    field: str
    request: Request
    read: Callable[[str], Any]


def _questions(number: int, record: Record, label: str, judge_name: str, seed: int) -> list[_Question]:
    key = (seed, judge_name, record.condition, record.item, label)
    words, contexts = record.words[:_SHOWN_WORDS], record.contexts[:_SHOWN_CONTEXTS]
    order = [SCALE[i] for i in generator_of("grade", *key).permutation(len(SCALE))]
    questions = [
        _Question(
            number,
            "grade",
            _request(_grade_turns(words, contexts, label, order)),
            lambda text: read_grade(text, order),
        )
    ]
    if record.other is not None and record.other.casefold() != label.casefold():
        swapped = bool(generator_of("prefer", *key).integers(2))
        first, second = (record.other, label) if swapped else (label, record.other)
        turns = (_user(words, contexts, fill(load_rubric().prefer, one=quoted(first), two=quoted(second))),)
        questions.append(_Question(number, "preference", _request(turns), lambda text: read_preference(text, swapped)))
    tested = words_for_belonging(record)
    if record.role == ITEM and tested is not None:
        mixed = [tested[i] for i in generator_of("belongs", *key).permutation(len(tested))]
        listed = "\n".join(f"{position}. {word[:LONGEST_WORD]}" for position, word in enumerate(mixed, 1))
        turns = (Message("user", fill(load_rubric().belongs, label=quoted(label), words=listed)),)
        questions.append(_Question(number, "chosen", _request(turns), lambda text: read_chosen(text, mixed)))
    return questions


def words_for_belonging(record: Record) -> list[str] | None:
    """Give the held-out words and as many strangers that a judge is shown; None where there are too few of either."""
    count = min(TESTED_WORDS, len(record.held_out), len(record.strangers))
    return None if count == 0 else [*record.held_out[:count], *record.strangers[:count]]


def read_grade(text: str, order: Sequence[str]) -> str | None:
    """Read a choice of A, B, C, listed in this order; None where there is none."""
    return read_choice(text, order)


def read_preference(text: str, swapped: bool) -> str | None:
    """Read a choice of 1, 2, both or neither as `label`, `other`, `both` or `neither`."""
    choice = read_one_of(text, _PREFERENCES)
    if choice is None:
        return None
    first, second = ("other", "label") if swapped else ("label", "other")
    return {"1": first, "2": second}.get(choice, choice)


def read_chosen(text: str, listed: Sequence[str]) -> tuple[str, ...] | None:
    """Read which of the listed words are named; none of them is an answer too, but only where it says so."""
    numbers = read_numbers(text, listed)
    return None if numbers is None else tuple(listed[number - 1] for number in numbers)


def _grade_turns(
    words: Sequence[str], contexts: Sequence[str], label: str, order: Sequence[str]
) -> tuple[Message, ...]:
    rubric = load_rubric()
    turns = []
    for number, example in enumerate(rubric.examples):
        # The right answers of the examples go through the letters, so that no letter is favoured.
        first = SCALE.index(example["grade"]) - number
        turned = [SCALE[(first + i) % len(SCALE)] for i in range(len(SCALE))]
        turns.append(_user(example["words"], (), _options(rubric, example["label"], turned)))
        turns.append(Message("assistant", LETTERS[turned.index(example["grade"])]))
    return (*turns, _user(words, contexts, _options(rubric, label, order)))


def _options(rubric: Rubric, label: str, order: Sequence[str]) -> str:
    listed = "\n".join(f"{letter}) {rubric.options[grade]}" for letter, grade in zip(LETTERS, order, strict=True))
    return fill(rubric.grade, label=quoted(label), options=listed)


def _user(words: Sequence[str], contexts: Sequence[str], question: str) -> Message:
    lines = "Words: " + ", ".join(word[:LONGEST_WORD] for word in words) + "\n"
    if contexts:
        lines += "Some sentences with them:\n" + "".join(f"- {text[:LONGEST_CONTEXT]}\n" for text in contexts)
    return Message("user", lines + question)


def _request(turns: Sequence[Message]) -> Request:
    return Request((Message("system", load_rubric().system), *turns), max_tokens=ANSWER_TOKENS)
