"""From clustered tokens to the tables of a store: concepts, occurrences, annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.benchmark.schema import (
    ANNOTATIONS,
    CONCEPTS,
    OCCURRENCES,
    concept_id,
    layer_file,
    slug,
)
from conceptbench.benchmark.store import ConceptStore, read_table, write_table
from conceptbench.builders.annotate import Annotator, ConceptView, annotate
from conceptbench.builders.referred import text_missing
from conceptbench.runtime.progress import Progress

_CHUNK = 8192


def write_concepts(
    folder: Path, model: str, layer: int, tokens: pa.Table, labels: np.ndarray, vectors: np.ndarray
) -> None:
    """Write a layer's concepts, yet without labels, and its occurrences.

    Parameters
    ----------
    tokens : the layer's tokens (`schema.TOKENS`), one a row of `vectors`.
    labels : int array of shape (tokens,), each token's cluster.
    vectors : float array of shape (tokens, width).
    """
    clusters = int(labels.max()) + 1
    ids = [concept_id(model, layer, cluster) for cluster in range(clusters)]
    write_table(
        folder / "concepts" / slug(model) / layer_file(layer),
        CONCEPTS,
        {
            "concept": ids,
            "model": [model] * clusters,
            "layer": [layer] * clusters,
            "cluster": range(clusters),
            **sizes_and_words(tokens["word"].to_pylist(), labels),
            "label": [None] * clusters,
            "cohesion": cohesion(vectors, labels),
        },
    )
    # Written last: the layer counts as clustered once its occurrences are there.
    write_table(
        folder / "occurrences" / slug(model) / layer_file(layer),
        OCCURRENCES,
        {
            "concept": pa.array(ids).take(pa.array(labels)),
            **{name: tokens[name].combine_chunks() for name in ("word", "sentence", "position")},
        },
    )


def sizes_and_words(words: Sequence[str], labels: np.ndarray) -> dict[str, list[Any]]:
    """Count each cluster's tokens and its words, most frequent first, as the columns `size` and `words`."""
    counts: list[Counter[str]] = [Counter() for _ in range(int(labels.max()) + 1)]
    for cluster, word in zip(labels.tolist(), words, strict=True):
        counts[cluster][word] += 1
    ranked = [sorted(counter.items(), key=lambda item: (-item[1], item[0])) for counter in counts]
    return {
        "size": [counter.total() for counter in counts],
        "words": [[{"word": word, "count": count} for word, count in cluster_words] for cluster_words in ranked],
    }


