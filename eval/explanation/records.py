"""The records of an explanation run: a row is one run, in which a module is explained once under one setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.benchmark.modules import Answer, KnownModule, Part
from conceptbench.benchmark.modules.answers import Rule
from conceptbench.eval.methods.sasc.candidates import TestedExplanation
from conceptbench.eval.rows import Int32, rows_of, schema_of

Role = Literal["best", "same", "different"]
"""What a judged text is: the best explanation of a run, or a planted control."""

NOT_RUN: Final = "not run"
CONSTANT: Final = "constant"
NO_ANSWER: Final = "no answer"

BEST: Final = "best"
SAME: Final = "same"
DIFFERENT: Final = "different"


@dataclass(frozen=True)
class RecordedAnswer:
    """A module's answer, see `benchmark.modules.Answer`."""

    name: str
    aliases: tuple[str, ...]
    explanation: str
    rule: Rule
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Record an answer."""
        return cls(answer.name, answer.aliases, answer.explanation, answer.rule, answer.parts)

    @property
    def answer(self) -> Answer:
        """The answer that was recorded."""
        return Answer(self.name, self.aliases, self.explanation, self.parts, self.rule)


@dataclass(frozen=True)
class RecordedCandidate(TestedExplanation):
    """A candidate: its strings with the module's responses, and the score that the explainer itself gave, if any."""

    score: float | None = None

    @classmethod
    def of(cls, tested: TestedExplanation, score: float | None) -> Self:
        """Record a candidate with the explainer's score."""
        return cls(
            tested.text,
            tested.related,
            tested.unrelated,
            tested.related_values,
            tested.unrelated_values,
            score,
        )


@dataclass(frozen=True)
class ModuleScore:
    """What an explanation's strings score on a module of the run, in standard deviations of that module."""

    module: str
    score: float


@dataclass(frozen=True)
class Judgement:
    """A judge's decision whether a text describes the same as the true explanation of the record's module.

    `role` says what the text is: the `best` explanation of the run or, at a module's first record, a planted control
    that is the `same` or `different`. `equivalent` is None where the reply `raw` cannot be read.
    """

    rater: str
    role: Role
    text: str
    equivalent: bool | None
    raw: str


@dataclass(frozen=True)
class Record:
    """A row of the records.

    Attributes
    ----------
    run : its name, `<module>/<setting>/<repeat>`; None for a module that was not run.
    module, family : what was explained.
    setting, repeat, helper : how; `helper` is the language model that helped.
    answer : the module's; None where none is known.
    control : whether the module responds to nothing.
    fit, fit_p : those of `KnownModule`.
    ngrams, spread : how many n-grams the module responded to, and the standard deviation of its responses.
    top_ngrams : its strongest n-grams under the setting, strongest first.
    baseline_tfidf : the most typical word of these.
    candidates : in the order in which the explainer gave them.
    reason : why there is no candidate: `constant` (the module always responds the same), `no answer`, or `not run`, of
        a module that a limit left out, whose answer takes part in judging whether an explanation says too much.
    own_scores : what the best candidate's strings score on every module of the run that is no control.
    judgements : of the judges.
    """

    run: str | None
    module: str
    family: str
    setting: str | None
    repeat: Int32 | None
    helper: str | None
    answer: RecordedAnswer | None
    control: bool
    fit: float | None = None
    fit_p: float | None = None
    ngrams: int | None = None
    spread: float | None = None
    top_ngrams: tuple[str, ...] = ()
    baseline_tfidf: str | None = None
    candidates: tuple[RecordedCandidate, ...] = ()
    reason: Literal["constant", "no answer", "not run"] | None = None
    own_scores: tuple[ModuleScore, ...] = ()
    judgements: tuple[Judgement, ...] = ()


def schema() -> pa.Schema:
    """Give the records' Arrow schema."""
    return schema_of(Record)


def rows(records: pa.Table) -> list[Record]:
    """Read the records' rows."""
    return rows_of(records, Record)


def rows_that_were_run(records: pa.Table) -> pa.Table:
    """Leave out the rows of modules that were not run."""
    return records.filter(pc.fill_null(pc.not_equal(records["reason"], NOT_RUN), True))


def not_run(module: KnownModule) -> Record:
    """Make the record of a module that was not run, which holds its answer alone."""
    return Record(
        run=None,
        module=module.id,
        family=module.family,
        setting=None,
        repeat=None,
        helper=None,
        answer=None if module.answer is None else RecordedAnswer.of(module.answer),
        control=module.control,
        fit=module.fit,
        fit_p=module.fit_p,
        reason=NOT_RUN,
    )


def answers_of(records: Sequence[Record]) -> dict[str, Answer]:
    """Give the known answers by module, also of modules that were not run."""
    return {record.module: record.answer.answer for record in records if record.answer is not None}
