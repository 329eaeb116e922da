"""Reading which words of a numbered list a model names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from conceptbench.runtime.readers.leads import without_lead
from conceptbench.runtime.readers.refusals import is_refusal
from conceptbench.runtime.readers.thinking import split_thinking
from conceptbench.runtime.readers.wrapping import (
    boxed,
    json_field,
    parsed_json,
    tagged,
    unfenced,
    without_bold,
    without_formula,
    without_quotes,
)

_KEYS: Final = (
    *(
        "answer",
        "answers",
        "numbers",
        "final_answer",
        "indices",
        "indexes",
        "ids",
        "words",
        "belong",
        "belongs",
        "members",
    ),
    *("selected", "selection", "chosen", "result", "output", "response", "items"),
)
_TAGS: Final = ("answer", "answers", "numbers", "final_answer", "words", "list")
_NONE: Final = re.compile(
    r"\W*(?:answer\W+)?(?:none|no words?|no numbers?|nothing|zero words|keine[sr]?|aucune?|ninguna?|没有|无)\b"
    r"(?! (?:but|except|other))[^\d\n]*",
    re.IGNORECASE,
)
_ALL: Final = re.compile(
    r"\W*(?:answer\W+)?(?:all|every one|each|alle|toutes?|tous|todas?|todos|全部)(?: of)?(?: (?:them|the|"
    r"these|those|listed|\d{1,3}))*"
    r"(?: (?:words?|numbers?|items?))?(?: (?:are|listed|fit|belong|belongs)\b[^\d\n]*)?\W*",
    re.IGNORECASE,
)
_LISTED: Final = re.compile(r"\W{0,4}(\d{1,3})\s?[.):\]]+\**\s+(\S.*)")
_RANGE: Final = r"\d{1,3}(?:\s*[-–—~]\s*|\s+(?:to|through|bis|à)\s+)\d{1,3}"
_ITEM: Final = re.compile(rf"({_RANGE})|(?<!\d)(?<!\d\.)(\d{{1,3}})(?!\.\d|,\d{{3}}\b|\w)")
# What may stand among numbers without saying anything about them.
_FILLER: Final = re.compile(
    r"(?:the|words?|numbers?|items?|nos?|numbered|and|und|et|y|are|is|belong|belongs|fit|fits|that|which|"
    r"to|group|this|of|answer|"
    r"label|these|would be|only|in|list|category|following|there|correct|final|ones?|it|,|&)",
    re.IGNORECASE,
)
_REASON: Final = re.compile(
    r"[,.(]?\s*\b(?:because|since|as they|as these|these words|they are|they all|explanation|note)\b.*", re.IGNORECASE
)
_AGAINST: Final = re.compile(
    r"\b(?:not|except|but|no|none|without|excluding|neither|nor|maybe|perhaps|or)\b|n['’]t\b", re.IGNORECASE
)
_MOST_LINES: Final = 60


def read_numbers(text: str, words: Sequence[str]) -> tuple[int, ...] | None:
    """Read numbers of listed words, sorted; empty where the text says that it is none, None where it is unclear.

    A number that is not in the list makes the whole answer unclear.

    Parameters
    ----------
    text : a reply.
    words : as listed, from number 1 on.

    Examples
    --------
    >>> words = ["red", "cat", "blue"]
    >>> read_numbers("1 and 3", words), read_numbers("None of them.", words), read_numbers("7", words)
    ((1, 3), (), None)
    """
    thought = split_thinking(text)
    answer = thought.answer.strip()
    if thought.unfinished or not answer or is_refusal(answer.splitlines()[0]):
        return None
    value = _given(answer)
    if value is not None:
        return _of_value(value, words)
    lines = [line.strip() for line in without_bold(unfenced(answer)).splitlines() if line.strip()][:_MOST_LINES]
    while len(lines) > 1 and (_is_lead(lines[0]) or not without_lead(lines[0])):
        lines = lines[1:]
    if not lines:
        return None
    items = []
    for line in lines:
        listed = _LISTED.fullmatch(line) or re.fullmatch(r"[-*•]\s+(\d{0})(\S.*)", line)
        if listed is None:
            break
        items.append((listed[1], listed[2]))
    relisted = _of_list(items, words) if items else None
    return relisted if relisted is not None else _of_line(lines[0], words)


def _given(answer: str) -> Any:
    value = parsed_json(unfenced(answer))
    if isinstance(value, dict) or (isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)):
        field = json_field(value, _KEYS)
        return "" if field is None else field
    if isinstance(value, list | str):
        return value
    box = boxed(answer)
    return box if box is not None else tagged(answer[:2000], _TAGS)


def _is_lead(line: str) -> bool:
    return line.endswith((":", "：", "!")) and not line[:1].isdigit()


def _of_value(value: Any, words: Sequence[str]) -> tuple[int, ...] | None:
    """Give the numbers that a value of JSON names."""
    if isinstance(value, str):
        return _of_line(value.strip(), words)
    values = value if isinstance(value, list) else [value]
    numbers: list[int] = []
    for item in values:
        if isinstance(item, dict):
            item = json_field(item, ("number", "index", "id", "word"))  # noqa: PLW2901
        if isinstance(item, int) and not isinstance(item, bool):
            numbers.append(item)
            continue
        read = _of_line(item.strip(), words) if isinstance(item, str) else None
        if read is None or (not read and len(values) > 1):
            return None
        numbers += read
    return _checked(numbers, words)


def _of_list(items: Sequence[tuple[str, str]], words: Sequence[str]) -> tuple[int, ...] | None:
    """Give the numbers of words that are listed anew, by what the words are."""
    numbers = []
    for _, content in items:
        word = _number_of(content, words) or _number_of(re.split(r"\s+[-–—(:]|:\s|[,;]\s", content)[0], words)
        if word is None or _AGAINST.search(content[len(words[word - 1]) :]):
            return None
        numbers.append(word)
    return _checked(numbers, words)


def _of_line(line: str, words: Sequence[str]) -> tuple[int, ...] | None:
    line = without_quotes(without_formula(without_lead(line))).strip()
    named = _named(line, words)
    if named is not None:
        return named
    _, colon, after = line.rpartition(":")
    if colon and after.strip():
        line = after.strip()
    if _NONE.fullmatch(line):
        return ()
    if _ALL.fullmatch(line):
        counts = {int(number) for number in re.findall(r"\d+", line)}
        return tuple(range(1, len(words) + 1)) if counts <= {len(words)} else None
    line = _REASON.sub("", line).strip(" .")
    return _named(line, words) or _counted(line, words)


def _counted(line: str, words: Sequence[str]) -> tuple[int, ...] | None:
    """Give the numbers of a line that holds nothing but numbers, the words they stand for, and filling words."""
    numbers: list[int] = []
    rest: list[str] = []
    position = 0
    for match in _ITEM.finditer(line):
        rest.append(line[position : match.start()])
        position = match.end()
        if match[1] is None:
            numbers.append(int(match[2]))
            continue
        first, last = (int(number) for number in re.findall(r"\d+", match[1]))
        if first >= last or last > len(words):
            return None
        numbers += range(first, last + 1)
    rest.append(line[position:])
    between = " ".join(rest)
    if not numbers or re.search(r"\d", between) or _AGAINST.search(between):
        return None
    # 3 of the words: a count names no word.
    if re.match(r"\W*\d{1,3}\s+(?:of|words?|items?|numbers?)\b", line):
        return None
    known = {word.casefold() for number in numbers if 1 <= number <= len(words) for word in words[number - 1].split()}
    tokens = re.findall(r"[^\s,.;:()\[\]{}\"'“”‘’*&#/+|–—-]+", between)
    if any(not _FILLER.fullmatch(token) and token.casefold() not in known for token in tokens):
        return None
    return _checked(numbers, words)


def _named(line: str, words: Sequence[str]) -> tuple[int, ...] | None:
    """Give the numbers of words that are named instead of numbered, each exactly as it is listed."""
    parts = [part for part in re.split(r"\s*[,;|]\s*(?:and\s+)?|\s+and\s+|\s*\n\s*", line.strip(" .")) if part]
    numbers = [_number_of(part, words) for part in parts]
    if not parts or any(number is None for number in numbers):
        return None
    if any(part.isdigit() and 1 <= int(part) <= len(words) for part in parts):
        return None
    return _checked([number for number in numbers if number is not None], words)


def _number_of(word: str, words: Sequence[str]) -> int | None:
    bare = without_quotes(word.strip(" .")).casefold()
    matches = [number for number, listed in enumerate(words, 1) if listed.casefold() == bare]
    return matches[0] if len(matches) == 1 else None


def _checked(numbers: Sequence[int], words: Sequence[str]) -> tuple[int, ...] | None:
    return tuple(sorted(set(numbers))) if all(1 <= number <= len(words) for number in numbers) else None
