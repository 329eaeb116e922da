"""Do a concept and the wider one that it is part of use the same neurons, more than unrelated concepts do?

For a pair (s, c), the super-concept s and its part c (TCN, section 5.3):

- the ranking of s is recomputed **without the tokens of c**, else the two share neurons because they share tokens;
- both rankings are Probeless, with a concept's mean compared with the means of *all other concepts*: those that have
  no token in common with it. So s is not compared with its own parts;
- the alignment is the share of the top neurons of c that are top neurons of s.

Some neurons are large everywhere, so the top neurons of any two concepts overlap by more than chance. An alignment is
therefore compared with those of **controls**: concepts of about the size and depth of c that are of another family and
have no token in common with s, put in the place of c against the same s (still without the tokens of c). As c is, a
control is left out of the concepts that s is compared with. If c were an unrelated concept, it and its n controls would
be alike, and the rank of its alignment among theirs gives p = (1 + #{control >= c}) / (1 + n).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from statsmodels.stats.multitest import multipletests

from conceptbench.eval.methods.neurons.choices import CONTROLS, CURVE, FRACTION, LEVEL, Scaling
from conceptbench.eval.methods.neurons.pairs import ConceptPairs
from conceptbench.eval.methods.neurons.ranking import Means, ranks_of, top_count
from conceptbench.eval.methods.neurons.vectors import Floats, Ints, checked_vectors, standard_deviations, weighted_means
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.errors import InputError


@dataclass(frozen=True)
class AlignedPair:
    """The alignment of a pair.

    Attributes
    ----------
    super_concept, sub_concept : their names.
    family : of the super-concept, by number.
    size : tokens of the sub-concept.
    alignment, null : the share of the sub-concept's top neurons that are the super-concept's too, and the mean of those
        of its controls.
    controls : how many there are.
    p, p_fdr, p_holm : the p-value of the rank among the controls: as it is, and corrected for the number of pairs.
    curve, null_curve : `alignment` and `null` at the fractions of the curve.
    nulls : the alignments of the controls one by one.
    shared : the neurons that both have among their top ones, in the order of the sub-concept.
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
    left_out : how many pairs are not measured: without the child the super-concept has no token, no concept is left to
        compare it with, or there is no control.
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
    """Measure how many top neurons super- and sub-concepts share, and how many they share with unrelated controls.

    Parameters
    ----------
    vectors : numbers of shape (tokens, width).
    pairs : from `tree_pairs`, `lexicon_pairs` or `label_pairs`.
    fraction : of the neurons that count as top, e.g. 0.1; p-values are computed at it.
    curve : other fractions at which to give alignments.
    controls : of each pair, at most: those nearest in log size and depth, each in units of its standard deviation over
        the concepts. The smallest p is 1 / (1 + controls).
    seed : of the intervals.

    Returns
    -------
    The alignment of `raw` neurons, and of `zscored` ones: each divided by its standard deviation over the tokens. A
    constant neuron scores 0 in both.

    Raises
    ------
    InputError
        for vectors that are not numbers or do not cover the tokens, for fractions outside 0..1, or if no pair can be
        compared.

    Examples
    --------
    >>> import numpy as np
    >>> from conceptbench.eval.methods.neurons.pairs import label_pairs
    >>> labels = ["verbs", "modal verbs", "names", "place names", "colours", "dark colours"]
    >>> alignment = align(np.repeat(np.eye(3), 2, axis=0), label_pairs(range(6), labels), fraction=0.3)["raw"]
    >>> alignment.metrics["alignment"].value, alignment.metrics["null"].value
    (1.0, 0.0)
    """
    points = checked_vectors(vectors)
    last = max((int(rows.max()) for rows in pairs.tokens if len(rows)), default=-1)
    if last >= len(points):
        raise InputError(f"The concepts have a token {last}, and there are {len(points)} vectors")
    if controls < 1:
        raise InputError(f"controls={controls}: at least 1 is needed")
    fractions = list(dict.fromkeys([fraction, *curve]))
    counts = np.array([top_count(share, points.shape[1]) for share in fractions])
    overlaps = _overlaps(_Layer(points, pairs), counts, controls)
    if not overlaps["raw"]:
        raise InputError(
            "No pair of a super- and a sub-concept can be compared: there is none, or no unrelated concept beside it"
        )
    return {scaling: _summary(of_pairs, pairs, fractions, seed) for scaling, of_pairs in overlaps.items()}


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """The overlaps (1 + controls, fractions) of a pair, in the first row, and of its controls; the pair's neurons."""

    wider: int
    sub: int
    shared: Floats
    neurons: Ints


def _overlaps(layer: _Layer, counts: Ints, controls: int) -> dict[Scaling, list[_Overlaps]]:
    """Count the neurons that each pair and its controls share, at each number `counts` (fractions,) of top neurons."""
    overlaps: dict[Scaling, list[_Overlaps]] = {"raw": [], "zscored": []}
    for pair, (wider, sub) in enumerate(layer.pairs.pairs.tolist()):
        relatives = layer.relatives(wider)
        strangers = layer.controls(wider, sub, relatives, controls)
        if not len(strangers) or np.isnan(layer.rest[pair]).any():
            continue
        scores = layer.super_scores(pair, relatives, strangers)
        for scaling, scale in layer.scales.items():
            # The pair itself first, then its controls.
            sub_ranks = layer.ranks[scaling][np.append(sub, strangers)]
            ranks = np.maximum(ranks_of(scores * scale), sub_ranks)
            shared = (ranks[:, :, None] < counts).sum(axis=1) / counts
            neurons = np.flatnonzero(ranks[0] < counts[0])
            overlaps[scaling].append(_Overlaps(wider, sub, shared, neurons[sub_ranks[0, neurons].argsort()]))
    return overlaps


