"""Language models as judges of explanations: is a run's best one the same in substance as the module's true one?

A judge sees two descriptions, in an order that changes, and not which of them is the true one, nor whether the other
is a run's or a planted control: another true wording of the same answer, or one of an unrelated answer.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from conceptbench.benchmark.modules import Answer
from conceptbench.benchmark.modules.answers import apart
from conceptbench.eval.explanation.records import Record, answer_of
from conceptbench.eval.judges.asking import (
    ANSWER_TOKENS,
    LEAD,
    LETTERS,
    LONGEST_RAW,
    addresses_rater,
    ask,
    check_judges,
    fill,
    quoted,
    read_choice,
    reply_text,
)
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import KINDS, LLM, Message, Request, Usage, parse_system, public_name
from conceptbench.runtime.models import model_config
from conceptbench.runtime.progress import Progress

BEST: Final = "best"
SAME: Final = "same"
DIFFERENT: Final = "different"
LONGEST_SHOWN: Final = 500
"""Characters of a description that a judge is shown."""

_YES_NO = re.compile(LEAD + r"(yes|no)\b\W*(?:$|they\b|the two\b|both\b|because\b)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """The texts of the judges' question, with its worked examples."""

    system: str
    question: str
    options: Mapping[str, str]
    examples: tuple[Mapping[str, Any], ...]
    sha256: str


@dataclass(frozen=True)
class Pair:
    """A text that is to be held against the true explanation of its record's module.

    `role` is `best` for a run's explanation, `same` and `different` for planted controls.
    """

    record: Record
    role: str
    text: str

    @property
    def reference(self) -> str:
        """The true explanation."""
        explanation: str = self.record["answer"]["explanation"]
        return explanation

    @property
    def addresses_rater(self) -> bool:
        """Whether the text speaks to who judges it: then nobody is asked, and it is not equivalent."""
        return addresses_rater(self.text)


