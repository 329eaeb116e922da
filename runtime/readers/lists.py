"""Reading phrases that a model writes: a list of them, or one that sums others up."""

from __future__ import annotations

import re
from typing import Any, Final

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
    without_quotes,
)

LONGEST_PHRASE: Final = 200

_LIST_KEYS: Final = (
    *(
        "phrases",
        "answer",
        "answers",
        "strings",
        "examples",
        "items",
        "list",
        "sentences",
        "texts",
        "results",
        "output",
    ),
    *("response", "short_phrases", "related_phrases", "unrelated_phrases", "words"),
)
_SUMMARY_KEYS: Final = (
    *("summary", "explanation", "answer", "final_answer", "theme", "common_theme", "topic", "description", "label"),
    *("result", "output", "response", "commonality"),
)
_BULLET: Final = re.compile(r"\s*(?:\(?\d{1,3}[.):\]]\s+|[-*•·▪–]\s+|\(?[a-z][.)]\s+)", re.IGNORECASE)
_CODE: Final = re.compile(r"```|[{};]\s*$|^\s*(?:def|import|print|return|class|for|if)\b.*[:(]|</?\w+>")
_OPENINGS: Final = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|great|here (?:are|is|you)|here['’]s|below are|these are|"
    r"the following|"
    r"natürlich|hier sind|voici|bien sûr|aquí (?:tienes|están)|¡?claro|当然|好的|以下是)(?:\b|"
    r"(?<=[\u4e00-\u9fff]))[^\n]*[:!.：]$|"
    r"(?:\w+ ){0,4}(?:phrases|examples|strings|sentences)\b[^\n]{0,100}:$",
    re.IGNORECASE,
)
_CLOSINGS: Final = re.compile(
    r"(?:let me know|i hope|hope (?:this|these|that)|feel free|if you (?:need|want|would|['’]d|have)|"
    r"would you like|do you (?:want|need)|"
    r"is there anything|please let me|these (?:phrases|examples|are all|all)|each (?:phrase|of these)|note:|note that|"
    r"all of these|i(?:['’]ve| have) (?:tried|made|kept|avoided)|the phrases|enjoy|lass mich wissen|"
    r"n['’]hésite|espero que|希望)",
    re.IGNORECASE,
)
_RULE: Final = re.compile(r"[-=_*~|:+\s]+|</?[\w-]{1,30}>")
_QUOTED: Final = re.compile(r"[\"“]([^\"“”\n]{1,200})[\"”]")
_SUMMARY_LEADS: Final = (
    "the phrases are about",
    "these phrases are about",
    "the phrases are all about",
    "these phrases are all about",
    "they are about",
    "they are all about",
    "they all relate to",
    "these phrases all relate to",
    "the phrases all relate to",
    "the phrases all refer to",
    "these phrases all refer to",
    "the phrases are related to",
    "these phrases are related to",
    "these phrases are all related to",
    "the phrases are all related to",
    "description:",
    "summary:",
    "common theme:",
)


def read_summary(text: str) -> str | None:
    """Read what phrases have in common: one line, without a lead such as "The common theme is"; None if there is none.

    Parameters
    ----------
    text : a reply.

    Examples
    --------
    >>> read_summary('The common theme among these phrases is "fish".')
    'fish'
    """
    answer = _answer(text)
    value = _given(answer, _SUMMARY_KEYS)
    if value is not None:
        lines = [value] if isinstance(value, str) else []
    else:
        lines = [line.strip() for line in unfenced(answer).splitlines() if line.strip()]
    for number, line in enumerate(lines[:8]):
        if len(line) > 10 * LONGEST_PHRASE or is_refusal(line) or _CODE.search(line):
            return None
        is_last = number == len(lines) - 1
        if not is_last and (is_heading(line) or _OPENINGS.fullmatch(without_bold(line))):
            continue
        summary = _BULLET.sub("", answer_in(line), count=1)
        for lead in _SUMMARY_LEADS:
            if summary.casefold().startswith(lead):
                summary = without_quotes(summary[len(lead) :].strip(" :"))
        summary = without_quotes(summary.rstrip(". :"))
        if not summary and not is_last:
            continue
        unusable = (
            _CODE.search(summary) or not re.search(r"\w\w", summary) or says_nothing(summary) or is_refusal(summary)
        )
        return summary if not unusable and len(summary) <= LONGEST_PHRASE and summary.isprintable() else None
    return None


