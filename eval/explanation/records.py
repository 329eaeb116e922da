"""The rows of the explanation task's records: a row is one run, one module explained once under one setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from conceptbench.benchmark.modules import Answer, Part
from conceptbench.eval.result import read_rows

Record = dict[str, Any]

_TEXTS = pa.list_(pa.string())
_NUMBERS = pa.list_(pa.float64())

RECORDS: Final = pa.schema(
    [
        ("run", pa.string()),
        ("module", pa.string()),
        ("family", pa.string()),
        ("setting", pa.string()),
        ("repeat", pa.int32()),
        ("helper", pa.string()),
        (
            "answer",
            pa.struct(
                [
                    ("name", pa.string()),
                    ("aliases", _TEXTS),
                    ("explanation", pa.string()),
                    ("rule", pa.string()),
                    (
                        "parts",
                        pa.list_(
                            pa.struct(
                                [
                                    ("name", pa.string()),
                                    ("accept", pa.string()),
                                    ("concept", pa.string()),
                                    ("kin", _TEXTS),
                                ]
                            )
                        ),
                    ),
                ]
            ),
        ),
        ("control", pa.bool_()),
        ("fit", pa.float64()),
        ("fit_p", pa.float64()),
        ("ngrams", pa.int64()),
        ("spread", pa.float64()),
        ("top_ngrams", _TEXTS),
        ("baseline_tfidf", pa.string()),
        (
            "candidates",
            pa.list_(
                pa.struct(
                    [
                        ("text", pa.string()),
                        ("related", _TEXTS),
                        ("unrelated", _TEXTS),
                        ("related_values", _NUMBERS),
                        ("unrelated_values", _NUMBERS),
                        ("score", pa.float64()),
                    ]
                )
            ),
        ),
        ("reason", pa.string()),
        ("own_scores", pa.list_(pa.struct([("module", pa.string()), ("score", pa.float64())]))),
        (
            "judgements",
            pa.list_(
                pa.struct(
                    [
                        ("rater", pa.string()),
                        ("role", pa.string()),
                        ("text", pa.string()),
                        ("equivalent", pa.bool_()),
                        ("raw", pa.string()),
                    ]
                )
            ),
        ),
    ]
)
"""`candidates` stand in the order in which the explainer gave them, their strings with the module's responses; `score`
is what the explainer itself said of them, if anything. `answer` is the module's, null where none is known; a `control`
responds to nothing; `fit` and `fit_p` are those of `KnownModule`. `reason` says why
there is no candidate: `constant`, `no answer`, or `not run` (a module that a limit left out: its answer takes part in
judging whether an explanation says too much). `own_scores` are what the best candidate's strings score on every module
of the run, in standard deviations of that module. A judgement says whether a text describes the same as the module's
true explanation, null where the reply cannot be read: the `best` explanation of the run, or, at a module's first
record, a planted control that is the `same` or `different`."""

NOT_RUN: Final = "not run"


def answer_row(answer: Answer | None) -> Record | None:
    """Give an answer as it stands in the records."""
    return None if answer is None else asdict(answer)


def answer_of(record: Record) -> Answer | None:
    """Read the answer of a record's module; None where none is known."""
    row = record["answer"]
    if row is None:
        return None
    parts = tuple(Part(p["name"], p["accept"], p["concept"], tuple(p["kin"])) for p in row["parts"])
    return Answer(row["name"], tuple(row["aliases"]), row["explanation"], parts, row["rule"])


def records_table(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Put records into a table."""
    return pa.Table.from_pylist(list(records), schema=RECORDS)


def read_records(folder: Path) -> list[Record]:
    """Read the records of a run's folder; see `result.read_rows`."""
    return read_rows(folder, RECORDS, "explanation")