@cache
def load_question() -> Question:
    """Load the packaged question."""
    content = (files("conceptbench.eval.explanation") / "equivalence.toml").read_bytes()
    fields = tomllib.loads(content.decode())
    return Question(
        **{name: fields[name] for name in ("system", "question", "options")},
        examples=tuple(fields["examples"]),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def plant(records: Sequence[Record], seed: int) -> list[Pair]:
    """Plant controls: for each module with an answer, a wording that is true of it and one of an unrelated answer.

    Both are names or aliases, so that their form tells nothing, and stand at the module's first record; modules that a
    limit left out take part. A true wording that the explanation holds word for word is taken only where there is no
    other.
    """
    first: dict[str, Record] = {}
    for record in records:
        first.setdefault(record["module"], record)
    answers = {module: answer for module, record in first.items() if (answer := answer_of(record)) is not None}
    pairs = []
    for module, answer in answers.items():
        own = [text for text in _wordings(answer) if text.casefold() != answer.explanation.casefold()]
        reworded = [text for text in own if text.casefold() not in answer.explanation.casefold()]
        others = [text for other in answers.values() if apart(answer, other) for text in _wordings(other)]
        for role, texts in ((SAME, reworded or own), (DIFFERENT, others)):
            if texts:
                text = texts[int(generator_of("control", seed, module, role).integers(len(texts)))]
                pairs.append(Pair(first[module], role, text))
    return pairs


@dataclass(frozen=True)
class Panel:
    """The judges of a run; `options` are those of their clients, see `open_llm`."""

    judges: Sequence[str]
    allow_self_judging: bool
    options: Mapping[str, Any]

    def check(self, helpers: Iterable[str | None]) -> None:
        """Refuse judges that may not sit or cannot be asked, before any work is done.

        Parameters
        ----------
        helpers : the systems that wrote the explanations; in published runs they are bare names of models.

        Raises
        ------
        InputError
            if a judge would judge itself, sits twice, is no language model, or has no key or weights.
        """
        for helper in sorted({helper or "" for helper in helpers} | {""}):
            system = helper if not helper or helper.partition(":")[0] in KINDS else f"openai:{helper}"
            check_judges(self.judges, system, allow_self_judging=self.allow_self_judging)
        for judge in self.judges:
            kind, name = parse_system(judge)
            if kind == "local":
                model_config(name)
            open_llm(judge, **self.options).close()

    def judge(
        self, records: Sequence[Record], best: Sequence[str | None], folder: Path, seed: int, progress: Progress
    ) -> dict[str, Usage]:
        """Have each judge compare the best explanations, and planted controls, with the true ones.

        Parameters
        ----------
        records : their judgements are put into them.
        best : each record's best explanation, None where there is none.
        folder : of the run, where the journal is.

        Returns
        -------
        what the judges' answers took, by their names in files.
        """
        if not self.judges:
            return {}
        known = [(record, text) for record, text in zip(records, best, strict=True) if record["answer"] is not None]
        pairs = [*(Pair(record, BEST, text) for record, text in known if text is not None), *plant(records, seed)]
        used = {}
        with Journal(folder / "journal.sqlite") as journal:
            for system in self.judges:
                client = open_llm(system, journal=journal, **self.options)
                try:
                    used[public_name(system)] = _judge(pairs, system, client, seed, progress)
                finally:
                    client.close()
        return used


def read_equivalence(text: str, order: Sequence[str]) -> bool | None:
    """Read a choice of A and B, listed in this order, or a plain yes or no; None where there is neither."""
    choice = read_choice(text, order)
    if choice is not None:
        return choice == SAME
    match = _YES_NO.match(text.strip())
    return match[1].casefold() == "yes" if match else None


def _judge(pairs: Sequence[Pair], system: str, client: LLM, seed: int, progress: Progress) -> Usage:
    """Have a judge compare pairs, and put its judgements into their records; give what its answers took."""
    name = public_name(system)
    asked = [(pair, *_order(pair, name, seed)) for pair in pairs if not pair.addresses_rater]
    requests = [_request(*one) for one in asked]
    replies, used = ask(client, requests, f"Judging explanations with {name}", progress)
    for pair in pairs:
        if pair.addresses_rater:
            _add(pair, name, False, "not asked: the explanation addresses its rater")
    for (pair, order, _), reply in zip(asked, replies, strict=True):
        _add(pair, name, read_equivalence(reply_text(reply), order), (reply.text or reply.detail or "")[:LONGEST_RAW])
    return used


def _add(pair: Pair, rater: str, equivalent: bool | None, raw: str) -> None:
    judgement = {"rater": rater, "role": pair.role, "text": pair.text, "equivalent": equivalent, "raw": raw}
    pair.record["judgements"].append(judgement)


def _wordings(answer: Answer) -> list[str]:
    """Give the wordings of an answer that can be planted: short ones, which speak to no rater."""
    return [text for text in (answer.name, *answer.aliases) if not addresses_rater(text)]


def _order(pair: Pair, judge_name: str, seed: int) -> tuple[tuple[str, str], bool]:
    """Draw the order of the options, and whether the true explanation stands first."""
    generator = generator_of("equivalence", seed, judge_name, pair.reference, pair.text)
    options = (SAME, DIFFERENT) if generator.integers(2) else (DIFFERENT, SAME)
    return options, bool(generator.integers(2))


def _request(pair: Pair, order: tuple[str, str], reference_first: bool) -> Request:
    question = load_question()
    turns = [Message("system", question.system)]
    for number, example in enumerate(question.examples):
        # Their answers go through the letters, so that neither is favoured: A, A, B, B.
        role = SAME if example["same"] else DIFFERENT
        own = (SAME, DIFFERENT) if (number % 4 < 2) == example["same"] else (DIFFERENT, SAME)
        turns += [
            Message("user", _asked(question, example["one"], example["two"], own)),
            Message("assistant", LETTERS[own.index(role)]),
        ]
    one, two = (pair.reference, pair.text) if reference_first else (pair.text, pair.reference)
    turns.append(Message("user", _asked(question, one, two, order)))
    return Request(tuple(turns), max_tokens=ANSWER_TOKENS)


def _asked(question: Question, one: str, two: str, order: Sequence[str]) -> str:
    listed = "\n".join(f"{letter}) {question.options[role]}" for letter, role in zip(LETTERS, order, strict=False))
    return fill(question.question, one=_shown(one), two=_shown(two), options=listed)


def _shown(text: str) -> str:
    """Quote a description on one line, so that it can hold no question of its own."""
    return quoted(" ".join(text.split())[:LONGEST_SHOWN])
