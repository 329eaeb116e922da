"""The agreement of a layer's rankings by Probeless with those over resamples of the corpus's sentences."""

from __future__ import annotations

import numpy as np

from conceptbench.eval.methods.neurons.choices import RESAMPLES
from conceptbench.eval.methods.neurons.stability import stability
from conceptbench.eval.neurons.layers import LayerNeurons
from conceptbench.eval.neurons.measured import Measured
from conceptbench.eval.neurons.options import NeuronsOptions
from conceptbench.eval.neurons.records import StabilityRow


def stability_rows(layer: LayerNeurons, options: NeuronsOptions) -> Measured:
    """Rank the neurons of each concept in resamples of the sentences; a concept without a token in any is left out."""
    if len(np.unique(layer.layer.sentences)) < 2:
        return Measured(skipped={"stability": "All tokens are of one sentence, and sentences are resampled."})
    stable = stability(
        layer.zscored,
        layer.layer.index,
        layer.layer.sentences,
        resamples=RESAMPLES,
        fraction=options.fraction,
        seed=options.seed,
    )
    return Measured(
        [
            StabilityRow(
                layer=layer.layer.layer,
                k=layer.k,
                concept=layer.layer.concepts[int(number)],
                fraction=options.fraction,
                ranking="probeless",
                over="resamples",
                overlap=float(stable.overlap[i]),
                spearman=float(stable.spearman[i]),
                resamples=int(stable.resamples[i]),
            )
            for i, number in enumerate(stable.names)
            if stable.resamples[i] > 0
        ]
    )