def cohesion(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each cluster's cohesion, float64 of shape (clusters,).

    It is 1 - (mean squared distance of its tokens to their mean) / (the same over all tokens of the layer):
    1 for equal vectors, 0 for a cluster as wide as the layer.
    """
    clusters = int(labels.max()) + 1
    sums = np.zeros((clusters, vectors.shape[1]))
    squares = np.zeros(clusters)
    counts = np.bincount(labels, minlength=clusters)
    centre = np.asarray(vectors[:_CHUNK], dtype=np.float64).mean(axis=0)
    for start in range(0, len(labels), _CHUNK):
        part = labels[start : start + _CHUNK]
        rows = np.asarray(vectors[start : start + _CHUNK], dtype=np.float64) - centre
        np.add.at(sums, part, rows)
        squares += np.bincount(part, np.square(rows).sum(axis=1), clusters)
    within = np.maximum(squares / counts - np.square(sums / counts[:, None]).sum(axis=1), 0.0)
    overall = squares.sum() / len(labels) - np.square(sums.sum(axis=0) / len(labels)).sum()
    if overall <= 0.0:
        return np.ones(clusters)
    result: np.ndarray = 1.0 - within / overall
    return result


def annotate_layer(
    store: ConceptStore,
    model: str,
    layer: int,
    annotator: Annotator,
    primary: tuple[str, str],
    progress: Progress,
) -> int:
    """Name a layer's concepts, unless this annotator has done so, and set their labels.

    A layer with attempts that failed is asked again; the journal holds the answers of the others. The
    labels are those of the annotator and prompt in `primary`.

    Returns
    -------
    int
        the number of concepts that could not be asked.
    """
    path = store.path / "annotations" / slug(model) / layer_file(layer)
    before = read_table(path, ANNOTATIONS).to_pylist() if path.exists() else []
    signature = (annotator.name, annotator.prompt)
    rows_of = _by_annotator(before)
    if signature not in rows_of or _failed(rows_of[signature]):
        views = concept_views(store, model, layer, annotator.contexts)
        attempts = annotate(views, annotator, progress, f"Naming layer {layer} with {annotator.name}")
        rows_of[signature] = [
            {"concept": view.concept, "annotator": annotator.name, "attempt": number, **vars(attempt)}
            for view, tries in zip(views, attempts, strict=True)
            for number, attempt in enumerate(tries)
        ]
        rows = [row for group in rows_of.values() for row in group]
        write_table(path, ANNOTATIONS, {name: [row[name] for row in rows] for name in ANNOTATIONS.names})
    if primary in rows_of:
        _set_labels(store, model, layer, rows_of[primary])
    return _failed(rows_of[signature])


def concept_views(store: ConceptStore, model: str, layer: int, contexts: int) -> list[ConceptView]:
    """Give what annotators see of a layer's concepts, with up to `contexts` sentences each.

    The sentences of a concept are spread over its occurrences; a sentence is shown once.
    """
    concepts = store.concepts(model, layer)
    sentences_of = _contexts(store, model, layer, contexts) if contexts else {}
    return [
        ConceptView(
            concept,
            tuple((word["word"], word["count"]) for word in words),
            sentences_of.get(concept, ()),
        )
        for concept, words in zip(concepts["concept"].to_pylist(), concepts["words"].to_pylist(), strict=True)
    ]


def _contexts(store: ConceptStore, model: str, layer: int, most: int) -> dict[str, tuple[str, ...]]:
    occurrences = store.occurrences(model, layer)
    sentences: dict[str, list[int]] = {}
    pairs = zip(occurrences["concept"].to_pylist(), occurrences["sentence"].to_pylist(), strict=True)
    for concept, sentence in dict.fromkeys(pairs):
        sentences.setdefault(concept, []).append(sentence)
    chosen = {concept: _spread(numbers, most) for concept, numbers in sentences.items()}
    needed = sorted({number for numbers in chosen.values() for number in numbers})
    texts = pc.take(store.sentences()["text"], pa.array(needed)).to_pylist()
    if None in texts:
        raise text_missing(store)
    text_of = dict(zip(needed, texts, strict=True))
    return {concept: tuple(text_of[number] for number in numbers) for concept, numbers in chosen.items()}


def _spread(values: Sequence[int], most: int) -> list[int]:
    if len(values) <= most:
        return list(values)
    return [values[i * len(values) // most] for i in range(most)]


def _by_annotator(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Group the rows by annotator and the prompt of the first attempt, in their order."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    key = ("", "")
    for row in rows:
        if row["attempt"] == 0:
            key = (row["annotator"], row["prompt"])
        groups.setdefault(key, []).append(row)
    return groups


def _failed(rows: Sequence[dict[str, Any]]) -> int:
    return sum(row["reason"] == "failed" for row in rows)


def _set_labels(store: ConceptStore, model: str, layer: int, rows: Sequence[dict[str, Any]]) -> None:
    labels = {row["concept"]: row["label"] for row in rows}
    concepts = store.concepts(model, layer)
    new_labels = [labels.get(concept) for concept in concepts["concept"].to_pylist()]
    if concepts["label"].to_pylist() != new_labels:
        columns = {name: concepts[name].combine_chunks() for name in CONCEPTS.names}
        write_table(
            store.path / "concepts" / slug(model) / layer_file(layer), CONCEPTS, {**columns, "label": new_labels}
        )
