"""Do rankings of neurons stay the same over resamples of the corpus, or over seeds?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.stats import rankdata

from conceptbench.eval.methods.neurons.choices import FRACTION, RESAMPLES
from conceptbench.eval.methods.neurons.ranking import Means, probeless, ranks_of, top_count
from conceptbench.eval.methods.neurons.vectors import (
    Floats,
    Ints,
    checked_labels,
    checked_vectors,
    concept_means,
    weighted_means,
)
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class RankAgreement:
    """How far two rankings of each of C concepts agree.

    Attributes
    ----------
    overlap : float64 (C,), the share of the first ranking's top neurons that are top neurons of the second; by chance
        it is the fraction of neurons that count as top.
    spearman : float64 (C,), Spearman's rank correlation of the scores, 0 by chance; 0 where all neurons score alike.
    """

    overlap: Floats
    spearman: Floats


@dataclass(frozen=True, eq=False)
class Stability:
    """How far each concept's ranking agrees with those over resamples of the corpus.

    Attributes
    ----------
    names : (C,), the label values.
    overlap, spearman : float64 (C,), as in `RankAgreement`: means over those resamples in which the concept has a
        token; NaN where there are none.
    resamples : int64 (C,), the number of these resamples.
    """

    names: tuple[str, ...]
    overlap: Floats
    spearman: Floats
    resamples: Ints

    def metrics(self, seed: int = 0) -> Mapping[str, Metric]:
        """Give the means over the concepts that have any resample, with intervals: `overlap` and `spearman`."""
        resampled = self.resamples > 0
        names = [name for name, present in zip(self.names, resampled, strict=True) if present]
        values = {"overlap": self.overlap[resampled], "spearman": self.spearman[resampled]}
        return {name: mean_metric(value.tolist(), names, seed) for name, value in values.items() if names}


def rank_agreement(scores: ArrayLike, other_scores: ArrayLike, fraction: float = FRACTION) -> RankAgreement:
    """Compare two rankings of the neurons of each concept, such as those by probes of two seeds.

    Parameters
    ----------
    scores, other_scores : numbers (C, width), higher is better.
    fraction : of the neurons that count as top.

    Raises
    ------
    InputError
        for shapes that differ, values that are not finite, or a fraction that is not above 0 and at most 1.

    Examples
    --------
    >>> agreement = rank_agreement([[4, 3, 2, 1]], [[4, 1, 3, 2]], fraction=0.5)
    >>> agreement.overlap.tolist(), agreement.spearman.tolist()
    ([0.5], [0.4])
    """
    first = checked_vectors(scores, "The scores").astype(np.float64)
    second = checked_vectors(other_scores, "The other scores").astype(np.float64)
    if first.shape != second.shape:
        raise InputError(f"The rankings are of shapes {first.shape} and {second.shape}; they must be of one shape")
    count = top_count(fraction, first.shape[1])
    overlap = (np.maximum(ranks_of(first), ranks_of(second)) < count).sum(axis=1) / count
    ranks = [rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (first, second)]
    product = (ranks[0] * ranks[1]).sum(axis=1)
    lengths = np.sqrt(np.square(ranks[0]).sum(axis=1) * np.square(ranks[1]).sum(axis=1))
    spearman = np.divide(product, lengths, out=np.zeros(len(product)), where=lengths > 0)
    return RankAgreement(overlap, spearman)


def stability(
    vectors: ArrayLike,
    labels: ArrayLike,
    sentences: ArrayLike,
    resamples: int = RESAMPLES,
    fraction: float = FRACTION,
    seed: int = 0,
) -> Stability:
    """Compare each concept's ranking by Probeless with its rankings over resamples of the sentences.

    As many sentences as there are, are drawn with replacement, and each token counts as often as its sentence was
    drawn (the cluster bootstrap). A resample relates to the corpus as the corpus to the language that it is from, so
    the agreement tells how far a ranking from such a corpus can be trusted. A concept without a token in a resample is
    left out of it, and its mean is not compared with.

    Parameters
    ----------
    vectors : numbers (tokens, width).
    labels : (tokens,), the concept of each token; at least two.
    sentences : (tokens,), the sentence of each token; at least two.
    resamples : at least 1.
    fraction : of the neurons that count as top.
    seed : of the draws.

    Raises
    ------
    InputError
        for wrong shapes, values that are not finite, fewer than two labels or sentences, or no resample.
    """
    points = checked_vectors(vectors)
    values, concept = checked_labels(labels, len(points))
    units, sentence = np.unique(np.asarray(sentences), return_inverse=True)
    if np.shape(sentences) != (len(points),) or len(units) < 2:
        raise InputError(
            f"Each of the {len(points)} tokens takes a sentence, of at least two; given are {len(units)}, of shape "
            f"{np.shape(sentences)}"
        )
    if resamples < 1:
        raise InputError(f"resamples={resamples}: at least 1 is needed")
    count = len(values)
    scores = probeless(concept_means(points, concept, count))
    overlap, spearman, times = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    for means in _resampled_means(points, concept, sentence, count, resamples, seed):
        present = np.flatnonzero(~np.isnan(means[:, 0]))
        if len(present) < 2:
            continue
        agreement = rank_agreement(scores[present], Means.of(means[present]).scores(), fraction)
        overlap[present] += agreement.overlap
        spearman[present] += agreement.spearman
        times[present] += 1
    divisor = np.where(times > 0, times, np.nan)
    return Stability(tuple(map(str, values)), overlap / divisor, spearman / divisor, times)


def _resampled_means(
    points: NDArray[Any], concept: Ints, sentence: NDArray[np.intp], count: int, resamples: int, seed: int
) -> Floats:
    """The mean of each of `count` concepts in each resample: (resamples, count, width), NaN where it has no token.

    `concept` and `sentence` are those of each token, numbered from 0 without a gap.
    """
    sentences = int(sentence.max()) + 1
    draws = [
        np.bincount(
            generator_of("resampled sentences", seed, i).integers(sentences, size=sentences), minlength=sentences
        )
        for i in range(resamples)
    ]
    weight = np.stack(draws)[:, sentence]
    rows = concept + count * np.arange(resamples)[:, None]
    tokens = np.broadcast_to(np.arange(len(points)), rows.shape)
    member = sparse.csr_array(
        (weight.ravel().astype(np.float64), (rows.ravel(), tokens.ravel())), shape=(resamples * count, len(points))
    )
    return weighted_means(member, points).reshape(resamples, count, -1)
