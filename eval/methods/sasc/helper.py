"""The questions to the helper, the language model that summarises phrases and writes phrases, and its answers."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from conceptbench.eval.judges.asking import fill, reply_text
from conceptbench.runtime import readers
from conceptbench.runtime.llm import Message, Reply, Request

_BETWEEN = " / "
_SUMMARY_TOKENS = 32
_TOKENS_A_STRING = 12


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
    return readers.read_summary(reply_text(reply))


def read_strings(reply: Reply, count: int) -> list[str]:
    """Read a list of phrases in any style; of a reply that was cut, the last one is left out.

    Parameters
    ----------
    reply : of the helper.
    count : phrases at most.

    Examples
    --------
    >>> read_strings(Reply("1. a trout\\n2. an eel"), 10)
    ['a trout', 'an eel']
    """
    return readers.read_list(reply_text(reply), cut=reply.reason == "cut")[:count]


def _listed(phrases: Sequence[str]) -> str:
    """Put the strongest last, next to the question, where they count most for a small model."""
    return _BETWEEN.join(reversed(phrases))
