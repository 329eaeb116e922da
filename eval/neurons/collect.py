"""Collecting the records of a neurons run: rank, align, ablate and resample each layer of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from conceptbench.benchmark.layers import chosen_layers, chosen_model
from conceptbench.benchmark.store import ConceptStore
from conceptbench.eval.neurons.ablations import ablation_rows
from conceptbench.eval.neurons.concepts import concept_rows
from conceptbench.eval.neurons.layers import LayerNeurons
from conceptbench.eval.neurons.measured import Measured, joined, skipped_by_layer, total_counts
from conceptbench.eval.neurons.options import NeuronsOptions
from conceptbench.eval.neurons.pairs import pair_rows, studied_ks, study_ks, study_rows
from conceptbench.eval.neurons.records import Record, table
from conceptbench.eval.neurons.stabilities import stability_rows
from conceptbench.eval.task import Collected
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress

_DIGESTED: Final = ("kind", "layer", "k", "condition", "source", "super", "concept", "size", "words", "over")
"""The columns that say what was measured."""


def collect(options: NeuronsOptions, folder: Path, progress: Progress) -> Collected:
    """Measure which neurons carry the concepts of a store.

    Raises
    ------
    InputError
        if the store lacks a layer, its vectors or its tree, or holds values that are not finite.
    """
    store = ConceptStore.open(options.store)
    model = chosen_model(store, options.model)
    numbers = chosen_layers(store, model, options.layers)
    if not numbers:
        raise InputError(f"{store.path} has no layer of {model}: build it again")
    layers: dict[str, Measured] = {}
    constant: dict[str, int] = {}
    ks: set[int] = set()
    with progress.stage(f"Neurons of {model}", len(numbers)) as advance:
        for number in numbers:
            layer = LayerNeurons.read(store, model, number)
            layers[layer.name] = joined(_measurements(layer, options))
            if layer.constant:
                constant[layer.name] = layer.constant
            ks |= set(studied_ks(layer, options))
            advance(1)
    records = [row for measured in layers.values() for row in measured.rows]
    corpus = store.manifest.get("corpus", {}).get("name", "a corpus")
    return Collected(
        system=model,
        dataset=f"layers {', '.join(map(str, numbers))} of {model} over {corpus}",
        dataset_sha256=_digest(records),
        records=table(records),
        facts={
            "model": model,
            "layers": numbers,
            "ks": sorted(ks),
            "found": total_counts(layers),
            "skipped": skipped_by_layer(layers),
            "constant_neurons": constant,
            "prompts": {},
        },
    )


def _measurements(layer: LayerNeurons, options: NeuronsOptions) -> Iterator[Measured]:
    """Measure a layer in every way."""
    yield concept_rows(layer)
    for source in options.pairs:
        yield pair_rows(layer, source, options)
    for k in study_ks(layer, options):
        yield study_rows(layer, k, options)
    yield ablation_rows(layer, options)
    yield stability_rows(layer, options)


def _digest(records: Sequence[Record]) -> str:
    """Digest what was measured: runs with the same digest can be compared."""
    items = sorted({json.dumps([getattr(row, column, None) for column in _DIGESTED]) for row in records})
    return hashlib.sha256("\n".join(items).encode()).hexdigest()
