"""The report on a store: one HTML page that opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup, escape

from conceptbench.benchmark.store import ConceptStore
from conceptbench.runtime.files import write_text

_WORDS = 30
_CONTEXTS = 3
_AROUND = 12
_BINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def write_report(store: ConceptStore, path: Path, *, per_layer: int | None = None) -> None:
    """Write an HTML page on a store: layers, sizes, and concepts with label, words and contexts.

    Parameters
    ----------
    per_layer : show this many concepts a layer at most (the largest ones); all by default.

    Examples
    --------
    >>> import tempfile
    >>> import conceptbench
    >>> text = "The cat sat on the mat .\\nThe dog sat on the rug .\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "text.txt").write_text(text)
    ...     store = conceptbench.build(
    ...         corpus=f"{folder}/text.txt", layers="1", k=2, min_count=1, out=f"{folder}/store"
    ...     )
    ...     write_report(store, Path(folder, "report.html"))
    ...     "minilm/L01/C0001" in Path(folder, "report.html").read_text(encoding="utf-8")
    True
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.builders", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    layers = [_layer(store, model, layer, per_layer) for model in store.models for layer in store.layers(model)]
    used = [i for i in range(len(_BINS)) if any(layer["sizes"][i] for layer in layers)]
    page = environment.get_template("report.html.jinja").render(
        manifest=store.manifest,
        models=store.models,
        annotators=list(dict.fromkeys(entry["annotator"] for entry in store.manifest["annotators"])),
        layers=layers,
        total=sum(layer["concepts"] for layer in layers),
        labelled=sum(layer["labelled"] for layer in layers),
        bins=[(i, name) for i, name in enumerate(_bin_names()) if i in used],
        most=max(max(layer["sizes"]) for layer in layers),
    )
    write_text(path, page)


def _layer(store: ConceptStore, model: str, layer: int, most: int | None) -> dict[str, Any]:
    table = store.concepts(model, layer)
    sizes = table["size"].to_numpy()
    rows = table.take(np.sort(np.argsort(-sizes, kind="stable")[:most])).to_pylist()
    contexts = _contexts(store, model, layer, [row["concept"] for row in rows])
    return {
        "model": model,
        "layer": layer,
        "concepts": len(table),
        "labelled": len(table) - table["label"].null_count,
        "cohesion": float(np.mean(table["cohesion"].to_numpy())),
        "median_size": float(np.median(sizes)),
        "sizes": np.histogram(sizes, bins=[*_BINS, np.inf])[0].tolist(),
        "shown": [
            {
                **row,
                "more": max(0, len(row["words"]) - _WORDS),
                "words": row["words"][:_WORDS],
                "contexts": contexts[row["concept"]],
            }
            for row in rows
        ],
    }


def _contexts(store: ConceptStore, model: str, layer: int, concepts: Sequence[str]) -> dict[str, list[Markup]]:
    """Give each concept up to three of its tokens in their sentence, marked, spread over its occurrences."""
    rows = store.occurrences(model, layer).to_pylist()
    of_concept: dict[str, list[dict[str, Any]]] = {concept: [] for concept in concepts}
    for row in rows:
        if row["concept"] in of_concept:
            of_concept[row["concept"]].append(row)
    chosen = {
        concept: [tokens[i * len(tokens) // _CONTEXTS] for i in range(_CONTEXTS)] if len(tokens) > _CONTEXTS else tokens
        for concept, tokens in of_concept.items()
    }
    numbers = sorted({row["sentence"] for tokens in chosen.values() for row in tokens})
    texts = store.sentences()
    text_of = dict(zip(numbers, pc.take(texts["text"], numbers).to_pylist(), strict=True))
    return {
        concept: [
            _marked(text.split(" "), row["position"])
            for row in tokens
            if (text := text_of[row["sentence"]]) is not None
        ]
        for concept, tokens in chosen.items()
    }


def _marked(words: list[str], position: int) -> Markup:
    start, end = max(0, position - _AROUND), position + _AROUND + 1
    before = ("… " if start else "") + " ".join(words[start:position])
    after = " ".join(words[position + 1 : end]) + (" …" if end < len(words) else "")
    return Markup("{} <mark>{}</mark> {}").format(before, words[position], escape(after))


def _bin_names() -> list[str]:
    ranges = [str(low) if high == low + 1 else f"{low}–{high - 1}" for low, high in pairwise(_BINS)]
    return [*ranges, f"{_BINS[-1]}+"]
