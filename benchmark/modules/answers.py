"""Answers of modules, and the judgement whether an explanation gives one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

LONGEST_EXPLANATION: Final = 200
MOST_WORDS: Final = 30
MOST_STRAY: Final = 1

Rule = Literal["any", "all", "first", "but not"]

_EXCLUSION = re.compile(
    r"(?:\b(?:but not|not(?! only)|no|never|non|without|except|exclud\w+|other than|apart from|unless|rather than"
    r"|lack\w*|free of|minus)\b|n['’]t\b)((?!\bbut\b)[^.,;:()])*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Part:
    """A property of texts that an explanation can name.

    `accept` is a regular expression that is found in such an explanation, case ignored. `concept` is the id of the
    gold concept that it is, or None; `kin` are the ids of this concept and those near it.
    """

    name: str
    accept: str
    concept: str | None = None
    kin: tuple[str, ...] = ()

    def accepts(self, text: str) -> bool:
        """Tell whether the text names the property."""
        return re.search(self.accept, text, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Answer:
    """What a module responds to.

    `name`, `aliases` and `explanation` are right answers in words, `parts` the properties that it is made of. `rule`
    says which of these a right explanation must name: `any` one of them; `all`; the `first`, a stronger one than the
    others; or the first `but not` the second, which may be named only as something excluded.
    """

    name: str
    aliases: tuple[str, ...]
    explanation: str
    parts: tuple[Part, ...]
    rule: Rule = "any"

    @property
    def wordings(self) -> tuple[str, ...]:
        """All the right answers that are known in words."""
        return (self.name, *self.aliases, self.explanation)

    def accepts(self, text: str) -> bool:
        """Tell whether an explanation is right by the patterns and the rule, whatever else it says."""
        if self.rule == "any":
            return bool(self.found(text))
        if self.rule == "all":
            return len(self.found(text)) == len(self.parts)
        if self.rule == "first":
            return self.parts[0].accepts(text)
        remaining = _EXCLUSION.sub(" ", text)
        return self.parts[0].accepts(remaining) and not self.parts[1].accepts(remaining)

    def found(self, text: str) -> list[str]:
        """Give the names of the parts whose patterns match the text."""
        return [part.name for part in self.parts if part.accepts(text)]


def judge_explanation(text: str, answer: Answer, answers: Iterable[Answer]) -> bool:
    """Tell whether an explanation is right and says little else.

    An explanation fails if it is longer than 200 characters or 30 words, or if the patterns of two or more unrelated
    parts of other answers match it too. One such match is allowed, since a sentence may touch a neighbouring topic.
    A part is related if its concept is kin to one of the answer's, or its pattern matches one of the answer's wordings.

    Parameters
    ----------
    answers : the answers of all the modules that were drawn or read, including those that a limit left out, so that a
        judgement does not depend on the limit. The answer itself may be among them.
    """
    if len(text) > LONGEST_EXPLANATION or len(text.split()) > MOST_WORDS or not answer.accepts(text):
        return False
    taking = {part for known in answers for part in known.parts if part.accepts(text)}
    return len({part.accept for part in taking if not _related(part, answer)}) <= MOST_STRAY


def apart(first: Answer, second: Answer) -> bool:
    """Tell whether no part of either answer is related to the other answer."""
    return not any(_related(part, second) for part in first.parts) and not any(
        _related(part, first) for part in second.parts
    )


def _related(part: Part, answer: Answer) -> bool:
    return any(part.concept in answer_part.kin for answer_part in answer.parts) or any(
        map(part.accepts, answer.wordings)
    )
