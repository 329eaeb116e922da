"""The store's README.md: a dataset card with the configs that `datasets` reads."""

from __future__ import annotations

import hashlib
import importlib.metadata
from typing import Any

import jinja2

from conceptbench.benchmark.schema import TABLES
from conceptbench.benchmark.store import ConceptStore
from conceptbench.runtime.files import sha256, write_text

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(store: ConceptStore) -> None:
    """Write README.md for what the store holds.

    Each config's description holds a digest of its files: `datasets` caches a local folder by its name and
    this text, so without it a rewritten store would give old rows.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.builders", ""),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (Markdown, not HTML)
    )
    write_text(store.path / "README.md", environment.get_template("card.md.jinja").render(_contents(store)))


def _contents(store: ConceptStore) -> dict[str, Any]:
    rows = [_row(store, model) for model in store.models]
    concepts = sum(row["concepts"] for row in rows)
    methods = {entry["clustering"] for entry in store.manifest["models"].values()}
    names = {"ward": "Ward clustering", "kmeans": "k-means", "tcn": "the published clustering"}
    annotators = [f"`{entry['annotator']}`" for entry in store.manifest["annotators"]]
    return {
        "name": "Latent concepts of " + ", ".join(store.models),
        "models": store.models,
        "method": " and ".join(names[method] for method in sorted(methods)),
        "annotators": list(dict.fromkeys(annotators)),
        "version": importlib.metadata.version("conceptbench"),
        "concepts": concepts,
        "size_category": next((name for most, name in _SIZES if concepts < most), "n>1M"),
        "first_layer": store.layers(store.models[0])[0],
        "rows": rows,
        "corpus": store.manifest["corpus"],
        "configs": [config for table in TABLES if (config := _config(store, table)) is not None],
        "has_trees": (store.path / "trees").is_dir(),
    }


def _row(store: ConceptStore, model: str) -> dict[str, Any]:
    layers = store.layers(model)
    labels = [store.concepts(model, layer)["label"] for layer in layers]
    return {
        "model": model,
        "layers": ", ".join(map(str, layers)),
        "concepts": sum(len(column) for column in labels),
        "labelled": sum(len(column) - column.null_count for column in labels),
        "tokens": store.manifest["models"][model]["kept"],
    }


def _config(store: ConceptStore, table: str) -> dict[str, Any] | None:
    pattern = "sentences.parquet" if table == "sentences" else f"{table}/*/*.parquet"
    files = sorted(store.path.glob(pattern))
    if not files:
        return None
    names = "\n".join(f"{file.relative_to(store.path).as_posix()} {sha256(file)}" for file in files)
    return {
        "name": table,
        "default": table == "concepts",
        "path": pattern,
        "description": f"sha256 of its files: {hashlib.sha256(names.encode()).hexdigest()}",
    }