class _Layer:
    """What the pairs of a layer have in common."""

    def __init__(self, points: NDArray[Any], pairs: ConceptPairs) -> None:
        self.pairs = pairs
        member = _member(pairs.tokens, len(points))
        wider = _member([pairs.super_tokens(number) for number in range(len(pairs.supers))], len(points))
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
            overlapping = shared[[concept]].indices
            scores[concept] -= np.abs(self.means[concept] - self.means[overlapping]).sum(axis=0)
        self.ranks = {scaling: ranks_of(scores.clip(min=0) * scale) for scaling, scale in self.scales.items()}
        self.rest_scores = compared.scores_of(self.rest)
        self.traits = _traits(pairs)

    def relatives(self, wider: int) -> Ints:
        """The concepts that have a token in common with the super-concept."""
        relatives: Ints = self.related[[wider]].indices
        return relatives

    def controls(self, wider: int, sub: int, relatives: Ints, count: int) -> Ints:
        """The concepts most like `sub` in size and depth that are unrelated to the super-concept, at most `count`."""
        super_family, family = self.pairs.families
        unrelated = family != super_family[wider]
        unrelated[relatives] = False
        # A concept beside the control must be left to compare the super-concept with.
        if len(self.means) - len(relatives) < 2:
            return np.empty(0, dtype=np.int64)
        candidates = np.flatnonzero(unrelated)
        distance = np.square(self.traits[:, candidates] - self.traits[:, [sub]]).sum(axis=0)
        return candidates[np.argsort(distance, kind="stable")[:count]]

    def super_scores(self, pair: int, relatives: Ints, controls: Ints) -> Floats:
        """Scores (1 + controls, width) of the super-concept without its child.

        The first row is for the child itself; in each other row, one of `controls` is not compared with.
        """
        rest = self.rest[pair]
        base = self.rest_scores[pair] - np.abs(rest - self.means[relatives]).sum(axis=0)
        scores: Floats = np.vstack([base, base - np.abs(rest - self.means[controls])])
        return scores.clip(min=0)  # a difference of equal sums may round to less


def _traits(pairs: ConceptPairs) -> Floats:
    """The log size and the depth of each concept, in standard deviations over the concepts: (2, C)."""
    traits = np.stack([np.log([len(tokens) for tokens in pairs.tokens]), pairs.depths])
    spread = traits.std(axis=1, keepdims=True)
    scaled: Floats = traits / np.where(spread > 0, spread, 1.0)
    return scaled


def _member(rows: Sequence[Ints], tokens: int) -> sparse.csr_array:
    """A sparse array (len(rows), tokens) with a 1 for each token of a row."""
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    columns = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    return sparse.csr_array((np.ones(len(owner)), (owner, columns)), shape=(len(rows), tokens))


def _summary(overlaps: Sequence[_Overlaps], pairs: ConceptPairs, fractions: Sequence[float], seed: int) -> Alignment:
    families, _ = pairs.families
    family = [int(families[pair.wider]) for pair in overlaps]
    aligned = np.stack([pair.shared[0] for pair in overlaps])
    null = np.stack([pair.shared[1:].mean(axis=0) for pair in overlaps])
    p = np.array([(1 + (pair.shared[1:, 0] >= pair.shared[0, 0]).sum()) / len(pair.shared) for pair in overlaps])
    fdr, holm = (multipletests(p, alpha=LEVEL, method=method)[1] for method in ("fdr_bh", "holm"))
    ascending = np.argsort(fractions)

    def means(column: int) -> dict[str, Metric]:
        values = {"alignment": aligned, "null": null, "difference": aligned - null}
        return {name: mean_metric(value[:, column].tolist(), family, seed) for name, value in values.items()}

    return Alignment(
        metrics=means(0) | {"significant": mean_metric((fdr <= LEVEL).astype(float).tolist(), family, seed)},
        curve={fractions[column]: means(column) for column in ascending.tolist()},
        pairs=tuple(
            AlignedPair(
                super_concept=pairs.supers[pair.wider].name,
                sub_concept=pairs.names[pair.sub],
                family=family[i],
                size=len(pairs.tokens[pair.sub]),
                alignment=float(aligned[i, 0]),
                null=float(null[i, 0]),
                controls=len(pair.shared) - 1,
                p=float(p[i]),
                p_fdr=float(fdr[i]),
                p_holm=float(holm[i]),
                curve=tuple(aligned[i, ascending].tolist()),
                null_curve=tuple(null[i, ascending].tolist()),
                nulls=tuple(pair.shared[1:, 0].tolist()),
                shared=tuple(pair.neurons.tolist()),
            )
            for i, pair in enumerate(overlaps)
        ),
        left_out=len(pairs.pairs) - len(overlaps),
    )
