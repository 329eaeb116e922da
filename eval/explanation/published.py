"""Runs recorded by others: the SASC paper's own, so that its table can be computed again from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.modules import EmbeddingModule, KnownModule
from conceptbench.eval.explanation.records import Record, RecordedAnswer, RecordedCandidate
from conceptbench.eval.rows import rows_of, schema_of
from conceptbench.runtime.errors import InputError


@dataclass(frozen=True)
class PublishedRun:
    """A row of a file of published runs, which may have more columns; candidates are best first.

    `relevant` and `irrelevant` are the strings that fit each candidate, and those that do not.
    """

    module: str
    setting: str
    seed: int
    helper: str | None
    top_ngrams: tuple[str, ...]
    candidates: tuple[str, ...]
    scores: tuple[float | None, ...]
    relevant: tuple[tuple[str, ...], ...]
    irrelevant: tuple[tuple[str, ...], ...]


COLUMNS: Final = schema_of(PublishedRun)
"""The columns that are read of a file of published runs."""

Responses = Mapping[tuple[str, str], float]
"""The responses of modules to strings, by the module's id and the string."""


def read_runs(path: Path) -> list[PublishedRun]:
    """Read published runs.

    Raises
    ------
    InputError
        if the file cannot be read, lacks a column, or its lists do not go together.
    """
    try:
        table = pq.ParquetFile(path).read(columns=COLUMNS.names)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"--records {path} cannot be read as published runs: {error}") from error
    missing = [name for name in COLUMNS.names if name not in table.schema.names]
    if missing:
        raise InputError(f"--records {path}: it has no column {missing[0]!r}")
    try:
        runs = rows_of(table.cast(COLUMNS), PublishedRun)
    except (InputError, pa.ArrowException, ValueError) as error:
        raise InputError(f"--records {path} cannot be read as published runs: {error}") from error
    for number, run in enumerate(runs, 1):
        if len({len(run.candidates), len(run.scores), len(run.relevant), len(run.irrelevant)}) != 1:
            raise InputError(f"{path}, row {number}: candidates, scores and strings are not of one length")
    return runs


def published_records(path: Path, runs: Sequence[PublishedRun], modules: Sequence[KnownModule]) -> list[Record]:
    """Make records of published runs, with our modules' responses to the strings that they were tested on.

    The spread over n-grams is not published; that over all strings of a module is taken instead, which changes no
    order of candidates within a run.

    Parameters
    ----------
    path : the file of the runs, for messages.
    runs : as `read_runs` gives them.
    modules : those of the runs, with their answers.

    Raises
    ------
    InputError
        if a run is of a module that is not among the modules, or is not one of an embedding.
    """
    known = {module.id: module for module in modules}
    unknown = sorted({run.module for run in runs} - set(known))
    if unknown:
        raise InputError(
            f"{path}: module {unknown[0]!r} is not in the modules' file (nor are {len(unknown) - 1} others)"
        )
    responses = _responses(runs, known)
    values: dict[str, list[float]] = {}
    for (module, _), value in responses.items():
        values.setdefault(module, []).append(value)
    spread = {run.module: float(np.std(values.get(run.module, [0.0]))) for run in runs}
    return [_record(run, known[run.module], responses, spread[run.module]) for run in runs]


def _responses(runs: Sequence[PublishedRun], known: Mapping[str, KnownModule]) -> Responses:
    """Compute each module's response to each string of its runs; strings are embedded once."""
    texts: dict[str, dict[str, None]] = {}
    for run in runs:
        of_module = texts.setdefault(run.module, {})
        of_module |= dict.fromkeys(text for strings in (*run.relevant, *run.irrelevant) for text in strings)
    distinct = sorted({text for of_module in texts.values() for text in of_module})
    index = {text: number for number, text in enumerate(distinct)}
    responses: dict[tuple[str, str], float] = {}
    vectors = None
    for name, of_module in texts.items():
        module = known[name].module
        if not isinstance(module, EmbeddingModule):
            raise InputError(f"module {name!r} is not one of an embedding")
        if vectors is None:
            vectors = module.encoder.encode(distinct)
        values = module.respond(vectors[[index[text] for text in of_module]])
        responses |= {(name, text): float(value) for text, value in zip(of_module, values, strict=True)}
    return responses


def _record(run: PublishedRun, module: KnownModule, responses: Responses, spread: float) -> Record:
    def values(strings: Sequence[str]) -> tuple[float, ...]:
        return tuple(responses[module.id, string] for string in strings)

    return Record(
        run=f"{run.module}/{run.setting}/{run.seed}",
        module=run.module,
        family=module.family,
        setting=run.setting,
        repeat=run.seed,
        helper=run.helper,
        answer=None if module.answer is None else RecordedAnswer.of(module.answer),
        control=False,
        spread=spread,
        top_ngrams=run.top_ngrams,
        candidates=tuple(
            RecordedCandidate(text, relevant, irrelevant, values(relevant), values(irrelevant), score)
            for text, relevant, irrelevant, score in zip(
                run.candidates, run.relevant, run.irrelevant, run.scores, strict=True
            )
        ),
    )
