"""Collecting the records of a probing run: probes of gold concepts, of the store's concepts, and of their null."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.layers import chosen_layers, chosen_model
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.corpus import open_corpus
from conceptbench.eval.probing.clusters import ClusterProbes
from conceptbench.eval.probing.gold import GoldProbes, probe_gold
from conceptbench.eval.probing.options import ProbingOptions
from conceptbench.eval.result import open_folder
from conceptbench.eval.task import Collected
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM, SMOLLM2
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.similarity import Similarity

_ROWS = 2**16
_REVISION_DIGITS: Final = 12


def collect(options: ProbingOptions, folder: Path, progress: Progress) -> Collected:
    """Probe an encoder's layers for gold concepts, and for the concepts of a store.

    Run again in the same folder, it clusters no permuted vectors twice, and encodes no gold tokens twice if it was
    stopped.

    Raises
    ------
    InputError
        if the store or the corpus lacks what is needed, or the store's model cannot be loaded.
    """
    store = ConceptStore.open(options.store)
    model = _model_of(store, options.model)
    layers = chosen_layers(store, model, options.layers)
    _check_layers(store, model, layers)
    if options.corpus is not None:
        open_corpus(options.corpus, options.text_column)
    encoder = _open_encoder(store, model, options.model or model, options.device)
    label_encoder = _label_encoder(model, options, progress)
    gold_folder = open_folder(folder / f"journal-gold-{_gold_key(store, encoder, options)[:16]}")
    gold = probe_gold(store, encoder, layers, options, gold_folder, progress)
    clusters = ClusterProbes(store, model, layers, options)
    tables = [gold.records, *clusters.tables(folder, progress)]
    return Collected(
        system=f"{model}@{_revision(store, model).removeprefix('sha256:')[:_REVISION_DIGITS]}",
        dataset=f"gold concepts in {gold.corpus}",
        dataset_sha256=gold.digest,
        records=pa.concat_tables(tables).unify_dictionaries(),
        facts={
            **_facts(store, model, layers, options),
            "corpus": gold.corpus,
            "gold": dict(gold.facts),
            "encoder": label_encoder,
            "skipped": _skipped(gold, clusters),
        },
        finish=lambda: shutil.rmtree(gold_folder, ignore_errors=True),
    )


def _facts(store: ConceptStore, model: str, layers: Sequence[int], options: ProbingOptions) -> dict[str, Any]:
    entry, corpus = store.manifest["models"][model], store.manifest["corpus"]
    return {
        "model": model,
        "layers": list(layers),
        "k": entry["k"],
        "store": {
            "model": model,
            "revision": entry["revision"],
            "pooling": entry["pooling"],
            "corpus": corpus["name"],
            "corpus_digest": corpus["digest"],
        },
        "probes": {"c": options.c, "l1_ratio": options.l1_ratio},
    }


def _skipped(gold: GoldProbes, clusters: ClusterProbes) -> dict[str, dict[str, int]]:
    """Give how many concepts were probed and skipped, by score; the most frequent reason first."""
    counts: Mapping[str, Counter[str]] = {"gold": gold.counts, **clusters.skipped}
    return {score: dict(reasons.most_common()) for score, reasons in counts.items()}


def _check_layers(store: ConceptStore, model: str, layers: Sequence[int]) -> None:
    """Refuse layers without vectors, and vectors that no probe can be fitted to."""
    if not layers:
        raise InputError(f"{store.path} has no layer of {model} yet; run `conceptbench build` to its end")
    for layer in layers:
        where = f"{store.path}, layer {layer} of {model}"
        vectors = store.vectors(model, layer)
        for start in range(0, len(vectors), _ROWS):
            bad = np.flatnonzero(~np.isfinite(vectors[start : start + _ROWS]).all(axis=1))
            if len(bad):
                raise InputError(f"{where}: vector {start + bad[0]} holds NaN or infinity; build the store again")
        if store.concepts(model, layer).num_rows < 2:
            raise InputError(
                f"{where}: has one concept; a probe tells a concept from others: build it with -k 2 or more"
            )


def _model_of(store: ConceptStore, model: str | None) -> str:
    """Give the store's name of a model; a folder is named by its last part."""
    if model is not None and model not in store.models and Path(model).is_dir():
        return chosen_model(store, Path(model).resolve().name)
    return chosen_model(store, model)


def _revision(store: ConceptStore, model: str) -> str:
    return str(store.manifest["models"][model]["revision"])


def _open_encoder(store: ConceptStore, name: str, model: str, device: str | None) -> WordEncoder:
    """Open the model that the store's vectors are from.

    Parameters
    ----------
    name : of the model in the store.
    model : the name or folder that it is loaded from.

    Raises
    ------
    InputError
        if it cannot be loaded, or has other weights.
    """
    entry = store.manifest["models"][name]
    try:
        encoder = WordEncoder(model, pooling=entry["pooling"], max_length=entry["max_length"], device=device)
    except InputError as error:
        raise InputError(
            f"{error} Probes of gold concepts need the model that {store.path} was built with: name its folder with "
            "--model"
        ) from error
    if encoder.revision != entry["revision"]:
        raise InputError(
            f"--model {model}: has other weights ({encoder.revision}) than the {name} of {store.path} "
            f"({entry['revision']}): give that one, or build the store again"
        )
    return encoder


def _label_encoder(model: str, options: ProbingOptions, progress: Progress) -> dict[str, str] | None:
    """Name the encoder that compares labels with words in the study: another one than the one that was clustered.

    It is opened here already, since missing weights should be noticed before any work.
    """
    if options.study is None:
        return None
    name = SMOLLM2 if model == MINILM else MINILM
    similarity = Similarity(name, progress, options.device)
    return {"model": name, "name": similarity.name, "digest": similarity.digest}


def _gold_key(store: ConceptStore, encoder: WordEncoder, options: ProbingOptions) -> str:
    """Digest what the tokens and vectors of gold concepts depend on."""
    parts = f"{options.corpus}\n{options.text_column}\n{encoder.revision}\n{options.seed}\n{store.path}"
    return hashlib.sha256(parts.encode()).hexdigest()
