"""The ablation of a layer's probes, and the agreement of their weights over two seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from conceptbench.eval.methods.neurons.stability import rank_agreement
from conceptbench.eval.neurons.layers import LayerNeurons
from conceptbench.eval.neurons.measured import Measured
from conceptbench.eval.neurons.options import NeuronsOptions
from conceptbench.eval.neurons.probed import (
    ProbedConcepts,
    ablate_concept,
    probe_concepts,
    weights_of_another_seed,
)
from conceptbench.eval.neurons.records import AblationRow, RankingName, StabilityRow


def ablation_rows(layer: LayerNeurons, options: NeuronsOptions) -> Measured:
    """Probe concepts drawn by the seed, ablate their neurons by each ranking, and probe them with another seed."""
    probed = probe_concepts(layer, options.ablated_at_most, options.seed, options.device)
    return Measured(
        rows=[*_ablations(layer, probed, options.seed), *_seeds(layer, probed, options)],
        counts={"ablated concepts": len(probed.concepts)},
        skipped={"ablation": probed.skipped} if probed.skipped else {},
    )


def _ablations(layer: LayerNeurons, probed: ProbedConcepts, seed: int) -> Iterator[AblationRow]:
    """Ablate the neurons of each probed concept by each ranking."""
    rankings: tuple[RankingName, ...] = get_args(RankingName)
    for row, concept in enumerate(probed.concepts):
        name = layer.layer.concepts[concept]
        for ranking in rankings:
            ablation = ablate_concept(probed, row, name, ranking, layer.vectors, seed)
            for (mode, order), accuracy in ablation.accuracy.items():
                yield AblationRow(
                    layer=layer.layer.layer,
                    k=layer.k,
                    concept=name,
                    ranking=ranking,
                    mode=mode,
                    order=order,
                    width=layer.vectors.shape[1],
                    grid=tuple(ablation.grid.tolist()),
                    accuracy=tuple(accuracy[0].tolist()),
                    auroc=tuple(ablation.auroc[mode, order][0].tolist()),
                )


def _seeds(layer: LayerNeurons, probed: ProbedConcepts, options: NeuronsOptions) -> Iterator[StabilityRow]:
    """Compare the rankings by the probes' weights with those by probes of another seed."""
    if not probed.concepts:
        return
    concepts, scores = weights_of_another_seed(layer, probed.concepts, options.seed + 1, options.device)
    if not concepts:
        return
    rows = [probed.concepts.index(concept) for concept in concepts]
    agreement = rank_agreement(probed.scores["weights"][rows], scores, options.fraction)
    for i, concept in enumerate(concepts):
        yield StabilityRow(
            layer=layer.layer.layer,
            k=layer.k,
            concept=layer.layer.concepts[concept],
            fraction=options.fraction,
            ranking="weights",
            over="seeds",
            overlap=float(agreement.overlap[i]),
            spearman=float(agreement.spearman[i]),
            resamples=1,
        )
