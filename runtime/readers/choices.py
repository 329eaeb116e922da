"""Reading one choice out of some that were listed: a letter, a number, a word, or the name of a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

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
    *("answer", "final_answer", "choice", "option", "letter", "label", "class", "prediction", "grade", "rating"),
    *("preference", "preferred", "better", "sentiment", "category", "result", "output", "response", "verdict"),
)
_TAGS: Final = ("answer", "choice", "option", "label", "class", "letter", "final", "final_answer")
_WHAT: Final = (
    r"(?:answer|option|choice|label|class|category|grade|rating|verdict|letter|response|prediction|"
    r"sentiment|antwort|réponse|"
    r"respuesta|答案|选项)"
)
_IS: Final = r"(?:\s+(?:is|would be|should be|must be|ist|lautet|est|es))"
# The answer is, Option, I would choose, Sure! My answer:
_LEAD: Final = (
    r"\W*(?:(?:sure|certainly|of course|okay|ok|natürlich|bien sûr|claro)\b[\s!,.:-]*)?"
    r"(?:(?:based on|looking at|given) [^,\n]{1,100},\s)?(?:here(?:['’]s| is) (?:the|my) answer\W*)?"
    rf"(?:(?:the\s+|my\s+)?(?:best\s+|correct\s+|final\s+|right\s+|most accurate\s+|better\s+)?{_WHAT}{_IS}?\W*"
    r"(?:(?:option|choice|label|letter|answer)\b\W*)?|"
    r"(?:i(?:['’]d| would| will|['’]ll)?\s+(?:choose|pick|select|go with|say|prefer|answer|rate (?:it|"
    r"this)|grade (?:it|this)|"
    r"think (?:it is|it['’]s|that it is|the answer is|it would be))|(?:it is|it['’]s|it would be|das ist|"
    r"c['’]est))\b\W*"
    r"(?:(?:the\s+)?(?:option|choice|label|letter|answer)\b\W*)?)?"
)
_FINAL: Final = re.compile(
    rf"\b(?:(?:final|correct|best|right|the|my)\s){{1,3}}{_WHAT}"
    rf"(?:{_IS}(?:\W{{0,5}}(?:option|choice|label)\b)?|\s?(?=[:=]))",
    re.IGNORECASE,
)
_YES_NO: Final = re.compile(
    _LEAD + r"(yes|no)\b\W*(?:$|they\b|the\b|both\b|because\b|it\b|this\b|these\b|description\b|one\b)",
    re.IGNORECASE | re.MULTILINE,
)
_NEGATION: Final = re.compile(
    r"(?:\b(?:not|never|no|neither|nor|without|unlike|than|hardly|rather than|instead of|opposed to)|n['’]t)\b"
    r"(?:\W{1,5}\w{1,30}){0,3}\W{0,5}$",
    re.IGNORECASE,
)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?\n])")


def read_choice(text: str, choices: Sequence[str]) -> str | None:
    """Read one of some letters, numbers or short words that were listed; None where none is chosen, or several.

    The last "Final answer: ..." counts, else what the text begins with.

    Parameters
    ----------
    text : a reply.
    choices : what can be chosen; letter case does not matter.

    Examples
    --------
    >>> read_choice("The answer is B.", "ABC"), read_choice("A good label would be birds", "ABC")
    ('B', None)
    >>> read_choice("Label 2 is better", ["1", "2", "both", "neither"])
    '2'
    """
    answer = _answer(text)
    if answer is None:
        return None
    given = _given(answer)
    if given is not None:
        return _only(given, choices)
    answer = _inner(answer)
    pattern = _choice(tuple(choices))
    finals = list(_FINAL.finditer(answer))
    if finals:
        match = pattern.match(answer, finals[-1].end())
        if match is not None:
            return _listed(match[1], choices)
    match = _first_line(pattern, answer)
    return _listed(match[1], choices) if match else None


def read_name(text: str, names: Sequence[str]) -> str | None:
    """Read the name of a class; None where none is named, or several, or one only in a question or to deny it.

    Of names within one another the longest counts.

    Parameters
    ----------
    text : a reply.
    names : of the classes; letter case does not matter.

    Examples
    --------
    >>> read_name("Class: positive", ["negative", "positive"])
    'positive'
    >>> read_name("It is negative, not positive.", ["negative", "positive"])
    'negative'
    >>> read_name("Is it positive? No.", ["negative", "positive"]) is None
    True
    """
    answer = _answer(text)
    if answer is None or not names:
        return None
    given = _given(answer)
    if given is not None:
        return _only(given, names)
    answer = "".join(part for part in _SENTENCE_END.split(_inner(answer)) if not part.endswith("?"))
    for line in answer.splitlines():
        if exact := _exact(line, names):
            return exact
        if line.strip():
            break
    pattern = _names(tuple(names))
    finals = list(_FINAL.finditer(answer))
    lines = [line for line in answer.splitlines() if line.strip()]
    # The statement that it ends with, else the first line that names a class, else what the others name.
    passages = ([answer[finals[-1].end() :]] if finals else []) + [line for line in lines if pattern.search(line)][:1]
    for passage in passages:
        named = {match[0].casefold() for match in pattern.finditer(passage) if not _is_denied(passage, match)}
        if len(named) == 1:
            return _listed(named.pop(), names)
        if named:
            return None
    return None


def read_yes_no(text: str) -> bool | None:
    """Read a plain yes or no; None where there is neither, or one in passing.

    Examples
    --------
    >>> read_yes_no("Yes, they describe the same thing."), read_yes_no("No idea")
    (True, None)
    """
    answer = _answer(text)
    if answer is None:
        return None
    given = _given(answer)
    if given is not None:
        only = _only(given, ("yes", "no", "true", "false"))
        return None if only is None else only in {"yes", "true"}
    match = _YES_NO.match(_inner(answer))
    return match[1].casefold() == "yes" if match else None


def _is_denied(passage: str, match: re.Match[str]) -> bool:
    """Tell whether a class is named to deny it: "not positive", or "negative, not positive" of a class of that name."""
    before = passage[max(0, match.start() - 60) : match.start()]
    is_contrast = match[0][:4].casefold() == "not " and before.rstrip()[-1:] in {",", ";"}
    return is_contrast or _NEGATION.search(before) is not None


def _answer(text: str) -> str | None:
    thought = split_thinking(text)
    answer = thought.answer.strip()
    return None if thought.unfinished or not answer or is_refusal(answer.splitlines()[0]) else answer


def _given(answer: str) -> Any:
    """Give the value that JSON, a formula's box or a tag holds; None where there is none."""
    value = parsed_json(unfenced(answer))
    if isinstance(value, dict | list):
        field = json_field(value, _KEYS)
        return "" if field is None else field
    if isinstance(value, str):
        return value
    box = boxed(answer)
    return box if box is not None else tagged(answer[:2000], _TAGS)


