"""How far clusters overlap with gold concepts, beside the same with the lexicon's words exchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import sparse

from conceptbench.eval.quality.clusterings import Clusters
from conceptbench.eval.quality.membership import Membership
from conceptbench.eval.quality.records import CLUSTER, GOLD, BestConcept, HomeWord, Record

FEWEST_TYPES: Final = 3
"""Word types of a gold concept that must be in a layer, for it to count in coverage; and known word types of a cluster,
for it to count in `alignment_known`."""

WORDS_OF_CLUSTER: Final = 12
"""Words of a cluster in its record at most."""


def shuffles(member: Membership, count: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Draw permutations of the units: unit i gets the gold concepts of unit p[i]."""
    return [generator.permutation(len(member.words)) for _ in range(count)]


def overlap_records(
    words: Sequence[str],
    clusters: Clusters,
    member: Membership,
    orders: Sequence[np.ndarray],
    layer: int,
    main: bool,
) -> list[Record]:
    """Measure one clustering of a layer's tokens: a record a cluster and a record a gold concept that is present.

    Parameters
    ----------
    words : the tokens' words.
    member : their gold concepts.
    orders : permutations of the units, for the null.
    """
    labels, count = clusters.labels, len(clusters.names)
    known = member.unit >= 0
    counts = sparse.csr_array(
        (np.ones(int(known.sum()), dtype=np.int64), (labels[known], member.unit[known])), (count, len(member.words))
    )
    counts.sum_duplicates()
    tokens = np.bincount(labels, minlength=count)
    gold_tokens = (counts @ member.members).toarray()
    kinds: dict[str, list[int]] = {}
    for column, concept in enumerate(member.gold):
        kinds.setdefault(concept.kind, []).append(column)
    for columns in kinds.values():
        columns.sort(key=lambda column: -member.depth[column])  # of equals the first counts, so the narrowest
    null_best = np.empty((len(orders), count, len(kinds)), dtype=np.int64)
    null_shares = np.empty((len(orders), len(member.gold)))
    for number, order in enumerate(orders):
        shuffled = (counts @ member.members[order]).toarray()
        null_shares[number] = (shuffled / tokens[:, None]).max(axis=0)
        for kind, columns in enumerate(kinds.values()):
            null_best[number, :, kind] = shuffled[:, columns].max(axis=1)
    clustering = _Clustering(clusters, layer, main)
    return [
        *_of_clusters(clustering, words, member, counts, gold_tokens, kinds, null_best),
        *_of_gold(clustering, member, counts, gold_tokens / tokens[:, None], null_shares),
    ]


@dataclass(frozen=True)
class _Clustering:
    """A clustering of a layer, and the values that all rows of it share."""

    clusters: Clusters
    layer: int
    main: bool

    def row(self, **values: Any) -> Record:
        return Record(
            layer=self.layer,
            method=self.clusters.method,
            k=self.clusters.k,
            recut=self.clusters.recut,
            main=self.main,
            **values,
        )


def _of_clusters(
    clustering: _Clustering,
    words: Sequence[str],
    member: Membership,
    counts: sparse.csr_array,
    gold_tokens: np.ndarray,
    kinds: Mapping[str, Sequence[int]],
    null: np.ndarray,
) -> list[Record]:
    clusters = clustering.clusters
    total = len(clusters.names)
    of_cluster: list[Counter[str]] = [Counter() for _ in range(total)]
    for label, word in zip(clusters.labels.tolist(), words, strict=True):
        of_cluster[label][word] += 1
    known = member.unit >= 0
    types = _distinct(clusters.labels, member.types, total)
    known_types = _distinct(clusters.labels[known], member.types[known], total)
    alone = _alone(member, counts)
    rows = []
    for cluster, name in enumerate(clusters.names):
        best = _best_concepts(member, kinds, gold_tokens[cluster], null[:, cluster])
        tokens, known_tokens = of_cluster[cluster].total(), int(counts[[cluster]].sum())
        top = max(best, key=lambda concept: concept.tokens, default=None)
        aligned = top if top is not None and top.tokens > 0 else None
        rows.append(
            clustering.row(
                role=CLUSTER,
                item=name,
                tokens=tokens,
                types=int(types[cluster]),
                known_tokens=known_tokens,
                known_types=int(known_types[cluster]),
                words=_most_frequent(of_cluster[cluster]),
                gold=aligned.gold if aligned else None,
                kind=aligned.kind if aligned else None,
                share=aligned.tokens / tokens if aligned else 0.0,
                share_known=aligned.tokens / known_tokens if aligned else None,
                best=tuple(best),
                alone=tuple(alone[cluster]),
            )
        )
    return rows


def _most_frequent(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:WORDS_OF_CLUSTER])


def _best_concepts(
    member: Membership, kinds: Mapping[str, Sequence[int]], gold_tokens: np.ndarray, null: np.ndarray
) -> list[BestConcept]:
    """Give a cluster's best gold concept of each kind that has tokens in it, or in a shuffle of it."""
    best = []
    for number, (kind, columns) in enumerate(kinds.items()):
        column = columns[int(gold_tokens[list(columns)].argmax())]
        tokens, by_chance = int(gold_tokens[column]), tuple(null[:, number].tolist())
        if tokens or any(by_chance):
            best.append(BestConcept(kind, member.gold[column].id if tokens else None, tokens, by_chance))
    return best


def _of_gold(
    clustering: _Clustering,
    member: Membership,
    counts: sparse.csr_array,
    shares: np.ndarray,
    null_shares: np.ndarray,
) -> list[Record]:
    per_unit = counts.sum(axis=0)
    rows = []
    members = member.members.tocsc()
    for column, concept in enumerate(member.gold):
        units = members.indices[members.indptr[column] : members.indptr[column + 1]]
        types = len({member.words[unit] for unit in units})
        if types < FEWEST_TYPES:
            continue
        cluster = int(shares[:, column].argmax())
        rows.append(
            clustering.row(
                role=GOLD,
                item=concept.id,
                tokens=int(per_unit[units].sum()),
                types=types,
                gold=concept.id,
                kind=concept.kind,
                share=float(shares[cluster, column]),
                cluster=clustering.clusters.names[cluster],
                null_shares=tuple(null_shares[:, column].tolist()),
            )
        )
    return rows


def _alone(member: Membership, counts: sparse.csr_array) -> list[list[HomeWord]]:
    """Put each unit into the cluster with most of its tokens, with its gold concept of each kind where that is one."""
    homes = counts.tocsc().argmax(axis=0) if counts.nnz else np.zeros(0, dtype=np.int64)
    rows: list[list[HomeWord]] = [[] for _ in range(counts.shape[0])]
    for unit, home in enumerate(np.asarray(homes).ravel().tolist()):
        of_kind: dict[str, list[int]] = {}
        for column in member.narrowest[unit]:
            of_kind.setdefault(member.gold[column].kind, []).append(column)
        rows[home] += [
            HomeWord(member.words[unit], member.gold[columns[0]].id, kind)
            for kind, columns in of_kind.items()
            if len(columns) == 1
        ]
    return rows


def _distinct(labels: np.ndarray, types: np.ndarray, clusters: int) -> np.ndarray:
    """Count the different types in each cluster."""
    pairs = np.unique(np.column_stack([labels, types]), axis=0)
    return np.bincount(pairs[:, 0], minlength=clusters)
