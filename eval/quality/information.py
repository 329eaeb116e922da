"""Adjusted mutual information between clusters and gold concepts, with an interval from leaving words out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import entr
from scipy.stats import t as student
from sklearn.metrics.cluster import expected_mutual_information

from conceptbench.eval.result import Metric

FEWEST_WORDS: Final = 20
"""Word types that a kind must have in a layer."""

PARTS: Final = 10

_NO_ROOM: Final = 1e-9

Table = tuple[Sequence[str], Sequence[int], Sequence[str]]
"""Word types, the cluster of each, and the gold concept of each."""


def mutual_information(table: Table) -> list[float] | None:
    """Give the adjusted mutual information of all words of a table, then without each part of them.

    The words are divided into ten parts; a word is always in the same part. None where there are too few words, or the
    words are of fewer than two gold concepts or in fewer than two clusters, whole or without some part; or where chance
    alone gives the largest value that is possible, as where every word is a cluster by itself.
    """
    words, clusters, gold = table
    if len(words) < FEWEST_WORDS:
        return None
    part = np.array([zlib.crc32(word.encode()) % PARTS for word in words])
    cluster_of, gold_of = (np.unique(np.asarray(names), return_inverse=True)[1] for names in (clusters, gold))
    counts = np.zeros((PARTS, int(cluster_of.max()) + 1, int(gold_of.max()) + 1), dtype=np.int64)
    np.add.at(counts, (part, cluster_of, gold_of), 1)
    whole = counts.sum(axis=0)
    values = [_adjusted(whole), *(_adjusted(whole - counts[left_out]) for left_out in range(PARTS))]
    return None if None in values else [value for value in values if value is not None]


def mean_information(tables: Sequence[Sequence[float]], words: int) -> Metric:
    """Give the mean over tables with its 95 % interval by the delete-a-group jackknife (Kott 2001).

    Parameters
    ----------
    tables : what `mutual_information` gives for each table; parts of different tables are of the same words.
    words : the number of word types in all of them.
    """
    value, *without = np.mean(np.asarray(tables), axis=0)
    error = np.sqrt((PARTS - 1) / PARTS * np.square(np.asarray(without) - value).sum())
    reach = float(student.ppf(0.975, PARTS - 1) * error)
    return Metric(float(value), max(float(value) - reach, -1.0), min(float(value) + reach, 1.0), words)


def _adjusted(counts: np.ndarray) -> float | None:
    """Adjusted mutual information of counts (clusters, gold concepts), over the mean entropy; None if undefined.

    scikit-learn's function of labels spends most of its time on checking them, and there are thousands of calls.
    """
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if min(counts.shape) < 2:
        return None
    total = int(counts.sum())
    rows, columns, cells = (entr(part / total).sum() for part in (counts.sum(axis=1), counts.sum(axis=0), counts))
    chance = expected_mutual_information(counts, total)
    room = (rows + columns) / 2 - chance
    return float((rows + columns - cells - chance) / room) if room > _NO_ROOM else None
