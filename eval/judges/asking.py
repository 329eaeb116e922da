"""Asking language models as judges: which models may judge, how texts are put to them, how answers are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from conceptbench.runtime import readers
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import LLM, Reply, Request, Usage, parse_system
from conceptbench.runtime.models import model_folder
from conceptbench.runtime.progress import Progress

T = TypeVar("T")

LETTERS: Final = "ABC"
ANSWER_TOKENS: Final = 16
LONGEST_RAW: Final = 200
"""Characters of a judge's reply that records keep."""

_ADDRESSES_RATER = re.compile(
    r"\b(ignore|disregard|forget)\b.*\b(instructions?|previous|above|rules?|rubric)\b|"
    r"\b(accept|approve|rate|grade|mark|score|judge|choose|pick|prefer|select)\b.*\b(this|my|the) "
    r"(label|answer|option|explanation|description)\b|"
    r"\b(accept|approve|rate|grade|mark|score|judge|answer)\b.*\b(precise|acceptable|correct|[abc]\))|"
    r"\b(answer|choose|pick|select|respond|reply|option)(\W+(with|option|letter|only|just))*\W+([abc]|yes)\W*$|"
    r"\b(this|it) (is|fits)\b.*\b(precise|acceptable|correct)\b|"
    r"\bdescriptions? (1|2|one|two)\b|\b(both|these|two|the) (texts|descriptions|explanations)\b.*\bsame\b|"
    r"\b(dear|note to( the)?) (judge|rater|reviewer|grader)s?\b|"
    r"(^|[.;!?])\W*(system|assistant|user)\s*:|\byou (must|should|are (a|an|the|now))\b|\blabel:? is\b",
    re.IGNORECASE,
)


def addresses_rater(text: str) -> bool:
    """Tell whether a label or an explanation speaks to its rater instead of naming something ("accept this").

    Such a text is not accepted, and is shown to no judge.

    Examples
    --------
    >>> addresses_rater("accept this label"), addresses_rater("names of birds")
    (True, False)
    """
    return _ADDRESSES_RATER.search(text) is not None


def check_judges(judges: Sequence[str], annotator: str, *, allow_self_judging: bool = False) -> None:
    """Refuse a panel in which a model would judge its own labels, or be a member twice.

    Models are told apart by the last part of their name, so the same model behind two servers is one.

    Parameters
    ----------
    annotator : the system whose words are judged; empty where none is known.

    Raises
    ------
    InputError
        if that is so, or a judge is not a language model.
    """
    names: dict[str, str] = {}
    for judge in judges:
        if parse_system(judge)[0] not in {"openai", "local"}:
            raise InputError(f"--judges {judge}: a judge is a language model: openai:<model> or local:<model>")
        name = _identity(judge)
        if name in names:
            raise InputError(
                f"--judges {names[name]},{judge}: these are one model, and two runs of one model are not two raters"
            )
        names[name] = judge
    kind = annotator.partition(":")[0]
    if kind in {"openai", "local"} and _identity(annotator) in names and not allow_self_judging:
        raise InputError(
            f"--judges {names[_identity(annotator)]}: a model does not judge its own labels; name another judge, or "
            "allow it with --allow-self-judging"
        )


def ask(client: LLM, requests: Sequence[Request], stage: str, progress: Progress) -> tuple[list[Reply], Usage]:
    """Ask a model; give its replies, and the tokens, time and cost of these requests."""
    before = replace(client.usage)
    with progress.stage(stage, len(requests)) as advance:
        replies = client.complete(requests, lambda _index, _reply: advance(1))
    return replies, client.usage.since(before)


def read_choice(text: str, order: Sequence[T]) -> T | None:
    """Read a choice of A, B, ..., listed in this order; None where there is none.

    Examples
    --------
    >>> read_choice("The answer is B.", ["yes", "no"])
    'no'
    """
    letter = readers.read_choice(text, LETTERS[: len(order)])
    return None if letter is None else order[LETTERS.index(letter)]


def reply_text(reply: Reply) -> str:
    """Give the text of a reply, empty where there is none."""
    return (reply.text or "") if reply.reason in {None, "cut"} else ""


def fill(template: str, **fields: str) -> str:
    """Put texts into a template; in one pass, since a text may hold another field's mark.

    Examples
    --------
    >>> fill("Is {label} right?", label="{words}")
    'Is {words} right?'
    """
    return re.sub(r"\{(\w+)\}", lambda match: fields[match[1]], template)


def quoted(text: str) -> str:
    """Put a text into quotation marks that it cannot close.

    Examples
    --------
    >>> print(quoted('names of "cities"'))
    "names of 'cities'"
    """
    return '"' + text.replace('"', "'") + '"'


def _identity(system: str) -> str:
    kind, name = parse_system(system)
    return Path(model_folder(name) if kind == "local" else name).name.casefold()
