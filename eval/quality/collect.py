"""Collecting the records of a quality run: cluster each layer, and look its words up in the gold lexicon."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from conceptbench.benchmark.layers import chosen_layers, chosen_model
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.store import ConceptStore
from conceptbench.eval.quality.clusterings import Clusters, clusterings, read_words, store_method
from conceptbench.eval.quality.membership import membership
from conceptbench.eval.quality.metrics import METHODS
from conceptbench.eval.quality.options import QualityOptions
from conceptbench.eval.quality.overlap import FEWEST_TYPES, overlap_records, shuffles
from conceptbench.eval.quality.records import CLUSTER, Record
from conceptbench.eval.rows import table_of
from conceptbench.eval.task import Collected
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress

SHUFFLES: Final = 20


def collect(options: QualityOptions, folder: Path, progress: Progress) -> Collected:
    """Measure how the clusters of a store overlap with gold concepts.

    Raises
    ------
    InputError
        if the store lacks what is needed, or none of its words are in the lexicon.
    """
    store = ConceptStore.open(options.store)
    model = chosen_model(store, options.model)
    layers = chosen_layers(store, model, options.layers)
    if not layers:
        raise InputError(f"{store.path} has no layer of {model} yet; run `conceptbench build` to its end")
    methods = _methods(options.methods, store_method(store, model))
    measuring = _Measuring(store, model, methods, options.study == "k", options.seed)
    records: list[Record] = []
    with progress.stage("Measuring layers", len(layers)) as advance:
        for layer in layers:
            records += measuring.records(layer)
            advance(1)
    if options.limit is not None:
        records = _limited(records, options.limit, options.seed)
    return Collected(
        system=f"{measuring.headline}:{model}",
        dataset=f"concepts of {model} over {store.manifest.get('corpus', {}).get('name', 'a corpus')}",
        dataset_sha256=_digest(records),
        records=table_of(records, Record),
        facts={
            "model": model,
            "layers": layers,
            "methods": methods,
            "clusters": measuring.counts,
            "clustering_seconds": {method: round(spent, 3) for method, spent in measuring.seconds.items()},
            "shuffles": SHUFFLES,
            "fewest_types": FEWEST_TYPES,
            "lexicon_sha256": _lexicon_digest(),
        },
    )


@dataclass
class _Measuring:
    """Measures the layers of a store, and counts the clusters and the seconds that they took by method."""

    store: ConceptStore
    model: str
    methods: Sequence[str]
    recut: bool
    seed: int
    counts: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The method that headline metrics are of."""
        method = store_method(self.store, self.model)
        return method if method in self.methods else self.methods[0]

    def records(self, number: int) -> Iterator[Record]:
        layer = read_words(self.store, self.model, number)
        member = membership(layer.words, load_lexicon())
        if not len(member.words):
            raise InputError(
                f"{layer.where}: none of its {len(layer.words)} tokens is a word of the gold lexicon, which is "
                "English; see docs/lexicon.md"
            )
        orders = shuffles(member, SHUFFLES, generator_of("null", self.seed, number))
        clock = time.perf_counter()
        for clusters in clusterings(layer, self.methods, self.recut, self.seed):
            self.seconds[clusters.method] = self.seconds.get(clusters.method, 0.0) + time.perf_counter() - clock
            self.counts.append(_count(number, clusters))
            main = clusters.method == self.headline and not clusters.recut
            yield from overlap_records(layer.words, clusters, member, orders, number, main)
            clock = time.perf_counter()


def _methods(names: Sequence[str], store_method: str) -> list[str]:
    known = list(dict.fromkeys([store_method, *METHODS]))
    for method in names:
        if method not in known:
            raise InputError(f"--methods {method}: there is no such method; there are {', '.join(known)}")
    return list(dict.fromkeys(names)) or [store_method]


def _count(layer: int, clusters: Clusters) -> dict[str, Any]:
    return {"layer": layer, "method": clusters.method, "asked": clusters.k, "found": len(clusters.names)}


def _limited(records: Sequence[Record], limit: int, seed: int) -> list[Record]:
    """Draw clusters of each clustering, over all layers, and leave out the gold concepts."""
    groups: dict[tuple[str, int, bool], list[Record]] = {}
    for record in records:
        if record.role == CLUSTER:
            groups.setdefault((record.method, record.k, record.recut), []).append(record)
    return [
        record
        for (method, k, _), clusters in groups.items()
        for record in sample(clusters, limit, generator_of("limit", seed, method, k))
    ]


def _digest(records: Sequence[Record]) -> str:
    """Digest what was clustered: the main clusters by name, size and words."""
    items = [
        [record.item, record.tokens, record.types, record.words]
        for record in records
        if record.main and record.role == CLUSTER
    ]
    return hashlib.sha256(json.dumps(items, ensure_ascii=False).encode()).hexdigest()


def _lexicon_digest() -> str:
    concepts = [asdict(concept) for concept in load_lexicon().values()]
    return hashlib.sha256(json.dumps(concepts, ensure_ascii=False).encode()).hexdigest()
