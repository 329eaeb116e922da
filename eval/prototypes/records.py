"""The records of a prototypes run: a row a text and repeat, and a row a prototype of the classifier that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.eval.rows import Float32, Int32, rows_of, schema_of, table_of
from conceptbench.runtime.errors import InputError

TEXT: Final = "text"
PROTOTYPE: Final = "prototype"


@dataclass(frozen=True)
class ClassifierAnswer:
    """The class that a classifier gives to a text, and its probability."""

    classifier: str
    label: str
    probability: Float32


@dataclass(frozen=True)
class SwapOutcome:
    """What changes for a text when training examples replace a classifier's prototypes; see `faithfulness.Swap`."""

    classifier: str
    all_stay: bool
    top_stays: bool
    change: Float32


@dataclass(frozen=True)
class TokenScores:
    """What deleting a text's tokens does to Proto-lm's decision; see `faithfulness.TokenFaithfulness`."""

    agreement: float
    comprehensiveness: float
    comprehensiveness_random: float
    sufficiency: float
    sufficiency_random: float


Condition = Literal["input", "examples", "prototypes"]
"""What a simulator sees: the names of the classes alone, random training texts too, or those nearest to prototypes."""


@dataclass(frozen=True)
class SimulatorAnswer:
    """The class that a simulator predicts; None where its reply names none."""

    simulator: str
    condition: Condition
    label: str | None
    reply: str


@dataclass(frozen=True, kw_only=True)
class TextRow:
    """A text in one repeat.

    Attributes
    ----------
    item : names the text's row in the data.
    text : a pair of sentences with ` / ` between.
    label : its class.
    repeat, fold : the split that it was tested in: all classifiers were trained on other texts.
    answers : those of each classifier.
    swaps : of Proto-lm, before and after alignment; in the first repeat.
    tokens : of texts that were drawn, in the first repeat.
    reason : the nearest example of the prototype that adds most to Proto-lm's decision; in the first repeat.
    simulations : of texts that simulators were asked about, in the first repeat.
    """

    role: Literal["text"] = "text"
    item: str
    text: str
    label: str
    repeat: Int32
    fold: Int32
    answers: tuple[ClassifierAnswer, ...]
    swaps: tuple[SwapOutcome, ...] | None = None
    tokens: TokenScores | None = None
    reason: str | None = None
    simulations: tuple[SimulatorAnswer, ...] | None = None

    def answer(self, classifier: str) -> ClassifierAnswer | None:
        """Give the answer of a classifier; None where it was not asked."""
        return next((answer for answer in self.answers if answer.classifier == classifier), None)


@dataclass(frozen=True, kw_only=True)
class PrototypeRow:
    """A prototype of the classifier that is stored.

    Attributes
    ----------
    item : names the prototype.
    label : its class.
    used : whether it is the first reason of a decision on some training text.
    name, score, p : SASC's name with its score and p-value; None where there is none.
    nearest : its nearest training texts.
    """

    role: Literal["prototype"] = "prototype"
    item: str
    label: str
    used: bool
    name: str | None = None
    score: float | None = None
    p: float | None = None
    nearest: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """All rows of a run."""

    texts: Sequence[TextRow]
    prototypes: Sequence[PrototypeRow]


def text_item(row: int) -> str:
    """Name a text by its row in the data.

    Examples
    --------
    >>> text_item(7)
    'T000007'
    """
    return f"T{row:06d}"


def prototype_item(number: int) -> str:
    """Name a prototype by its number in the classifier.

    Examples
    --------
    >>> prototype_item(7)
    'P007'
    """
    return f"P{number:03d}"


def schema() -> pa.Schema:
    """Give the records' Arrow schema: the columns of texts, then those that prototypes have besides."""
    return pa.unify_schemas([schema_of(TextRow), schema_of(PrototypeRow)])


def table(rows: Rows) -> pa.Table:
    """Put rows into a table; a column that a row does not have is null."""
    parts = [table_of(rows.texts, TextRow), table_of(rows.prototypes, PrototypeRow)]
    return pa.concat_tables(parts, promote_options="default").combine_chunks()


def rows(records: pa.Table) -> Rows:
    """Read the records' rows.

    Raises
    ------
    InputError
        if a row is neither a text nor a prototype, or a value is not of its column's type.
    """
    roles = set(records["role"].to_pylist())
    if not roles <= {TEXT, PROTOTYPE}:
        unknown = next(iter(roles - {TEXT, PROTOTYPE}))
        raise InputError(f"records, role: {unknown!r} is neither {TEXT!r} nor {PROTOTYPE!r}")
    return Rows(
        rows_of(_of_role(records, TEXT).select(schema_of(TextRow).names), TextRow),
        rows_of(_of_role(records, PROTOTYPE).select(schema_of(PrototypeRow).names), PrototypeRow),
    )


def first_repeat(records: pa.Table) -> pa.Table:
    """Give the rows that say what was classified: the texts of the first repeat."""
    return records.filter(pc.equal(records["repeat"], 0))


def _of_role(records: pa.Table, role: str) -> pa.Table:
    return records.filter(pc.equal(records["role"], role))
