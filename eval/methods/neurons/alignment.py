"""Do a concept and the wider one that it is part of use the same neurons, more than unrelated concepts do?

For a pair (s, c), the super-concept s and its part c (TCN, section 5.3):

- the ranking of s is recomputed **without the tokens of c**, else the two share neurons because they share tokens;
- both rankings are Probeless, with a concept's mean compared with the means of *all other concepts*: those that have
  no token in common with it. So s is not compared with its own parts;
- the alignment is the share of the top neurons of c that are top neurons of s.

Some neurons are large everywhere, so the top neurons of any two concepts overlap by more than chance. What an
alignment is worth is therefore told by **controls**: concepts of about the size and depth of c that are of another
family and have no token in common with s, put in the place of c against the same s (still without the tokens of c). As
c is, a control is left out of the concepts that s is compared with. If c were an unrelated concept, it and its n
controls would be alike, and the rank of its alignment among theirs gives p = (1 + #{control >= c}) / (1 + n).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from statsmodels.stats.multitest import multipletests

from conceptbench.eval.methods.neurons.pairs import ConceptPairs
from conceptbench.eval.methods.neurons.ranking import (
    Floats,
    Ints,
    Means,
    checked_vectors,
    places_of,
    standard_deviations,
    top_count,
    weighted_means,
)
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.errors import InputError

Scaling = Literal["raw", "zscored"]

FRACTION: Final = 0.1
CURVE: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
CONTROLS: Final = 99
LEVEL: Final = 0.05


@dataclass(frozen=True)
class AlignedPair:
    """A pair: its alignment, the mean of its controls', and the p-value, as found and corrected.

    `curve` and `null_curve` are the same two at the fractions of the curve; `family` is that of the super-concept.
    `nulls` are the alignments of its controls one by one; `shared` the neurons that both have among their top ones, in
    the order of the sub-concept.
    """

    super_concept: str
    sub_concept: str
    family: int
    size: int
    alignment: float
    null: float
    controls: int
    p: float
    p_fdr: float
    p_holm: float
    curve: tuple[float, ...]
    null_curve: tuple[float, ...]
    nulls: tuple[float, ...]
    shared: tuple[int, ...]


@dataclass(frozen=True)
class Alignment:
    """The alignment of pairs under one scaling of the neurons.

    Attributes
    ----------
    metrics : `alignment`, `null`, `difference` (their mean over pairs) and `significant` (the share of pairs with
        `p_fdr` of at most 0.05), with intervals resampled over families of super-concepts.
    curve : of each fraction of top neurons, the metrics `alignment`, `null` and `difference`.
    pairs : one by one.
    left_out : how many pairs were not looked at: without the child the super-concept has no token, no concept is left
        to compare it with, or there is no control.
    """

    metrics: Mapping[str, Metric]
    curve: Mapping[float, Mapping[str, Metric]]
    pairs: tuple[AlignedPair, ...]
    left_out: int


def align(
    vectors: ArrayLike,
    pairs: ConceptPairs,
    fraction: float = FRACTION,
    curve: Sequence[float] = CURVE,
    controls: int = CONTROLS,
    seed: int = 0,
) -> dict[Scaling, Alignment]:
    """Measure how far super- and sub-concepts share their top neurons, beside controls that are no relatives.

    Parameters
    ----------
    vectors : numbers of shape (tokens, width).
    pairs : from `tree_pairs`, `lexicon_pairs` or `label_pairs`.
    fraction : of the neurons that count as top, e.g. 0.1; of which p-values are computed.
    curve : other fractions at which to give alignments.
    controls : wanted for each pair: those nearest in log size and depth, each in units of its standard deviation over
        the concepts. The smallest p is 1 / (1 + controls).
    seed : of the intervals.

    Returns
    -------
    The alignment of `raw` neurons, and of `zscored` ones: each divided by its standard deviation over the tokens. A
    constant neuron scores 0 in both.

    Raises
    ------
    InputError
        for vectors that are not numbers, do not cover the tokens, for fractions outside 0..1, or if no pair is left.
    """
    points = checked_vectors(vectors)
    last = max((int(rows.max()) for rows in pairs.tokens if len(rows)), default=-1)
    if last >= len(points):
        raise InputError(f"The concepts have a token {last}, and there are {len(points)} vectors")
    if controls < 1:
        raise InputError(f"controls={controls}: at least 1 is needed")
    fractions = list(dict.fromkeys([fraction, *curve]))
    counts = np.array([top_count(one, points.shape[1]) for one in fractions])
    layer = _Layer(points, pairs)
    found: dict[Scaling, list[_Overlaps]] = {"raw": [], "zscored": []}
    for number, (wider, sub) in enumerate(pairs.pairs.tolist()):
        relatives = layer.relatives(wider)
        others = layer.controls(wider, sub, relatives, controls)
        if not len(others) or np.isnan(layer.rest[number]).any():
            continue
        scores = layer.super_scores(number, relatives, others)
        for scaling, scale in layer.scales.items():
            # The pair itself first, then its controls.
            own = layer.places[scaling][np.append(sub, others)]
            places = np.maximum(places_of(scores * scale), own)
            shared = (places[:, :, None] < counts).sum(axis=1) / counts
            neurons = np.flatnonzero(places[0] < counts[0])
            found[scaling].append(_Overlaps(wider, sub, shared, neurons[own[0, neurons].argsort()]))
    if not found["raw"]:
        raise InputError(
            "No pair of a super- and a sub-concept can be compared: there is none, or no unrelated concept beside it"
        )
    left_out = len(pairs.pairs) - len(found["raw"])
    return {scaling: _summary(overlaps, pairs, fractions, left_out, seed) for scaling, overlaps in found.items()}


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """The overlaps (1 + controls, fractions) of a pair, in the first row, and of its controls; the pair's neurons."""

    wider: int
    sub: int
    shared: Floats
    neurons: Ints


