"""A run of the quality task: cluster, look the words up in the gold lexicon, record, score."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from conceptbench.benchmark.layers import chosen_layers, chosen_model
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.store import ConceptStore
from conceptbench.eval.quality.clusterings import METHODS, Clusters, clusterings, own_method, read_words
from conceptbench.eval.quality.membership import membership
from conceptbench.eval.quality.overlap import FEWEST_TYPES, overlap_records, shuffles
from conceptbench.eval.quality.records import Record, read_records, records_table
from conceptbench.eval.quality.scoring import Scores, score
from conceptbench.eval.result import (
    ItemScores,
    Metric,
    Result,
    open_folder,
    package_version,
    write_records,
    write_result,
)
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress, Silent

TASK: Final = "quality"
TASK_VERSION: Final = "1.0"
THRESHOLD: Final = 0.95
SHUFFLES: Final = 20
STUDIES: Final = ("k",)


def evaluate_quality(
    *,
    store: str | Path,
    out: str | Path,
    model: str | None = None,
    layers: str = "all",
    threshold: float = THRESHOLD,
    methods: Sequence[str] = (),
    study: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Measure how far the concepts of a store agree with those of the gold lexicon.

    What each metric means is in docs/quality.md.

    Parameters
    ----------
    store : a concept store.
    out : folder for `result.json` and `records.parquet`.
    model : of the store; may be left out where it has but one.
    layers : `all`, `0,3,6` or `2-5`.
    threshold : share of a cluster's tokens that must belong to a gold concept, within 0..1.
    methods : `ward`, `kmeans`, `leaders`; by default the one that the store's concepts were found by. Headline metrics
        are of that one, or of the first if it is not among them. All but the store's own need its vectors or trees.
    study : `k`, to cut the merge trees at other numbers of clusters too.
    limit : clusters of each clustering, drawn by the seed over all layers; then there is no coverage and no `ami`.
    seed : of k-means, shuffles, draws and intervals.

    Raises
    ------
    InputError
        if an option is wrong, the store lacks what is needed, or none of its words are in the lexicon.
    """
    if not 0.0 < threshold <= 1.0:
        raise InputError(f"--threshold {threshold}: give a share above 0 and up to 1")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: give at least 1")
    if study is not None and study not in STUDIES:
        raise InputError(f"--study {study}: there is no such study; there is {', '.join(STUDIES)}")
    progress = progress or Silent()
    opened = ConceptStore.open(store)
    name = chosen_model(opened, model)
    numbers = chosen_layers(opened, name, layers)
    if not numbers:
        raise InputError(f"{opened.path} has no layer of {name} yet; run `conceptbench build` to its end")
    own = own_method(opened, name)
    wanted = _methods(methods, own)
    headline = own if own in wanted else wanted[0]
    folder = open_folder(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    records: list[Record] = []
    counts: list[dict[str, Any]] = []
    taken = dict.fromkeys(wanted, 0.0)
    with progress.stage("Measuring layers", len(numbers)) as advance:
        for number in numbers:
            layer = read_words(opened, name, number)
            member = membership(layer.words, load_lexicon())
            if not len(member.words):
                raise InputError(
                    f"{layer.where}: none of its {len(layer.words)} tokens is a word of the gold lexicon, which is "
                    "English; see docs/lexicon.md"
                )
            orders = shuffles(member, SHUFFLES, generator_of("null", seed, number))
            tick = time.perf_counter()
            for clusters in clusterings(layer, wanted, study == "k", seed):
                taken[clusters.method] = taken.get(clusters.method, 0.0) + time.perf_counter() - tick
                main = clusters.method == headline and not clusters.recut
                records += overlap_records(layer.words, clusters, member, orders, number, main)
                counts.append(_count(number, clusters))
                tick = time.perf_counter()
            advance(1)
    if limit is not None:
        records = _limited(records, limit, seed)
    written = write_records(folder, records_table(records))
    scores = score(records, threshold=threshold, limited=limit is not None, seed=seed)
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=f"{headline}:{name}",
        metrics=scores.metrics,
        provenance={
            "conceptbench": package_version(),
            "dataset": f"concepts of {name} over {opened.manifest.get('corpus', {}).get('name', 'a corpus')}",
            "dataset_sha256": _digest(records),
            "seed": seed,
            "study": study,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "model": name,
            "layers": numbers,
            "threshold": threshold,
            "methods": wanted,
            "clusters": counts,
            "clustering_seconds": {method: round(seconds, 3) for method, seconds in taken.items()},
            "limit": limit,
            "shuffles": SHUFFLES,
            "fewest_types": FEWEST_TYPES,
            "lexicon_sha256": _lexicon_digest(),
            "undefined": scores.undefined,
        },
        records_sha256=written,
    )
    write_result(folder, result)
    return result


def rescore(folder: Path, result: Result) -> Scores:
    """Compute a run's scores again from its records."""
    provenance = result.provenance
    return score(
        read_records(folder),
        threshold=provenance["threshold"],
        limited=provenance["limit"] is not None,
        seed=provenance["seed"],
    )


def recompute(folder: Path, result: Result, progress: Progress | None = None) -> Mapping[str, Metric]:
    """Compute a run's metrics again from its records alone."""
    return rescore(folder, result).metrics


def item_scores(folder: Path, result: Result, progress: Progress | None = None) -> ItemScores:
    """Give the values of single clusters, and of gold concepts in a layer, computed from the records."""
    scores = rescore(folder, result)
    names = [row["item"] if row["role"] == "cluster" else f"L{row['layer']:02d}/{row['item']}" for row in scores.rows]
    return ItemScores(
        values={name: {names[row]: value for row, value in own.items()} for name, own in scores.values.items()},
        groups={name: row["item"] for name, row in zip(names, scores.rows, strict=True)},
    )


def _methods(methods: Sequence[str], own: str) -> list[str]:
    known = list(dict.fromkeys([own, *METHODS]))
    for method in methods:
        if method not in known:
            raise InputError(f"--methods {method}: there is no such method; there are {', '.join(known)}")
    return list(dict.fromkeys(methods)) or [own]


def _count(layer: int, clusters: Clusters) -> dict[str, Any]:
    return {"layer": layer, "method": clusters.method, "asked": clusters.k, "found": len(clusters.names)}


def _limited(records: Sequence[Record], limit: int, seed: int) -> list[Record]:
    """Draw clusters of each clustering, over all layers, and leave out the gold concepts."""
    groups: dict[tuple[str, int, bool], list[Record]] = {}
    for record in records:
        if record["role"] == "cluster":
            groups.setdefault((record["method"], record["k"], record["recut"]), []).append(record)
    return [
        record
        for (method, k, _), own in groups.items()
        for record in sample(own, limit, generator_of("limit", seed, method, k))
    ]


def _digest(records: Sequence[Record]) -> str:
    """Digest what was asked: the main clusters by name, size and words."""
    items = [
        [row["item"], row["tokens"], row["types"], row["words"]]
        for row in records
        if row["main"] and row["role"] == "cluster"
    ]
    return hashlib.sha256(json.dumps(items, ensure_ascii=False).encode()).hexdigest()


def _lexicon_digest() -> str:
    concepts = [asdict(concept) for concept in load_lexicon().values()]
    return hashlib.sha256(json.dumps(concepts, ensure_ascii=False).encode()).hexdigest()
