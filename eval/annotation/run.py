"""A run of the annotation task on gold items: ask, record, score."""

from __future__ import annotations

import datetime
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.items import PURITIES, GoldItem, draw_items
from conceptbench.benchmark.lexicon import GoldConcept, Split, load_lexicon
from conceptbench.benchmark.prompts import DEFAULT_PROMPT, Unit, load_prompt
from conceptbench.builders.annotate import Attempt, ConceptView, annotate, open_annotator
from conceptbench.eval.annotation.scoring import GoldScorer
from conceptbench.eval.intervals import mean_metric
from conceptbench.eval.result import Metric, Result, package_version, write_records, write_result
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import writing_failed
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import LLM, open_llm
from conceptbench.runtime.progress import Progress, Silent

TASK: Final = "annotation"
TASK_VERSION: Final = "0.1"
RECORDS: Final = pa.schema(
    [
        ("item", pa.string()),
        ("concept", pa.string()),
        ("kind", pa.string()),
        ("purity", pa.float64()),
        ("words", pa.list_(pa.string())),
        ("label", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("prompt", pa.string()),
        ("attempts", pa.int32()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
    ]
)


def evaluate_annotation(
    *,
    annotator: str,
    out: str | Path,
    limit: int | None = None,
    seed: int = 0,
    split: Split = "test",
    purities: Sequence[float] = PURITIES,
    prompt: str = DEFAULT_PROMPT,
    unit: Unit | None = None,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 60.0,
    price: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Have a system name gold items, and score the labels.

    Metrics: `gold_match` (the concept's pattern takes the label, guarded), `gold_includes` (the label holds the
    canonical name), and the shares `refused`, `filtered`, `unparsable` and `failed` of items without a label; each also
    by kind and by purity. A missing label counts as wrong.

    Parameters
    ----------
    annotator : the system, see `open_annotator`.
    out : folder for `result.json`, `records.parquet` and the journal; run again, it asks nothing twice.
    limit : concepts, drawn by the seed; each is asked once at every purity.
    seed : of the items and of the intervals.
    split : `dev` (for trying prompts) or `test`.
    purities : shares of each list that belong to its concept.
    prompt, unit : as in `build`.
    base_url, concurrency, timeout, price : of `openai:` annotators.

    Raises
    ------
    InputError
        if an option is wrong.
    ConceptBenchError
        if the system cannot be asked at all.
    """
    if split not in get_args(Split):
        raise InputError(f"--split {split}: give {' or '.join(get_args(Split))}")
    progress = progress or Silent()
    lexicon = load_lexicon()
    items = _limited(draw_items(lexicon, split=split, purities=purities, seed=seed), limit, seed)
    asked = load_prompt(prompt).vary(unit=unit)
    folder = Path(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_failed(folder, error) from error
    with Journal(folder / "journal.sqlite") as journal:

        def open_client(system: str) -> LLM:
            return open_llm(
                system, journal=journal, base_url=base_url, concurrency=concurrency, timeout=timeout, price=price
            )

        namer = open_annotator(annotator, prompt=asked, open_client=open_client)
        try:
            views = [ConceptView(item.item, tuple((word, 1) for word in item.words)) for item in items]
            attempts = annotate(views, namer, progress)
            usage = namer.usage
        finally:
            namer.close()
    records = _records(items, attempts, lexicon)
    digest = write_records(folder, pa.Table.from_pylist(records, schema=RECORDS))
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=namer.name,
        metrics=score(records, lexicon, seed),
        provenance={
            "conceptbench": package_version(),
            "dataset": f"gold lexicon, split {split}, purities {', '.join(f'{purity:g}' for purity in purities)}",
            "seed": seed,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "prompts": namer.digests(),
            "prompt": namer.prompt,
            "decoding": {"temperature": 0},
            "cost_usd": usage.cost if usage is not None else None,
            "tokens": {
                "in": sum(record["tokens_in"] for record in records),
                "out": sum(record["tokens_out"] for record in records),
            },
        },
        records_sha256=digest,
    )
    write_result(folder, result)
    return result


def score(records: Sequence[Mapping[str, Any]], lexicon: Mapping[str, GoldConcept], seed: int = 0) -> dict[str, Metric]:
    """Compute every metric from the records alone."""
    scorer = GoldScorer(lexicon)
    values: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    reasons = Counter(record["reason"] for record in records if record["reason"] is not None)
    for record in records:
        concept = lexicon[record["concept"]]
        scores = {
            "gold_match": scorer.matches(record["label"], concept),
            "gold_includes": scorer.includes(record["label"], concept),
            **{reason: record["reason"] == reason for reason in sorted(reasons)},
        }
        for name, value in scores.items():
            for group in ("", f"/{concept.kind}", f"/purity={record['purity']:g}"):
                values[name + group].append((float(value), concept.id))
    return {
        name: mean_metric([value for value, _ in pairs], [group for _, group in pairs], seed)
        for name, pairs in values.items()
    }


def _records(
    items: Iterable[GoldItem], attempts: Iterable[Sequence[Attempt]], lexicon: Mapping[str, GoldConcept]
) -> list[dict[str, Any]]:
    records = []
    for item, tried in zip(items, attempts, strict=True):
        last = tried[-1] if tried else Attempt("", None, "failed")
        records.append(
            {
                "item": item.item,
                "concept": item.concept,
                "kind": lexicon[item.concept].kind,
                "purity": item.purity,
                "words": list(item.words),
                "label": last.label,
                "reason": last.reason,
                "raw": last.raw,
                "prompt": last.prompt,
                "attempts": len(tried),
                "tokens_in": sum(attempt.tokens_in for attempt in tried),
                "tokens_out": sum(attempt.tokens_out for attempt in tried),
            }
        )
    return records


def _limited(items: list[GoldItem], limit: int | None, seed: int) -> list[GoldItem]:
    """Keep the items of `limit` concepts, drawn by the seed."""
    if limit is None:
        return items
    if limit < 1:
        raise InputError(f"--limit {limit}: give a number of concepts")
    concepts = sorted({item.concept for item in items})
    order = np.random.default_rng(seed).permutation(len(concepts))[:limit]
    kept = {concepts[i] for i in order}
    return [item for item in items if item.concept in kept]