class _Layer:
    """What the pairs of a layer have in common."""

    def __init__(self, points: NDArray[Any], pairs: ConceptPairs) -> None:
        self.pairs = pairs
        member = _member(pairs.tokens, len(points))
        wider = _member(
            [np.unique(np.concatenate([pairs.tokens[i] for i in s.parts])) for s in pairs.supers], len(points)
        )
        deviations = standard_deviations(points)
        constant = deviations == 0
        self.scales: dict[Scaling, Floats] = {
            "raw": np.where(constant, 0.0, 1.0),
            "zscored": np.where(constant, 0.0, 1 / np.where(constant, 1.0, deviations)),
        }
        self.means = weighted_means(member, points)
        if np.isnan(self.means).any():
            name = pairs.names[int(np.isnan(self.means).any(axis=1).argmax())]
            raise InputError(f"The concept {name!r} has no token")
        self.related = (wider @ member.T).tocsr()  # (supers, concepts): the tokens in common
        supers, subs = pairs.pairs.T
        rest = wider[supers] - wider[supers].multiply(member[subs])
        self.rest = weighted_means(sparse.csr_array(rest), points)

        compared = Means.of(self.means)
        scores = compared.scores()
        shared = (member @ member.T).tocsr()
        for concept in range(len(scores)):
            others = shared[[concept]].indices
            scores[concept] -= np.abs(self.means[concept] - self.means[others]).sum(axis=0)
        self.places = {scaling: places_of(scores.clip(min=0) * scale) for scaling, scale in self.scales.items()}
        self.rest_scores = compared.scores_of(self.rest)
        sizes = np.log([len(tokens) for tokens in pairs.tokens])
        self.traits = np.stack([sizes, pairs.depths])
        spread = self.traits.std(axis=1, keepdims=True)
        self.traits = self.traits / np.where(spread > 0, spread, 1.0)

    def relatives(self, wider: int) -> Ints:
        """The concepts that have a token in common with the super-concept."""
        relatives: Ints = self.related[[wider]].indices
        return relatives

    def controls(self, wider: int, sub: int, relatives: Ints, wanted: int) -> Ints:
        """The concepts most like `sub` in size and depth that have nothing to do with the super-concept."""
        super_family, family = self.pairs.families
        strange = family != super_family[wider]
        strange[relatives] = False
        # One concept beside the control must be left to compare the super-concept with.
        if len(self.means) - len(relatives) < 2:
            return np.empty(0, dtype=np.int64)
        candidates = np.flatnonzero(strange)
        distance = np.square(self.traits[:, candidates] - self.traits[:, [sub]]).sum(axis=0)
        return candidates[np.argsort(distance, kind="stable")[:wanted]]

    def super_scores(self, pair: int, relatives: Ints, others: Ints) -> Floats:
        """Scores (1 + others, width) of the super-concept without its child; each with one of `others` not compared."""
        rest = self.rest[pair]
        base = self.rest_scores[pair] - np.abs(rest - self.means[relatives]).sum(axis=0)
        scores: Floats = np.vstack([base, base - np.abs(rest - self.means[others])])
        return scores.clip(min=0)  # a difference of equal sums may round to less


def _member(rows: Sequence[Ints], tokens: int) -> sparse.csr_array:
    """A sparse array (len(rows), tokens) with a 1 for each token of a row."""
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    columns = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    return sparse.csr_array((np.ones(len(owner)), (owner, columns)), shape=(len(rows), tokens))


def _summary(
    overlaps: Sequence[_Overlaps], pairs: ConceptPairs, fractions: Sequence[float], left_out: int, seed: int
) -> Alignment:
    families, _ = pairs.families
    family = [int(families[one.wider]) for one in overlaps]
    own = np.stack([one.shared[0] for one in overlaps])
    null = np.stack([one.shared[1:].mean(axis=0) for one in overlaps])
    p = np.array([(1 + (one.shared[1:, 0] >= one.shared[0, 0]).sum()) / len(one.shared) for one in overlaps])
    fdr, holm = (multipletests(p, alpha=LEVEL, method=method)[1] for method in ("fdr_bh", "holm"))

    def means(column: int) -> dict[str, Metric]:
        values = {"alignment": own, "null": null, "difference": own - null}
        return {name: mean_metric(value[:, column].tolist(), family, seed) for name, value in values.items()}

    return Alignment(
        metrics=means(0) | {"significant": mean_metric((fdr <= LEVEL).astype(float).tolist(), family, seed)},
        curve={fraction: means(column) for column, fraction in sorted(enumerate(fractions), key=lambda item: item[1])},
        pairs=tuple(
            AlignedPair(
                super_concept=pairs.supers[one.wider].name,
                sub_concept=pairs.names[one.sub],
                family=family[i],
                size=len(pairs.tokens[one.sub]),
                alignment=float(own[i, 0]),
                null=float(null[i, 0]),
                controls=len(one.shared) - 1,
                p=float(p[i]),
                p_fdr=float(fdr[i]),
                p_holm=float(holm[i]),
                curve=tuple(own[i, np.argsort(fractions)].tolist()),
                null_curve=tuple(null[i, np.argsort(fractions)].tolist()),
                nulls=tuple(one.shared[1:, 0].tolist()),
                shared=tuple(one.neurons.tolist()),
            )
            for i, one in enumerate(overlaps)
        ),
        left_out=left_out,
    )
