"""The wrapping of an answer: code fences, JSON, tags, formulas, bullets, bold type and quotation marks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

_FENCE: Final = re.compile(r"^[ \t]*(?:```+|~~~+)[ \t]*([\w+-]*)[ \t]*$\n?", re.MULTILINE)
# A fence on one line: ```modal verbs```
_SHORT_FENCE: Final = re.compile(r"```+([^`\n]{1,300})```+")
# What a fence holds in other languages is a program and no answer.
_PLAIN_LANGUAGES: Final = frozenset(
    {"", "json", "jsonc", "text", "txt", "plain", "plaintext", "markdown", "md", "yaml", "yml", "xml", "html", "csv"}
    | {"label", "answer", "output", "latex", "tex", "math"}
)
_BOXED: Final = re.compile(r"\\boxed\s?\{")
_FORMULA_TEXT: Final = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|boldsymbol)\s?\{([^{}]{0,300})\}")
_FORMULA: Final = re.compile(r"\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]|\${1,2}([^$]{1,300})\${1,2}", re.DOTALL)
_BULLET: Final = re.compile(r"(?:[-*•·▪‣–—>#]+\s+|#+|•\s*|\(?\d{1,3}[.)]\s+)")
_TAG: Final = re.compile(r"<([a-z][\w-]{0,30})(?:\s[^<>]{0,100})?>([^<>]{1,400})</\1\s?>", re.IGNORECASE)
_BOLD: Final = re.compile(r"\*\*([^*]{1,300})\*\*|__([^_]{1,300})__")
_PAIRS: Final = {
    **{quote: quote for quote in "\"'`*_"},
    "“": "”",
    "‘": "’",
    "«": "»",
    "„": "“",
    "‹": "›",
    "「": "」",
    "『": "』",
    "《": "》",
    "【": "】",
    "”": "”",
    "’": "’",
}
_OPENINGS: Final = frozenset(_PAIRS)
_CLOSINGS: Final = frozenset(_PAIRS.values())
_DECODER: Final = json.JSONDecoder()


def unfenced(text: str) -> str:
    """Give the content of the first code fence; the text itself where it has none, nothing where it is a program.

    Examples
    --------
    >>> unfenced("Here you are:\\n```json\\n[1, 2]\\n```")
    '[1, 2]'
    """
    opening = _FENCE.search(text)
    if opening is None:
        short = _SHORT_FENCE.fullmatch(text.strip())
        return short[1].strip() if short else text
    if opening[1].casefold() not in _PLAIN_LANGUAGES:
        return ""
    closing = _FENCE.search(text, opening.end())
    return text[opening.end() : closing.start() if closing else len(text)].strip("\n")


def parsed_json(text: str) -> Any:
    """Parse the JSON that a text is, or that follows a lead-in of one line; None where there is none.

    Examples
    --------
    >>> parsed_json('The answer:\\n{"label": "birds"}')
    {'label': 'birds'}
    """
    lines = text.strip().splitlines()
    start = text.strip()
    if lines and lines[0].rstrip().endswith(":") and not lines[0].lstrip().startswith(("{", "[", '"')):
        start = "\n".join(lines[1:]).strip()
    if not start.startswith(("{", "[", '"')):
        return None
    try:
        value, end = _DECODER.raw_decode(start)
    except (ValueError, RecursionError):
        return None
    # [1, 2] and 5: what goes on in the same line is no JSON.
    rest = start[end:].split("\n", 1)[0].strip()
    return value if rest in {"", "."} else None


def json_field(value: Any, keys: Sequence[str]) -> Any:
    """Find the value of the first of some keys in parsed JSON, whatever its letter case; a list of one is its element.

    Examples
    --------
    >>> json_field([{"Label": "birds", "why": "wings"}], ["label"])
    'birds'
    """
    for _ in range(4):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif isinstance(value, dict):
            folded = {str(key).strip().casefold().replace(" ", "_"): item for key, item in value.items()}
            value = next((folded[key] for key in keys if key in folded), None)
        else:
            break
    return value


def boxed(text: str) -> str | None:
    r"""Give the content of the last box of a formula; None where there is none.

    Examples
    --------
    >>> boxed(r"So it is $\boxed{\text{birds}}$.")
    'birds'
    """
    starts = [match.end() for match in _BOXED.finditer(text)]
    if not starts:
        return None
    depth = 1
    for position in range(starts[-1], min(len(text), starts[-1] + 400)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return _FORMULA_TEXT.sub(r"\1", text[starts[-1] : position]).strip()
    return None


def tagged(text: str, names: Sequence[str]) -> str | None:
    """Give the content of the first tag that has one of some names; None where there is none.

    Examples
    --------
    >>> tagged("<label>birds</label>", ["label"])
    'birds'
    """
    matches = (match for match in _TAG.finditer(text) if match[1].casefold() in names)
    return next((match[2].strip() for match in matches), None)


def without_bullet(line: str) -> str:
    """Take a heading's mark, a bullet or a number off a line.

    Examples
    --------
    >>> without_bullet("- birds"), without_bullet("1) birds"), without_bullet("-ing")
    ('birds', 'birds', '-ing')
    """
    line = line.strip()
    for _ in range(3):
        match = _BULLET.match(line)
        if match is None:
            break
        line = line[match.end() :].lstrip()
    return line


def without_formula(line: str) -> str:
    r"""Take dollars and other marks of a formula off a line that is one.

    Examples
    --------
    >>> without_formula(r"$\text{birds}$")
    'birds'
    """
    match = _FORMULA.fullmatch(line.strip())
    inner = line if match is None else next(group for group in match.groups() if group is not None)
    return _FORMULA_TEXT.sub(r"\1", inner).strip() if "\\" in inner or match else line


def without_bold(line: str) -> str:
    """Take bold type off the parts of a line.

    Examples
    --------
    >>> without_bold("**Label:** birds")
    'Label: birds'
    """
    return _BOLD.sub(lambda match: match[1] or match[2], line)


def without_quotes(line: str) -> str:
    """Take quotation marks and emphasis off both ends of a line, but not those of a part of it.

    Examples
    --------
    >>> without_quotes('“birds”'), without_quotes('"a" and "b"'), without_quotes('birds"')
    ('birds', '"a" and "b"', 'birds')
    """
    line = line.strip()
    for _ in range(6):
        before = line
        if len(line) > 1 and _PAIRS.get(line[0]) == line[-1] and not _has(line[1:-1], line[0], line[-1]):
            line = line[1:-1].strip()
        elif line[:1] in _OPENINGS and not _has(line[1:], line[0], _PAIRS[line[0]]):
            line = line[1:].strip()
        elif line[-1:] in _CLOSINGS and not _has(line[:-1], line[-1], _opening(line[-1])):
            line = line[:-1].strip()
        if line == before:
            break
    return line


def leading_quote(line: str) -> tuple[str, str] | None:
    """Split a line that begins with something quoted or bold into that and the rest; None where it does not.

    Examples
    --------
    >>> leading_quote("**Birds** – animals that fly")
    ('Birds', ' – animals that fly')
    """
    if line[:1] not in _OPENINGS:
        return None
    opening = line[:2] if line[:2] in {"**", "__"} else line[0]
    closing = opening if len(opening) == 2 else _PAIRS[opening]
    end = line.find(closing, len(opening))
    while closing in {"'", "’"} and end > 0 and line[end - 1 : end].isalnum() and line[end + 1 : end + 2].isalnum():
        end = line.find(closing, end + 1)
    if end <= len(opening):
        return None
    return line[len(opening) : end].strip(), line[end + len(closing) :]


def _has(text: str, *quotes: str) -> bool:
    """Tell whether a text has one of some quotation marks; apostrophes between letters are none."""
    if not set(quotes) & {"'", "’"}:
        return any(quote in text for quote in quotes)
    return any(re.search(rf"(?<!\w){re.escape(q)}|{re.escape(q)}(?!\w)", text) is not None for q in quotes)


def _opening(closing: str) -> str:
    return next(opening for opening, end in _PAIRS.items() if end == closing)
