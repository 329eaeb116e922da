"""Probes of a layer's concepts, and rankings of neurons by each method, learnt from the same training tokens.

A concept's neurons are ranked for its ablation without a look at the tokens that its probe is tested on. Word types are
in training or in test for the whole layer (see `probing.design`), so a concept takes part only if two of its types are
on either side without exception.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from conceptbench.benchmark.layers import Layer
from conceptbench.eval.methods.neurons.ablation import Ablation, ablate
from conceptbench.eval.methods.neurons.ranking import (
    Floats,
    by_average_precision,
    by_weights,
    concept_means,
    order_of,
    probeless,
    standard_deviations,
)
from conceptbench.eval.methods.probes.design import MIN_TYPES, Problem, Tokens, draw_problem, type_hashes
from conceptbench.eval.methods.probes.logistic import fit_logistic
from conceptbench.runtime.draws import generator_of

RankingName = Literal["probeless", "probeless_raw", "weights", "average_precision"]

MIXED: Final = "too few word types in training or in test"


@dataclass(frozen=True, eq=False)
class ProbedConcepts:
    """Concepts of a layer with their probes.

    Attributes
    ----------
    concepts : n numbers of concepts of the layer.
    problems : the tokens of each.
    weights, biases : of their probes: float64 (n, width) and (n,).
    scores : of the neurons, by each ranking: float64 (n, width).
    skipped : how many concepts that were drawn have no probe, by the reason.
    """

    concepts: list[int]
    problems: list[Problem]
    weights: Floats
    biases: Floats
    scores: dict[RankingName, Floats]
    skipped: dict[str, int]


def probe_concepts(
    layer: Layer, vectors: NDArray[Any], count: int, seed: int, device: str | None = None
) -> ProbedConcepts:
    """Fit probes of at most `count` concepts, drawn by the seed of those that can be probed, and rank their neurons.

    `probeless` is on neurons divided by their standard deviation, `probeless_raw` on neurons as they are; `weights` are
    those on standardised neurons. All are learnt from the layer's training tokens.
    """
    tokens = _tokens(layer, vectors, seed)
    drawn = generator_of("ablated concepts", seed, layer.model, layer.layer).permutation(len(layer.concepts))
    problems: dict[int, Problem] = {}
    skipped: Counter[str] = Counter()
    for concept in drawn.tolist():
        if len(problems) == count:
            break
        problem = draw_problem(tokens, concept, layer.concepts[concept], seed)
        if isinstance(problem, Problem) and not _on_both_sides(tokens, concept):
            skipped[MIXED] += 1
        elif isinstance(problem, Problem):
            problems[concept] = problem
        else:
            skipped[problem] += 1
    chosen = sorted(problems)
    weights, biases = _fitted(vectors, [problems[concept] for concept in chosen], device)
    return ProbedConcepts(
        concepts=chosen,
        problems=[problems[concept] for concept in chosen],
        weights=weights,
        biases=biases,
        scores=_scores(tokens, chosen, weights) if chosen else {},
        skipped=dict(skipped),
    )


def weights_of_another_seed(
    layer: Layer, vectors: NDArray[Any], concepts: Sequence[int], seed: int, device: str | None = None
) -> tuple[list[int], Floats]:
    """Probe concepts with tokens drawn by another seed; give those that can be, and their probes' weights.

    The weights are on standardised neurons, in size: float64 (n, width).
    """
    tokens = _tokens(layer, vectors, seed)
    drawn = {concept: draw_problem(tokens, concept, layer.concepts[concept], seed) for concept in concepts}
    problems = {concept: problem for concept, problem in drawn.items() if isinstance(problem, Problem)}
    weights, _ = _fitted(vectors, list(problems.values()), device)
    return list(problems), by_weights(weights * standard_deviations(vectors)) if problems else weights


def ablate_concept(
    probed: ProbedConcepts, place: int, name: str, ranking: RankingName, vectors: NDArray[Any], seed: int
) -> Ablation:
    """Take the neurons of one concept's ranking away from its probe, on the probe's test tokens.

    What neurons are set to is their mean over the tokens that the probe was fitted on.
    """
    problem = probed.problems[place]
    return ablate(
        probed.weights[[place]],
        probed.biases[[place]],
        vectors[problem.rows[problem.in_test]],
        np.where(problem.targets[problem.in_test], 0, -1),
        order_of(probed.scores[ranking][[place]]),
        names=[name],
        mean=vectors[problem.rows[~problem.in_test]].mean(axis=0, dtype=np.float64),
        seed=seed,
    )


def _tokens(layer: Layer, vectors: NDArray[Any], seed: int) -> Tokens:
    types, type_of = np.unique(layer.words.astype(str), return_inverse=True)
    hashes = type_hashes(types.tolist(), seed)
    return Tokens(vectors, layer.index, type_of.astype(np.int64), hashes, np.asarray(layer.sentences))


def _on_both_sides(tokens: Tokens, concept: int) -> bool:
    types = np.unique(tokens.type[tokens.by_concept[concept]])
    tested = int((tokens.hashes[types] < 0.5).sum())
    return MIN_TYPES <= tested <= len(types) - MIN_TYPES


def _fitted(vectors: NDArray[Any], problems: Sequence[Problem], device: str | None) -> tuple[Floats, Floats]:
    fitted = fit_logistic(
        vectors,
        [problem.rows for problem in problems],
        [problem.targets for problem in problems],
        [~problem.in_test for problem in problems],
        device=device,
    )
    return fitted.weights, fitted.biases


def _scores(tokens: Tokens, chosen: Sequence[int], weights: Floats) -> dict[RankingName, Floats]:
    rows, _ = tokens.by_side
    training = tokens.vectors[rows]
    concepts, index = np.unique(tokens.concept[rows], return_inverse=True)
    places = np.searchsorted(concepts, chosen)
    deviations = standard_deviations(training)
    constant = deviations == 0
    raw = probeless(concept_means(training, index.astype(np.int64), len(concepts)))[places]
    raw[:, constant] = 0.0
    return {
        "probeless": raw / np.where(constant, 1.0, deviations),
        "probeless_raw": raw,
        "weights": by_weights(weights * deviations),
        "average_precision": by_average_precision(training, index)[places],
    }
