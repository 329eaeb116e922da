"""The columns of a concept store's tables, and how its parts are named."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa

from conceptbench.runtime.errors import InputError

STORE_SCHEMA: Final = "conceptbench.store/1"

CONCEPTS: Final = pa.schema(
    [
        ("concept", pa.string()),
        ("model", pa.string()),
        ("layer", pa.int32()),
        ("cluster", pa.int32()),
        ("size", pa.int64()),
        ("words", pa.list_(pa.struct([("word", pa.string()), ("count", pa.int64())]))),
        ("label", pa.string()),
        ("cohesion", pa.float64()),
    ]
)
OCCURRENCES: Final = pa.schema(
    [("concept", pa.string()), ("word", pa.string()), ("sentence", pa.int64()), ("position", pa.int32())]
)
TREES: Final = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("height", pa.float64()), ("size", pa.int64())])
ANNOTATIONS: Final = pa.schema(
    [
        ("concept", pa.string()),
        ("annotator", pa.string()),
        ("prompt", pa.string()),
        ("attempt", pa.int32()),
        ("label", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
    ]
)
SENTENCES: Final = pa.schema([("sentence", pa.int64()), ("text", pa.string())])
TOKENS: Final = pa.schema([("word", pa.string()), ("sentence", pa.int64()), ("position", pa.int32())])

TABLES: Final = {
    "concepts": CONCEPTS,
    "occurrences": OCCURRENCES,
    "trees": TREES,
    "annotations": ANNOTATIONS,
    "sentences": SENTENCES,
}
"""The tables that are published, by config name; `concepts` is the default."""

REASONS: Final = ("refused", "filtered", "unparsable", "failed")
"""Why an annotation has no label."""


def slug(model: str) -> str:
    """Name a model in paths and configs: every character outside `[A-Za-z0-9._]` becomes `--`."""
    return re.sub(r"[^A-Za-z0-9._]", "--", model)


def concept_id(model: str, layer: int, cluster: int) -> str:
    """Name a concept, e.g. `bert-base-cased/L09/C0123`."""
    return f"{model}/L{layer:02d}/C{cluster:04d}"


def layer_file(layer: int) -> str:
    """Name the file that holds one layer's rows of a table."""
    return f"L{layer:02d}.parquet"


def parse_layers(text: str, available: int) -> list[int]:
    """Read `all`, `0,3,6` or `2-5` as layer numbers, sorted, each once.

    Raises
    ------
    InputError
        if it is none of these, or a layer is outside 0 .. available - 1.
    """
    if text.strip() == "all":
        return list(range(available))
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InputError(f"--layers {text!r} is not understood: give `all`, or numbers such as 0,3,6 or 2-5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= available:
            raise InputError(
                f"--layers {text!r}: layer {last} does not exist; this model has layers 0 (embeddings) "
                f"to {available - 1}"
            )
        layers.update(range(first, last + 1))
    return sorted(layers)
