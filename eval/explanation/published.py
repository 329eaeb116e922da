"""Runs recorded by others: the SASC paper's own, so that its table can be computed again from its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.modules import EmbeddingModule, KnownModule
from conceptbench.eval.explanation.records import Record, answer_row
from conceptbench.runtime.errors import InputError

COLUMNS: Final = pa.schema(
    [
        ("module", pa.string()),
        ("setting", pa.string()),
        ("seed", pa.int64()),
        ("helper", pa.string()),
        ("top_ngrams", pa.list_(pa.string())),
        ("candidates", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float64())),
        ("relevant", pa.list_(pa.list_(pa.string()))),
        ("irrelevant", pa.list_(pa.list_(pa.string()))),
    ]
)
"""The columns that are read of a file of published runs; candidates stand best first."""


def read_published(path: Path, modules: Sequence[KnownModule]) -> list[Record]:
    """Read published runs, and compute our modules' responses to the strings that they were tested on.

    The spread over n-grams is not published; that over all strings of a module stands for it, which changes no order
    of candidates within a run.

    Raises
    ------
    InputError
        if the file cannot be read, lacks a column, or has a module that is not known.
    """
    rows = _rows(path)
    known = {module.id: module for module in modules}
    unknown = sorted({row["module"] for row in rows} - set(known))
    if unknown:
        raise InputError(
            f"{path}: module {unknown[0]!r} is not in the modules' file (nor are {len(unknown) - 1} others)"
        )
    values = _responses(rows, known)
    spread = {
        name: float(np.std([values[name, text] for text in {text for key, text in values if key == name}]))
        for name in {row["module"] for row in rows}
    }
    return [_record(row, known[row["module"]], values, spread[row["module"]]) for row in rows]


def _rows(path: Path) -> list[Record]:
    try:
        table = pq.ParquetFile(path).read(columns=COLUMNS.names)
        missing = [name for name in COLUMNS.names if name not in table.schema.names]
        if missing:
            raise InputError(f"{path}: it has no column {missing[0]!r}")
        rows: list[Record] = table.cast(COLUMNS).to_pylist()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"--records {path} cannot be read as published runs: {error}") from error
    for number, row in enumerate(rows, 1):
        lists = [row[name] or [] for name in ("candidates", "scores", "relevant", "irrelevant")]
        if len({len(own) for own in lists}) != 1:
            raise InputError(f"{path}, row {number}: candidates, scores and strings are not of one length")
    return rows


def _responses(rows: Sequence[Record], known: dict[str, KnownModule]) -> dict[tuple[str, str], float]:
    """Give each module's response to each string of its runs; strings are embedded once."""
    texts: dict[str, dict[str, None]] = {}
    for row in rows:
        own = texts.setdefault(row["module"], {})
        own |= dict.fromkeys(text for lists in (*row["relevant"], *row["irrelevant"]) for text in lists)
    every = sorted({text for own in texts.values() for text in own})
    place = {text: number for number, text in enumerate(every)}
    found: dict[tuple[str, str], float] = {}
    vectors = None
    for name, own in texts.items():
        module = known[name].module
        if not isinstance(module, EmbeddingModule):
            raise InputError(f"module {name!r} is not one of an embedding")
        if vectors is None:
            vectors = module.encoder.encode(every)
        values = module.respond(vectors[[place[text] for text in own]])
        found |= {(name, text): float(value) for text, value in zip(own, values, strict=True)}
    return found


def _record(row: Record, module: KnownModule, values: dict[tuple[str, str], float], spread: float) -> Record:
    candidates = [
        {
            "text": text,
            "related": related,
            "unrelated": unrelated,
            "related_values": [values[module.id, string] for string in related],
            "unrelated_values": [values[module.id, string] for string in unrelated],
            "score": score,
        }
        for text, related, unrelated, score in zip(
            row["candidates"], row["relevant"], row["irrelevant"], row["scores"], strict=True
        )
    ]
    return {
        "run": f"{row['module']}/{row['setting']}/{row['seed']}",
        "module": row["module"],
        "family": module.family,
        "setting": row["setting"],
        "repeat": row["seed"],
        "helper": row["helper"],
        "answer": answer_row(module.answer),
        "control": False,
        "fit": None,
        "fit_p": None,
        "ngrams": None,
        "spread": spread,
        "top_ngrams": row["top_ngrams"],
        "baseline_tfidf": None,
        "candidates": candidates,
        "reason": None,
        "own_scores": [],
        "judgements": [],
    }
