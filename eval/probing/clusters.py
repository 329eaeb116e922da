"""Probes of the store's concepts, and of their null: clusters of permuted vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.layers import Layer, layer_name, read_layer
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.clustering import MergeTree
from conceptbench.eval.methods.probes.design import Problem, Tokens, draw_problem, type_hashes
from conceptbench.eval.probing.null import null_tree, permuted
from conceptbench.eval.probing.options import ProbingOptions
from conceptbench.eval.probing.predictions import (
    FitOptions,
    LayerTokens,
    ProbeSpec,
    count_outcomes,
    predict,
    specs_of,
)
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.progress import Progress

FACTORS: Final = (0.25, 0.5, 1.0, 2.0)
"""Of the store's K, the cuts of the study `k`."""

STORE: Final = "store"
NULL: Final = "null"


@dataclass(frozen=True)
class Clustering:
    """Which clusters of a layer are probed.

    Attributes
    ----------
    kind : `store`, or `null` for clusters of permuted vectors.
    cut : the number of clusters of a study's cut; None for the store's own concepts and their null.
    """

    kind: str
    cut: int | None

    @property
    def is_concepts(self) -> bool:
        """Whether the clusters are the concepts of the store."""
        return self.kind == STORE and self.cut is None

    @property
    def score_name(self) -> str:
        """How the provenance names the scores of these clusters."""
        return self.kind if self.cut is None else f"{self.kind}, k={self.cut}"

    def prefix(self, model: str, layer: int) -> str:
        """Give what the names of the clusters begin with."""
        null, cut = f"{NULL}/" if self.kind == NULL else "", f"k={self.cut}/" if self.cut else ""
        return f"{model}/{layer_name(layer)}/{null}{cut}"


@dataclass
class ClusterProbes:
    """Probes of a store's concepts and of their null.

    `skipped` counts by score how many clusters were probed, and how many were not by the reason.
    """

    store: ConceptStore
    model: str
    layers: Sequence[int]
    options: ProbingOptions
    skipped: dict[str, Counter[str]] = field(default_factory=dict)

    def tables(self, folder: Path, progress: Progress) -> Iterator[pa.Table]:
        """Probe layer by layer, and give the records of each; the trees of permuted vectors are kept in the folder."""
        nulls = {layer: self._null_tree(layer, folder, progress) for layer in self.layers}
        with progress.stage("Probing the store's concepts and their null", len(self.layers)) as advance:
            for number in self.layers:
                layer = read_layer(self.store, self.model, number)
                yield self._probe(layer, STORE, layer.vectors, MergeTree(layer.linkage))
                yield self._probe(layer, NULL, permuted(layer.vectors, self.options.seed, number), nulls[number])
                advance(1)

    def _null_tree(self, layer: int, folder: Path, progress: Progress) -> MergeTree:
        return null_tree(
            self.store.vectors(self.model, layer),
            folder / NULL / f"{layer_name(layer)}.npy",
            self.options.seed,
            layer,
            self.options.device,
            progress,
        )

    def _probe(self, layer: Layer, kind: str, vectors: np.ndarray, tree: MergeTree) -> pa.Table:
        """Probe the clusters of a layer, and those of the cuts of the study."""
        vocabulary, types = np.unique(layer.words.astype(str), return_inverse=True)
        hashes = type_hashes(vocabulary.tolist(), self.options.seed)
        k = len(layer.concepts)
        specs: list[ProbeSpec] = []
        for cut in (None, *_cuts(k, len(layer.words), self.options.study)):
            clustering = Clustering(kind, cut)
            index = layer.index if clustering.is_concepts else tree.cut(cut or k)
            tokens = Tokens(vectors, index, types.astype(np.int64), hashes, layer.sentences)
            specs += self._specify(layer, tokens, clustering)
        fitting = FitOptions(self.options.c, self.options.l1_ratio, self.options.device)
        return predict(LayerTokens(layer.layer, vectors, layer.words, layer.sentences), specs, fitting)

    def _specify(self, layer: Layer, tokens: Tokens, clustering: Clustering) -> list[ProbeSpec]:
        """Draw the tokens of the probes of a clustering's clusters."""
        prefix = clustering.prefix(self.model, layer.layer)
        is_concepts = clustering.is_concepts
        clusters = list(range(len(tokens.by_concept)))
        names = layer.concepts if is_concepts else [f"{prefix}C{cluster:04d}" for cluster in clusters]
        if self.options.limit is not None:
            generator = generator_of("probed", self.options.seed, prefix)
            clusters = sorted(sample(clusters, self.options.limit, generator))
        specs: list[ProbeSpec] = []
        outcomes = []
        for cluster in clusters:
            outcome = draw_problem(tokens, cluster, names[cluster], self.options.seed)
            outcomes.append(outcome)
            if isinstance(outcome, Problem):
                label = layer.labels[cluster] if is_concepts else None
                specs += specs_of(
                    outcome, clustering.kind, names[cluster], k=clustering.cut, label=label, controls=is_concepts
                )
        self.skipped.setdefault(clustering.score_name, Counter()).update(count_outcomes(outcomes))
        return specs


def _cuts(k: int, n: int, study: str | None) -> list[int]:
    """Give the other K of the study: those that are possible."""
    if study is None:
        return []
    return sorted({cut for factor in FACTORS if 2 <= (cut := round(factor * k)) <= n} - {k})
