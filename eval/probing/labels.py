"""Do better labels go with better probes? Labels held against the words that their concepts' probes were tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from conceptbench.eval.probing.probe_scores import ProbeScore
from conceptbench.eval.probing.records import coded
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.bootstrap import percentile_interval, resampled_rows
from conceptbench.runtime.similarity import Similarity

FEWEST_LABELS: Final = 10
"""Concepts of a layer that must have both a label and a probe."""


def label_correlations(
    records: pa.Table, probes: Sequence[ProbeScore], similarity: Similarity, seed: int
) -> dict[int, Metric]:
    """Correlate how close labels are to the words that probes were tested on with the AUROCs of the probes, by layer.

    Parameters
    ----------
    probes : of concepts with a label and an AUROC; at least one.
    similarity : of the pinned encoder.
    seed : of the intervals.
    """
    codes, vocabulary = coded(records, "word")
    positive = records["positive"].to_numpy()
    words = [sorted({vocabulary[code] for code in codes[probe.rows[positive[probe.rows]]]}) for probe in probes]
    labels = [str(probe.label) for probe in probes]
    all_words = [word for probe_words in words for word in probe_words]
    similarity.forget()
    similarity.learn([*labels, *all_words])
    similarity.centre_on(all_words)
    closeness = (similarity.centred(labels) * similarity.prototypes(words)).sum(axis=1)
    areas = np.array([float(probe.auroc or 0.0) for probe in probes])
    layers = np.array([probe.layer for probe in probes])
    correlations = {
        layer: spearman(closeness[layers == layer], areas[layers == layer], seed)
        for layer in np.unique(layers).tolist()
    }
    return {layer: metric for layer, metric in correlations.items() if metric is not None}


def spearman(first: np.ndarray, second: np.ndarray, seed: int) -> Metric | None:
    """Give Spearman's correlation with its percentile interval over the concepts.

    None where there are fewer than ten concepts, or all have the same value. Resamples in which all have the same value
    are left out.

    Parameters
    ----------
    first, second : one value a concept, shape (n,).
    """
    if len(first) < FEWEST_LABELS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    rows = resampled_rows(len(first), np.random.default_rng(seed))
    resampled = _correlation(rankdata(first[rows], axis=1), rankdata(second[rows], axis=1))
    value = _correlation(rankdata(first)[None], rankdata(second)[None])[0]
    low, high = percentile_interval(resampled[np.isfinite(resampled)])
    return Metric(float(value), low, high, len(first))


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row; NaN where a row is constant."""
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    with np.errstate(invalid="ignore"):
        result: np.ndarray = (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return result
