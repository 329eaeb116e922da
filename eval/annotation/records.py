"""The rows of the annotation task's records: all that its scores are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from conceptbench.builders.annotate import Attempt
from conceptbench.eval.annotation.items import Item
from conceptbench.eval.result import read_rows

Record = dict[str, Any]

RECORDS: Final = pa.schema(
    [
        ("item", pa.string()),
        ("role", pa.string()),
        ("condition", pa.string()),
        ("concept", pa.string()),
        ("language", pa.string()),
        ("kind", pa.string()),
        ("purity", pa.float64()),
        ("model", pa.string()),
        ("layer", pa.int32()),
        ("size", pa.int64()),
        ("words", pa.list_(pa.string())),
        ("counts", pa.list_(pa.int64())),
        ("contexts", pa.list_(pa.string())),
        ("held_out", pa.list_(pa.string())),
        ("strangers", pa.list_(pa.string())),
        ("label", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("attempts", pa.list_(pa.struct([("prompt", pa.string()), ("label", pa.string()), ("reason", pa.string())]))),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("other", pa.string()),
        ("control", pa.string()),
        ("half", pa.string()),
        (
            "ratings",
            pa.list_(
                pa.struct(
                    [
                        ("rater", pa.string()),
                        ("panel", pa.string()),
                        ("grade", pa.string()),
                        ("preference", pa.string()),
                        ("chosen", pa.list_(pa.string())),
                        ("raw", pa.string()),
                    ]
                )
            ),
        ),
    ]
)
"""One row an item (`role` item) or a planted control (`role` control).

`condition` is that of a study, else empty. `attempts` are all there were, of which `label`, `reason` and `raw` are the
last one's. `other` is the label to compare with. `control` is the control's error type (`right`, `near`, `far`,
`general`, `stuffed`), `half` says what it is for: `select` the judges, or `measure` them. A rating's `panel` is
`judges` or `people`; `grade` is on the scale unacceptable, imprecise, precise (people may also have answered Q1 alone:
`acceptable`); `chosen` are the words that a judge picked from those held out and strangers.
"""


def item_record(item: Item, attempts: Sequence[Attempt], *, condition: str = "", language: str = "en") -> Record:
    """Make the record of an item from what the annotator did; who has nothing to say of it has failed it."""
    last = attempts[-1] if attempts else Attempt("", None, "failed")
    return {
        **_shown(item),
        "role": "item",
        "condition": condition,
        "language": language if item.kind is not None else None,
        "label": last.label,
        "reason": last.reason,
        "raw": last.raw,
        "attempts": [{"prompt": a.prompt, "label": a.label, "reason": a.reason} for a in attempts],
        "tokens_in": sum(attempt.tokens_in for attempt in attempts),
        "tokens_out": sum(attempt.tokens_out for attempt in attempts),
        "other": None,
        "control": None,
        "half": None,
        "ratings": [],
    }


def control_record(item: Item, label: str, control: str, half: str) -> Record:
    """Make the record of a control: an item with a planted label."""
    return {
        **item_record(item, [Attempt("", label, None, label)]),
        "role": "control",
        "attempts": [],
        "control": control,
        "half": half,
    }


def records_table(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Put records into a table."""
    return pa.Table.from_pylist(list(records), schema=RECORDS)


def read_records(folder: Path) -> list[Record]:
    """Read the records of a run's folder; see `result.read_rows`."""
    return read_rows(folder, RECORDS, "annotation")


def _shown(item: Item) -> Record:
    return {
        "item": item.item,
        "concept": item.concept,
        "kind": item.kind,
        "purity": item.purity,
        "model": item.model,
        "layer": item.layer,
        "size": item.size,
        "words": [word for word, _ in item.words],
        "counts": [count for _, count in item.words],
        "contexts": list(item.contexts),
        "held_out": list(item.held_out),
        "strangers": list(item.strangers),
    }