def _only(value: Any, choices: Sequence[str]) -> str | None:
    """Give the choice that a value is, be it alone or with its text ("B) imprecise")."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if not isinstance(value, str | int):
        return None
    return (
        _exact(str(value), choices)
        or ((match := _choice(tuple(choices)).match(str(value))) and _listed(match[1], choices))
        or None
    )


def _exact(text: str, choices: Sequence[str]) -> str | None:
    bare = without_quotes(without_formula(without_bold(text.strip()))).strip(" .!()[]")
    return _listed(bare, choices)


def _listed(word: str, choices: Sequence[str]) -> str | None:
    return next((choice for choice in choices if choice.casefold() == word.casefold()), None)


def _inner(answer: str) -> str:
    return without_bold(unfenced(answer)).strip()


def _first_line(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Match the first line, or the one after it where the first one is only what leads up to it."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        match = pattern.match(without_formula(line))
        if match is not None:
            # A list of the choices is no choice.
            return None if pattern.fullmatch(following.strip(" .()*")) else match
        if not line.rstrip().endswith((":", "!", "：", "！")):
            return None
    return None


@cache
def _choice(choices: tuple[str, ...]) -> re.Pattern[str]:
    one = "|".join(sorted((re.escape(choice) for choice in choices), key=len, reverse=True))
    return re.compile(
        _LEAD + rf"(?<!\w)({one})\b"
        # A word right after a letter makes it an article: "A good label would be ...".
        r"(?!['’]\w|[-/]\w|[^\S\n]*(?!(?:because|since|is|as|fits|best|seems|of|would|are|labels|option|"
        r"describes)\b)[\w/])"
        # Several are no choice: "A or B", "A, B", "(A) and (B)".
        rf"(?![^\w\n]*(?:(?:or|and|vs|to|oder|ou|o|y|und)\W+)?(?:option\s|label\s)?(?:{one})\b(?![^\S\n]+\w))"
        rf"(?!\s*[,/&+|]\W*(?:{one})\b)(?!\W*(?:or|and)\W+(?:{one})\b)(?!\s*\?)"
        r"(?!\s(?:is|would be|are) (?:not|wrong|too|a |an |in|the (?:worst|wrong)))",
        re.IGNORECASE,
    )


@cache
def _names(names: tuple[str, ...]) -> re.Pattern[str]:
    one = "|".join(sorted((re.escape(name) for name in names), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{one})(?![\w-])", re.IGNORECASE)
