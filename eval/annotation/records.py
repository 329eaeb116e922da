"""The rows of the annotation task's records: all that its scores are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.builders.annotate import Attempt
from conceptbench.eval.annotation.items import Item
from conceptbench.eval.rows import Int32, rows_of, schema_of

ITEM: Final = "item"
CONTROL: Final = "control"
JUDGES: Final = "judges"
PEOPLE: Final = "people"


@dataclass(frozen=True)
class AttemptRecord:
    """One attempt to name a concept under a prompt: a label, or the reason there is none."""

    prompt: str
    label: str | None
    reason: str | None


@dataclass(frozen=True)
class Rating:
    """What one rater answered of a label.

    `grade` is on the scale unacceptable, imprecise, precise; people may also have answered Q1 alone (`acceptable`).
    `preference` is `label`, `other`, `both` or `neither`. `chosen` are the words that a judge picked from those held
    out and strangers. `raw` is the judge's reply to Q1. What a rater did not answer is None.
    """

    rater: str
    panel: Literal["judges", "people"]
    grade: str | None = None
    preference: str | None = None
    chosen: tuple[str, ...] | None = None
    raw: str | None = None


@dataclass(frozen=True)
class Record:
    """A row of the records: an item, or a planted control.

    `condition` is that of a study, else empty. `concept` to `strangers` are as in `items.Item`; `language` is that of a
    gold item. `attempts` are all there were, of which `label`, `reason` and `raw` are the last one's. `other` is the
    label to compare with. `control` is a control's type (`right`, `near`, `far`, `general`, `stuffed`), `half` says
    what it is for: to `select` the judges, or to `measure` them.
    """

    item: str
    role: Literal["item", "control"]
    condition: str
    concept: str
    language: str | None
    kind: str | None
    purity: float | None
    model: str | None
    layer: Int32 | None
    size: int | None
    words: tuple[str, ...]
    counts: tuple[int, ...]
    contexts: tuple[str, ...]
    held_out: tuple[str, ...]
    strangers: tuple[str, ...]
    label: str | None
    reason: str | None
    raw: str | None
    attempts: tuple[AttemptRecord, ...]
    tokens_in: int
    tokens_out: int
    other: str | None = None
    control: str | None = None
    half: str | None = None
    ratings: tuple[Rating, ...] = ()


def item_record(item: Item, attempts: Sequence[Attempt], *, condition: str = "", language: str = "en") -> Record:
    """Make the record of an item from what the annotator did; an annotator that attempted nothing has failed it."""
    last = attempts[-1] if attempts else Attempt("", None, "failed")
    return Record(
        item=item.item,
        role="item",
        condition=condition,
        concept=item.concept,
        language=language if item.kind is not None else None,
        kind=item.kind,
        purity=item.purity,
        model=item.model,
        layer=item.layer,
        size=item.size,
        words=tuple(word for word, _ in item.words),
        counts=tuple(count for _, count in item.words),
        contexts=item.contexts,
        held_out=item.held_out,
        strangers=item.strangers,
        label=last.label,
        reason=last.reason,
        raw=last.raw,
        attempts=tuple(AttemptRecord(attempt.prompt, attempt.label, attempt.reason) for attempt in attempts),
        tokens_in=sum(attempt.tokens_in for attempt in attempts),
        tokens_out=sum(attempt.tokens_out for attempt in attempts),
    )


def control_record(item: Item, label: str, control: str, half: str) -> Record:
    """Make the record of a control: an item with a planted label, which nobody attempted to name."""
    named = item_record(item, [Attempt("", label, None, label)])
    return replace(named, role="control", attempts=(), control=control, half=half)


def schema() -> pa.Schema:
    """Give the records' Arrow schema."""
    return schema_of(Record)


def rows(records: pa.Table) -> list[Record]:
    """Read the records' rows."""
    return rows_of(records, Record)


def item_rows(records: pa.Table) -> pa.Table:
    """Give the rows that say what was asked: those of items."""
    return records.filter(pc.equal(records["role"], ITEM))
