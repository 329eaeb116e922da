"""The questions to the helper, the language model that summarises phrases and writes phrases, and its answers."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from conceptbench.eval.judges.asking import fill, reply_text
from conceptbench.runtime.llm import Message, Reply, Request

LONGEST_EXPLANATION: Final = 200
LONGEST_STRING: Final = 200

_BETWEEN = " / "
_SUMMARY_TOKENS = 32
_TOKENS_A_STRING = 12
_REFUSAL = re.compile(r"\b(i'?m sorry|i cannot|i can't|as an ai|i am unable)\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:\(?\d{1,3}[.):\]]\s+|[-*•–]\s+|\(?[a-z][.)]\s+)", re.IGNORECASE)
_CODE = re.compile(r"```|[{};]\s*$|^\s*(?:def|import|print|return|class|for|if)\b.*[:(]|</?\w+>")
_QUOTES = "\"'“”‘’`*_"
_LEADS = (
    "the common theme among these phrases is",
    "a common theme among these phrases is",
    "the common theme is",
    "a common theme is",
    "common theme:",
    "theme:",
    "description:",
    "answer:",
    "the phrases are about",
    "these phrases are about",
    "they are about",
)


@dataclass(frozen=True)
class Prompts:
    """The helper's questions, with their worked examples."""

    system: str
    summary: str
    related: str
    unrelated: str
    summaries: tuple[dict[str, Any], ...]
    related_examples: tuple[dict[str, Any], ...]
    unrelated_examples: tuple[dict[str, Any], ...]
    sha256: str


@cache
def load_prompts() -> Prompts:
    """Load the packaged prompts."""
    content = (files("conceptbench.eval.methods.sasc") / "helper.toml").read_bytes()
    fields = tomllib.loads(content.decode())
    return Prompts(
        system=fields["system"],
        summary=fields["summary"],
        related=fields["related"],
        unrelated=fields["unrelated"],
        summaries=tuple(fields["summaries"]),
        related_examples=tuple(fields["related_examples"]),
        unrelated_examples=tuple(fields["unrelated_examples"]),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def summary_request(phrases: Sequence[str]) -> Request:
    """Ask what phrases have in common."""
    prompts = load_prompts()
    turns = [Message("system", prompts.system)]
    for example in prompts.summaries:
        turns += [
            Message("user", fill(prompts.summary, phrases=_listed(example["phrases"]))),
            Message("assistant", example["answer"]),
        ]
    turns.append(Message("user", fill(prompts.summary, phrases=_listed(phrases))))
    return Request(tuple(turns), max_tokens=_SUMMARY_TOKENS, stop=("\n", _BETWEEN))


def strings_request(explanation: str, count: int, *, related: bool) -> Request:
    """Ask for phrases that fit an explanation, or that do not."""
    prompts = load_prompts()
    template = prompts.related if related else prompts.unrelated
    turns = [Message("system", prompts.system)]
    for example in prompts.related_examples if related else prompts.unrelated_examples:
        number = str(len(example["answer"]))
        turns += [
            Message("user", fill(template, count=number, explanation=example["explanation"])),
            Message("assistant", "\n".join(example["answer"])),
        ]
    turns.append(Message("user", fill(template, count=str(count), explanation=explanation)))
    # Greedy decoding loops on long lists; a little heat does not.
    return Request(tuple(turns), max_tokens=_TOKENS_A_STRING * count, temperature=0.7, seed=0)


def read_summary(reply: Reply) -> str | None:
    """Read an explanation: one line, without a lead such as "The common theme is"; None where there is none.

    Examples
    --------
    >>> read_summary(Reply('The common theme is "fish".'))
    'fish'
    """
    line = next((line.strip() for line in reply_text(reply).splitlines() if line.strip()), "")
    line = _BULLET.sub("", line).strip(_QUOTES + " ")
    for lead in _LEADS:
        if line.casefold().startswith(lead):
            line = line[len(lead) :].strip(_QUOTES + " :")
    line = line.rstrip(". ").strip(_QUOTES)
    if _REFUSAL.search(line) or _CODE.search(line) or not re.search(r"\w\w", line):
        return None
    return line if len(line) <= LONGEST_EXPLANATION and line.isprintable() else None


def read_strings(reply: Reply, count: int) -> list[str]:
    """Read a list of phrases in any style: a line each, numbered, bulleted, JSON, or on one line with semicolons.

    Numbers inside a phrase stay. Lines of code or markup, over-long ones and repetitions are left out.

    Parameters
    ----------
    reply : of the helper.
    count : phrases at most.

    Examples
    --------
    >>> read_strings(Reply("1. a trout\\n2. an eel"), 10)
    ['a trout', 'an eel']
    """
    text = reply_text(reply)
    lines = _from_json(text)
    if lines is None:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) == 1:
            lines = re.split(r"\s*;\s*|\s+(?=\d{1,3}[.)]\s)", lines[0])
        if reply.reason == "cut" and len(lines) > 1:
            # The last one was cut short.
            lines = lines[:-1]
    phrases: dict[str, str] = {}
    for line in lines:
        phrase = _BULLET.sub("", line).strip().strip(_QUOTES + " ").rstrip(",")
        fits = 0 < len(phrase) <= LONGEST_STRING and phrase.isprintable() and re.search(r"\w", phrase)
        if fits and not _CODE.search(line) and not _REFUSAL.search(phrase):
            phrases.setdefault(phrase.casefold(), phrase)
    return list(phrases.values())[:count]


def _from_json(text: str) -> list[str] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return [value for value in values if isinstance(value, str)]


def _listed(phrases: Sequence[str]) -> str:
    """Put the strongest last, next to the question, where they count most for a small model."""
    return _BETWEEN.join(reversed(phrases))