def read_list(text: str, *, cut: bool = False) -> list[str]:
    """Read a list of phrases in any style: a line each, numbered, bulleted, JSON, a table, or on one line.

    Numbers inside a phrase stay. Lead-ins, closings, lines of code or markup, over-long ones and repetitions are left
    out.

    Parameters
    ----------
    text : a reply.
    cut : whether it was cut short, so that its last phrase is not a whole one.

    Examples
    --------
    >>> read_list("Sure! Here are two phrases:\\n1. a trout\\n2. an eel\\nLet me know if you need more!")
    ['a trout', 'an eel']
    """
    answer = _answer(text)
    value = _given(answer, _LIST_KEYS)
    if value is not None:
        lines = [item for item in value if isinstance(item, str)] if isinstance(value, list) else [str(value)]
        if isinstance(value, list) and not lines:
            lines = [
                item for part in value if isinstance(part, dict) for item in part.values() if isinstance(item, str)
            ]
    else:
        lines = _lines(unfenced(answer) if not answer.lstrip().startswith("[") else _open_json(answer))
    if cut and value is None and len(lines) > 1:
        lines = lines[:-1]
    phrases: dict[str, str] = {}
    for line in lines:
        phrase = without_quotes(_BULLET.sub("", without_bold(line), count=1).strip().rstrip(",")).rstrip(",")
        fits = 0 < len(phrase) <= LONGEST_PHRASE and phrase.isprintable() and re.search(r"\w", phrase)
        if fits and not _CODE.search(line) and not is_refusal(phrase):
            phrases.setdefault(phrase.casefold(), phrase)
    return list(phrases.values())


def _answer(text: str) -> str:
    thought = split_thinking(text)
    return "" if thought.unfinished else thought.answer.strip()


def _given(answer: str, keys: tuple[str, ...]) -> Any:
    """Give what JSON, a box or a tag holds; None where there is none of them."""
    value = parsed_json(unfenced(answer))
    if isinstance(value, dict):
        field = json_field(value, keys) if keys is _SUMMARY_KEYS or len(value) != 1 else next(iter(value.values()))
        return "" if field is None else field
    if isinstance(value, list):
        return value
    if keys is _SUMMARY_KEYS:
        return value or boxed(answer) or tagged(answer[:2000], _SUMMARY_KEYS)
    return None


def _open_json(answer: str) -> str:
    """Put the strings of a JSON list that was cut short on lines of their own."""
    return "\n".join(match[1] for match in _QUOTED.finditer(answer)) + ('\n"' if answer.count('"') % 2 else "")


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _RULE.fullmatch(line)]
    # In a numbered or bulleted list, the lines around the items are no phrases.
    if len(lines) > 1:
        marked = [bool(_BULLET.match(line)) for line in lines]
        if not marked[0] and sum(marked) > 1 and (lines[0].endswith((":", "!", "：")) or all(marked[1:])):
            lines = lines[1:]
        kept = [line for line in lines if not _is_talk(line)]
    else:
        kept = _on_one_line(lines[0]) if lines else []
    return [cell for line in kept for cell in _cells(line)]


def _is_talk(line: str) -> bool:
    bare = without_bold(line)
    return bool(_OPENINGS.fullmatch(bare) or _CLOSINGS.match(bare) or (is_heading(line) and bare.endswith(":")))


def _on_one_line(line: str) -> list[str]:
    """Split a list of one line, without its lead-in."""
    head, colon, tail = line.partition(": ")
    if colon and _OPENINGS.fullmatch(head + ":"):
        line = tail
    if _is_talk(line):
        return []
    line = without_lead(line)
    parts = re.split(r"\s*;\s*|\s+(?=\(?\d{1,3}[.)]\s)", line)
    quoted = _QUOTED.findall(line)
    if len(parts) == 1 and len(quoted) > 1 and not re.sub(r"and|or|[\s,.]", "", _QUOTED.sub("", line)):
        return [str(phrase) for phrase in quoted]
    return [part for part in parts if part.strip()]


def _cells(line: str) -> list[str]:
    """Give the phrases of a table's row: of its cells, those that are no number."""
    if not (line.startswith("|") and line.endswith("|") and len(line) > 1):
        return [line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    heads = {"#", "no.", "number", "phrase", "phrases", "no", "nr.", "example"}
    return [cell for cell in cells if cell and not cell.rstrip(".").isdigit() and cell.casefold() not in heads][:1]
