"""Probes of a layer's concepts, and rankings of neurons by each method, learnt from the same training tokens.

A concept's neurons are ranked for its ablation without the tokens that its probe is tested on. Word types are in
training or in test for the whole layer (see `methods.probes.design`), so a concept takes part only if at least two of
its types are on each side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from conceptbench.eval.methods.neurons.ablation import Ablation, ablate
from conceptbench.eval.methods.neurons.ranking import by_average_precision, by_weights, order_of, probeless
from conceptbench.eval.methods.neurons.vectors import Floats, concept_means, standard_deviations
from conceptbench.eval.methods.probes.design import MIN_TYPES, Problem, Tokens, draw_problem, type_hashes
from conceptbench.eval.methods.probes.logistic import fit_logistic
from conceptbench.eval.neurons.layers import LayerNeurons
from conceptbench.eval.neurons.records import RankingName
from conceptbench.runtime.draws import generator_of

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


def probe_concepts(layer: LayerNeurons, count: int, seed: int, device: str | None = None) -> ProbedConcepts:
    """Fit probes of at most `count` concepts, drawn by the seed of those that can be probed, and rank their neurons.

    `probeless` is on neurons divided by their standard deviation, `probeless_raw` on neurons as they are; `weights` are
    those on standardised neurons. All are learnt from the layer's training tokens.
    """
    tokens, names = _tokens(layer, seed), layer.layer.concepts
    candidates = generator_of("ablated concepts", seed, layer.layer.model, layer.layer.layer).permutation(len(names))
    problems: dict[int, Problem] = {}
    skipped: Counter[str] = Counter()
    for concept in candidates.tolist():
        if len(problems) == count:
            break
        problem = draw_problem(tokens, concept, names[concept], seed)
        if isinstance(problem, Problem) and not _on_both_sides(tokens, concept):
            skipped[MIXED] += 1
        elif isinstance(problem, Problem):
            problems[concept] = problem
        else:
            skipped[problem] += 1
    concepts = sorted(problems)
    weights, biases = _fitted(layer.vectors, [problems[concept] for concept in concepts], device)
    return ProbedConcepts(
        concepts=concepts,
        problems=[problems[concept] for concept in concepts],
        weights=weights,
        biases=biases,
        scores=_scores(tokens, concepts, weights) if concepts else {},
        skipped=dict(skipped),
    )


def weights_of_another_seed(
    layer: LayerNeurons, concepts: Sequence[int], seed: int, device: str | None = None
) -> tuple[list[int], Floats]:
    """Probe concepts with tokens drawn by another seed.

    Returns
    -------
    The concepts that can be probed, and the absolute weights of their probes on standardised neurons, float64
    (n, width).
    """
    tokens = _tokens(layer, seed)
    attempts = {concept: draw_problem(tokens, concept, layer.layer.concepts[concept], seed) for concept in concepts}
    problems = {concept: problem for concept, problem in attempts.items() if isinstance(problem, Problem)}
    weights, _ = _fitted(layer.vectors, list(problems.values()), device)
    return list(problems), by_weights(weights * layer.deviations) if problems else weights


def ablate_concept(
    probed: ProbedConcepts, row: int, name: str, ranking: RankingName, vectors: NDArray[Any], seed: int
) -> Ablation:
    """Remove the neurons of one concept's ranking from its probe, and test it on the probe's test tokens.

    Neurons are set to their mean over the tokens that the probe was fitted on.

    Parameters
    ----------
    row : of the concept in the arrays of `probed`.
    name : of the concept, which random orders of neurons depend on.
    """
    problem = probed.problems[row]
    return ablate(
        probed.weights[[row]],
        probed.biases[[row]],
        vectors[problem.rows[problem.in_test]],
        np.where(problem.targets[problem.in_test], 0, -1),
        order_of(probed.scores[ranking][[row]]),
        names=[name],
        mean=vectors[problem.rows[~problem.in_test]].mean(axis=0, dtype=np.float64),
        seed=seed,
    )


def _tokens(layer: LayerNeurons, seed: int) -> Tokens:
    hashes = type_hashes(layer.types, seed)
    return Tokens(layer.vectors, layer.layer.index, layer.type_of, hashes, np.asarray(layer.layer.sentences))


def _on_both_sides(tokens: Tokens, concept: int) -> bool:
    """Whether enough of a concept's word types are in training, and enough in test."""
    types = np.unique(tokens.type[tokens.by_concept[concept]])
    tested = int((tokens.hashes[types] < 0.5).sum())
    return MIN_TYPES <= tested <= len(types) - MIN_TYPES


def _fitted(vectors: NDArray[Any], problems: Sequence[Problem], device: str | None) -> tuple[Floats, Floats]:
    """Fit the probes of problems: weights (n, width) and biases (n,)."""
    fitted = fit_logistic(
        vectors,
        [problem.rows for problem in problems],
        [problem.targets for problem in problems],
        [~problem.in_test for problem in problems],
        device=device,
    )
    return fitted.weights, fitted.biases


def _scores(tokens: Tokens, chosen: Sequence[int], weights: Floats) -> dict[RankingName, Floats]:
    """Score the neurons for the chosen concepts by each ranking, on training tokens."""
    rows, _ = tokens.by_side
    training = tokens.vectors[rows]
    concepts, index = np.unique(tokens.concept[rows], return_inverse=True)
    positions = np.searchsorted(concepts, chosen)
    deviations = standard_deviations(training)
    constant = deviations == 0
    raw = probeless(concept_means(training, index.astype(np.int64), len(concepts)))[positions]
    raw[:, constant] = 0.0
    return {
        "probeless": raw / np.where(constant, 1.0, deviations),
        "probeless_raw": raw,
        "weights": by_weights(weights * deviations),
        "average_precision": by_average_precision(training, index)[positions],
    }
