"""The top neurons of each concept of a layer."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.methods.neurons.pairs import tokens_of
from conceptbench.eval.methods.neurons.ranking import order_of, probeless
from conceptbench.eval.methods.neurons.vectors import concept_means
from conceptbench.eval.neurons.layers import LayerNeurons
from conceptbench.eval.neurons.measured import Measured
from conceptbench.eval.neurons.records import ConceptRow

_NEURONS: Final = 20


def concept_rows(layer: LayerNeurons) -> Measured:
    """Rank the neurons of each concept by Probeless, on z-scored neurons and all tokens; record the first ones."""
    count = len(layer.concepts)
    orders = order_of(probeless(concept_means(layer.zscored, layer.concept_of, count)))
    tokens = tokens_of(layer.concept_of, count)
    return Measured(
        [
            ConceptRow(
                layer=layer.layer.layer,
                k=layer.k,
                concept=layer.layer.concepts[concept],
                label=layer.layer.labels[concept],
                words=layer.words(tokens[i]),
                size=len(tokens[i]),
                neurons=tuple(orders[i, :_NEURONS].tolist()),
                ranking="probeless",
            )
            for i, concept in enumerate(layer.concepts.tolist())
        ]
    )
