"""The dataset card: the README.md of a store and of what is published of it, with the configs that `datasets` reads."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Mapping
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from conceptbench.benchmark.schema import TABLES, slug
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.harness import GOLD, GOLD_CONFIG, GOLD_FILE, GOLD_SPLIT
from conceptbench.runtime.files import write_text

UNKNOWN_LICENCE = "other"

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_METHODS = {"ward": "Ward clustering", "kmeans": "k-means", "tcn": "the published clustering"}
_ROWS = {
    "concepts": "a concept: its words with counts, size, label, cohesion",
    "occurrences": "a token in a concept; row i is leaf i of the layer's tree",
    "trees": "a merge of Ward clustering, in scipy's linkage columns",
    "annotations": "an attempt to name a concept: a label, or the reason there is none",
    "sentences": 'a sentence; the word at `position` is `text.split(" ")[position]`',
    GOLD_CONFIG: "a word list whose right name is known (split `test`)",
}


def write_card(store: ConceptStore) -> None:
    """Write a store's README.md."""
    write_text(store.path / "README.md", render_card(store))


def render_card(
    store: ConceptStore, *, repo: str | None = None, licence: str | None = None, gold: bytes | None = None
) -> str:
    """Give the card of what a store's manifest names.

    Each config's description holds a digest of its files: `datasets` caches a local folder by its name and
    this text, so without it a rewritten store would give old rows.

    Parameters
    ----------
    repo : where it is published; where it is not, the card speaks of a folder.
    licence : the licence's id on the Hub; by default `other`.
    gold : the file of the gold items, where they go with it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.builders", ""),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  (Markdown, not HTML)
    )
    licence = licence or UNKNOWN_LICENCE
    models = [_model(store, name) for name in store.models]
    files = {**store.manifest["files"], **_gold_file(gold)}
    concepts = sum(model["concepts"] for model in models)
    header = {
        "pretty_name": f"Latent concepts of {', '.join(store.models)}",
        "license": licence,
        "size_categories": [next((name for most, name in _SIZES if concepts < most), "n>1M")],
        "task_categories": ["feature-extraction"],
        "tags": ["interpretability", "latent-concepts", "conceptbench"],
        **_configs(store.models, files),
    }
    return environment.get_template("card.md.jinja").render(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000),
        repo=repo,
        licence=licence,
        models=models,
        concepts=concepts,
        method=" and ".join(_METHODS[method] for method in sorted({model["clustering"] for model in models})),
        annotators=list(dict.fromkeys(f"`{entry['annotator']}`" for entry in store.manifest["annotators"])),
        version=importlib.metadata.version("conceptbench"),
        corpus=store.manifest["corpus"],
        preset=store.manifest.get("preset"),
        referred=repo is not None and store.manifest["corpus"].get("text") == "referred",
        tables=[
            {"name": name, "rows": _count(store, table_files, gold), "files": len(table_files), "row": row}
            for name, row in _ROWS.items()
            if (table_files := [path for path in files if _table_of(path) == name])
        ],
        gold=gold is not None,
    )


def _model(store: ConceptStore, name: str) -> dict[str, Any]:
    layers = store.layers(name)
    labels = [store.concepts(name, layer)["label"] for layer in layers]
    return {
        "name": name,
        "slug": slug(name),
        "layers": layers,
        "concepts": sum(len(column) for column in labels),
        "labelled": sum(len(column) - column.null_count for column in labels),
        "tokens": store.manifest["models"][name]["kept"],
        "clustering": store.manifest["models"][name]["clustering"],
    }


def _configs(models: list[str], files: Mapping[str, str]) -> dict[str, Any]:
    """Give `configs` and `dataset_info`: one a table, one a table and model where there are several, one for gold."""
    patterns = {table: (table, f"{table}/*/*.parquet") for table in TABLES}
    patterns["sentences"] = ("sentences", "sentences.parquet")
    if len(models) > 1:
        for table in TABLES:
            if table != "sentences":
                patterns |= {f"{table}-{slug(m)}": (table, f"{table}/{slug(m)}/*.parquet") for m in models}
    patterns[GOLD_CONFIG] = (GOLD_CONFIG, GOLD_FILE)
    configs, infos = [], []
    for name, (table, pattern) in patterns.items():
        start = pattern.partition("*")[0]
        digests = [f"{path} {sha256}" for path, sha256 in sorted(files.items()) if path.startswith(start)]
        if not digests:
            continue
        split = GOLD_SPLIT if name == GOLD_CONFIG else "train"
        configs.append(
            {
                "config_name": name,
                **({"default": True} if name == "concepts" else {}),
                "description": f"sha256 of its files: {hashlib.sha256(chr(10).join(digests).encode()).hexdigest()}",
                "data_files": [{"split": split, "path": pattern}],
            }
        )
        infos.append({"config_name": name, "features": _features(GOLD if table == GOLD_CONFIG else TABLES[table])})
    return {"dataset_info": infos, "configs": configs}


def _features(schema: pa.Schema) -> list[dict[str, Any]]:
    """Describe columns as `datasets` does in YAML."""
    return [
        {"name": field.name, "list": _features(pa.schema(list(field.type.value_type)))}
        if pa.types.is_list(field.type)
        else {"name": field.name, "dtype": str(field.type).replace("double", "float64")}
        for field in schema
    ]


def _table_of(path: str) -> str:
    return path.partition("/")[0].removesuffix(".parquet")


def _gold_file(gold: bytes | None) -> dict[str, str]:
    return {} if gold is None else {GOLD_FILE: hashlib.sha256(gold).hexdigest()}


def _count(store: ConceptStore, paths: list[str], gold: bytes | None) -> int:
    sources = [io.BytesIO(gold) if gold and path == GOLD_FILE else store.path / path for path in paths]
    return sum(pq.read_metadata(source).num_rows for source in sources)
