"""Language models as judges of explanations: is a run's best one the same in substance as the module's true one?

A judge sees two descriptions, in an order that changes. It is not told which of them is the true one, nor whether the
other one is a run's or a planted control: another true wording of the same answer, or one of an unrelated answer.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Final

from conceptbench.benchmark.modules import Answer
from conceptbench.benchmark.modules.answers import apart
from conceptbench.eval.explanation.options import ExplanationOptions
from conceptbench.eval.explanation.records import BEST, DIFFERENT, SAME, Judgement, Record, Role, answers_of
from conceptbench.eval.judges.asking import (
    ANSWER_TOKENS,
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
from conceptbench.runtime.llm import KINDS, LLM, Message, Request, Usage, parse_system, public_name
from conceptbench.runtime.models import model_config
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.readers import read_yes_no

LONGEST_SHOWN: Final = 500
"""Characters of a description that a judge is shown."""

_NOT_ASKED = "not asked: the explanation addresses its rater"


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
    """A text that judges compare with the true explanation of a record's module.

    Attributes
    ----------
    row : of the record that gets the judgements.
    role : `best` for a run's explanation, `same` and `different` for planted controls.
    text : what is compared.
    reference : the true explanation.
    """

    row: int
    role: Role
    text: str
    reference: str

    @property
    def addresses_rater(self) -> bool:
        """Whether the text speaks to those who judge it: then no judge is asked, and it is not equivalent."""
        return addresses_rater(self.text)


@dataclass(frozen=True)
class Judged:
    """Records with their judgements, and what each judge's answers took, by its name in files."""

    records: Sequence[Record]
    usage: Mapping[str, Usage]


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

    Both are names or aliases, so that their form tells nothing, and are put into the module's first record; modules
    that a limit left out take part. A true wording that the explanation holds word for word is taken only where the
    answer has no other.
    """
    answers = answers_of(records)
    rows: dict[str, int] = {}
    for row, record in enumerate(records):
        rows.setdefault(record.module, row)
    pairs = []
    for module, answer in answers.items():
        wordings = [text for text in _wordings(answer) if text.casefold() != answer.explanation.casefold()]
        reworded = [text for text in wordings if text.casefold() not in answer.explanation.casefold()]
        unrelated = [text for rival in answers.values() if apart(answer, rival) for text in _wordings(rival)]
        choices: tuple[tuple[Role, list[str]], ...] = ((SAME, reworded or wordings), (DIFFERENT, unrelated))
        for role, texts in choices:
            if texts:
                text = texts[int(generator_of("control", seed, module, role).integers(len(texts)))]
                pairs.append(Pair(rows[module], role, text, answer.explanation))
    return pairs


def best_pairs(records: Sequence[Record], best: Mapping[int, str | None]) -> dict[int, Pair]:
    """Pair best explanations with the true ones, where there are both; by the record's row.

    Parameters
    ----------
    records : all of a run.
    best : the text of the best explanation of some rows, None where a row has none.
    """
    return {
        row: Pair(row, BEST, text, answer.explanation)
        for row, text in best.items()
        if text is not None and (answer := records[row].answer) is not None
    }


def check_panel(options: ExplanationOptions, helpers: Iterable[str | None]) -> None:
    """Refuse judges that may not judge or cannot be asked, before any work is done.

    Parameters
    ----------
    options : those of the judges are read.
    helpers : the systems that wrote the explanations; in published runs they are bare names of models.

    Raises
    ------
    InputError
        if a judge would judge itself, is named twice, is no language model, or has no key or weights.
    """
    for helper in sorted({helper or "" for helper in helpers} | {""}):
        system = helper if not helper or helper.partition(":")[0] in KINDS else f"openai:{helper}"
        check_judges(options.judges, system, allow_self_judging=options.allow_self_judging)
    for judge in options.judges:
        check_askable(judge, options.judge_server)


def check_askable(system: str, base_url: str | None) -> None:
    """Refuse a language model that has no key or no weights.

    Raises
    ------
    InputError
        if that is so, or it is none.
    """
    kind, name = parse_system(system)
    if kind == "local":
        model_config(name)
    open_llm(system, base_url=base_url).close()


def judge(
    records: Sequence[Record],
    best: Mapping[int, str | None],
    judges: Sequence[str],
    open_judge: Callable[[str], LLM],
    *,
    seed: int,
    progress: Progress,
) -> Judged:
    """Have each judge compare the best explanations, and planted controls, with the true explanations.

    Parameters
    ----------
    records : of the run, without judgements.
    best : the text of each run's best explanation, None where it has none, by the record's row.
    judges : systems.
    open_judge : gives a judge's client.
    seed : of the controls and of the order of the options.
    progress : shows how far the judges are.
    """
    if not judges:
        return Judged(records, {})
    pairs = [*best_pairs(records, best).values(), *plant(records, seed)]
    judgements: defaultdict[int, list[Judgement]] = defaultdict(list)
    usage = {}
    for system in judges:
        name = public_name(system)
        stated, usage[name] = _judgements(pairs, name, open_judge(system), seed, progress)
        for pair, judgement in zip(pairs, stated, strict=True):
            judgements[pair.row].append(judgement)
    return Judged(
        [replace(record, judgements=tuple(judgements[row])) for row, record in enumerate(records)],
        usage,
    )


def read_equivalence(text: str, order: Sequence[str]) -> bool | None:
    """Read a choice of A and B, listed in this order, or a plain yes or no; None where there is neither."""
    choice = read_choice(text, order)
    if choice is not None:
        return choice == SAME
    return read_yes_no(text)


def _judgements(
    pairs: Sequence[Pair], name: str, client: LLM, seed: int, progress: Progress
) -> tuple[list[Judgement], Usage]:
    """Have a judge compare pairs; give its judgements, and what its answers took."""
    indices = [index for index, pair in enumerate(pairs) if not pair.addresses_rater]
    orders = [_order(pairs[index], name, seed) for index in indices]
    requests = [
        _request(pairs[index], options, reference_first)
        for index, (options, reference_first) in zip(indices, orders, strict=True)
    ]
    replies, used = ask(client, requests, f"Judging explanations with {name}", progress)
    answers: dict[int, tuple[bool | None, str]] = {
        index: (read_equivalence(reply_text(reply), options), (reply.text or reply.detail or "")[:LONGEST_RAW])
        for index, (options, _), reply in zip(indices, orders, replies, strict=True)
    }
    return [
        Judgement(name, pair.role, pair.text, *answers.get(index, (False, _NOT_ASKED)))
        for index, pair in enumerate(pairs)
    ], used


def _wordings(answer: Answer) -> list[str]:
    """Give the wordings of an answer that can be planted: short ones, which speak to no rater."""
    return [text for text in (answer.name, *answer.aliases) if not addresses_rater(text)]


def _order(pair: Pair, judge_name: str, seed: int) -> tuple[tuple[str, str], bool]:
    """Draw the order of the options, and whether the true explanation is the first of the two texts."""
    generator = generator_of("equivalence", seed, judge_name, pair.reference, pair.text)
    options = (SAME, DIFFERENT) if generator.integers(2) else (DIFFERENT, SAME)
    return options, bool(generator.integers(2))


def _request(pair: Pair, order: tuple[str, str], reference_first: bool) -> Request:
    question = load_question()
    turns = [Message("system", question.system)]
    for number, example in enumerate(question.examples):
        # Their answers go through the letters, so that neither is favoured: A, A, B, B.
        role = SAME if example["same"] else DIFFERENT
        options = (SAME, DIFFERENT) if (number % 4 < 2) == example["same"] else (DIFFERENT, SAME)
        turns += [
            Message("user", _question_text(question, example["one"], example["two"], options)),
            Message("assistant", LETTERS[options.index(role)]),
        ]
    first, second = (pair.reference, pair.text) if reference_first else (pair.text, pair.reference)
    turns.append(Message("user", _question_text(question, first, second, order)))
    return Request(tuple(turns), max_tokens=ANSWER_TOKENS)


def _question_text(question: Question, first: str, second: str, order: Sequence[str]) -> str:
    options = "\n".join(f"{letter}) {question.options[role]}" for letter, role in zip(LETTERS, order, strict=False))
    return fill(question.question, one=_on_one_line(first), two=_on_one_line(second), options=options)


def _on_one_line(text: str) -> str:
    """Quote a description on one line, so that it can hold no question of its own."""
    return quoted(" ".join(text.split())[:LONGEST_SHOWN])
