"""Reading the label that a model gives to a group of words."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple

from conceptbench.runtime.readers.leads import answer_in, is_heading, without_lead
from conceptbench.runtime.readers.refusals import is_refusal, says_nothing
from conceptbench.runtime.readers.thinking import split_thinking
from conceptbench.runtime.readers.wrapping import (
    boxed,
    json_field,
    parsed_json,
    tagged,
    unfenced,
    without_bold,
    without_bullet,
)

LONGEST_LABEL: Final = 100
MOST_LABEL_WORDS: Final = 12

_KEYS: Final = (
    *("label", "final_label", "concept_label", "short_label", "answer", "final_answer", "name", "concept", "category"),
    *("theme", "topic", "title", "common_theme", "result", "output", "response", "text"),
)
_TAGS: Final = ("label", "final_label", "concept", "name", "category", "title", "theme", "topic", "answer", "final")
_MARKUP: Final = re.compile(r"[<>{}\\`]")
# A line that holds nothing but a tag, a rule or YAML's mark of a text to follow.
_EMPTY_LINE: Final = re.compile(r"</?[\w-]{1,30}>|[-=_*~]{3,}|[|>][-+]?|[\[\]{}(),]+")
# "analysisWe need": the first words of a channel whose marks and end were lost.
_CHANNEL: Final = re.compile(r"analysis(?=[A-Z][a-z'’]* )")
_LONGEST_LINE: Final = 2000
_MOST_LINES: Final = 8


class Reading(NamedTuple):
    """A label, or the reason why there is none."""

    label: str | None
    reason: Literal["refused", "unparsable"] | None = None


UNPARSABLE: Final = Reading(None, "unparsable")
REFUSED: Final = Reading(None, "refused")


def read_label(text: str, *, cut: bool = False) -> Reading:
    """Read the label out of a reply.

    The first line that is no lead-in counts, without its wrapping and what explains it. A label has
    at most 100 characters and 12 words, and no markup.

    Parameters
    ----------
    text : a reply.
    cut : whether it was cut short, so that its last line is not a whole one.

    Examples
    --------
    >>> read_label("Sure! Here is a label:\\n\\n**Names of birds**\\n\\nThese words are animals that fly.").label
    'Names of birds'
    >>> read_label("I'm sorry, but I can't help with that.")
    Reading(label=None, reason='refused')
    >>> read_label("None")
    Reading(label=None, reason='unparsable')
    """
    thought = split_thinking(text)
    answer = thought.answer.strip()
    if cut:
        answer = answer.rpartition("\n")[0].strip()
    if thought.unfinished or not answer:
        return UNPARSABLE
    opening = next((line for line in answer.splitlines() if line.strip()), "")[:_LONGEST_LINE]
    if is_refusal(without_bold(opening)):
        return REFUSED
    for find in (_structured, boxed, lambda body: tagged(body[:_LONGEST_LINE], _TAGS)):
        value = find(answer)
        if value is not None:
            return _of_line(value)
    return _of_lines(answer)


def check_label(label: str) -> Reading:
    """Check that a label is short, printable, without markup, and says something.

    Examples
    --------
    >>> check_label("names of birds").label, check_label("<b>").reason
    ('names of birds', 'unparsable')
    """
    fits = 0 < len(label) <= LONGEST_LABEL and len(label.split()) <= MOST_LABEL_WORDS
    if not fits or not label.isprintable() or not any(c.isalnum() for c in label) or _MARKUP.search(label):
        return UNPARSABLE
    return Reading(label)


def _structured(text: str) -> str | None:
    """Give the text that JSON holds, in a fence or not; empty where it holds no label, None where there is no JSON."""
    value: Any = parsed_json(unfenced(text))
    if value is None or isinstance(value, str):
        return value
    field = json_field(value, _KEYS)
    return field if isinstance(field, str) else ""


def _of_lines(text: str) -> Reading:
    lines = [line.strip() for line in unfenced(text).splitlines() if line.strip()]
    if not unfenced(text).strip():
        return UNPARSABLE
    for number, line in enumerate(lines[:_MOST_LINES]):
        if len(line) > _LONGEST_LINE:
            return UNPARSABLE
        is_last = number == len(lines) - 1
        bare = without_lead(without_bold(without_bullet(line)))
        if _EMPTY_LINE.fullmatch(line) or not bare or _EMPTY_LINE.fullmatch(bare) or (is_heading(line) and not is_last):
            continue
        return _of_line(line)
    return UNPARSABLE


def _of_line(line: str) -> Reading:
    if is_refusal(line):
        return REFUSED
    label = answer_in(line).removesuffix(":").rstrip()
    # The full stop within quotation marks: "birds."
    label = label if '"' in label else label.removesuffix(".").rstrip()
    if is_refusal(label):
        return REFUSED
    if says_nothing(label) or says_nothing(line) or _CHANNEL.match(label):
        return UNPARSABLE
    return check_label(label)
