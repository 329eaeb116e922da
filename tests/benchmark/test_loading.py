"""Loading from the Hub: the real client in a process of its own, against a server on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conceptbench.benchmark.schema import ANNOTATIONS, CONCEPTS, OCCURRENCES, SENTENCES, STORE_SCHEMA
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.builders.workspace import finish_store, versions

LOAD = """
import json, sys
from conceptbench import ConceptBenchError, load_concepts
try:
    print(json.dumps(list(load_concepts(sys.argv[1], **json.loads(sys.argv[2])))))
except ConceptBenchError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def write_store(folder: Path, label: str) -> list[dict[str, Any]]:
    """Write a store of two models with two layers of one concept each; give the concepts."""
    models = ("org/one", "two")
    rows = [
        {
            "concept": f"{model}/L{layer:02d}/C0000",
            "model": model,
            "layer": layer,
            "cluster": 0,
            "size": 2,
            "words": [{"word": "a", "count": 2}],
            "label": f"{label} {layer}",
            "cohesion": 0.5,
        }
        for model in models
        for layer in (0, 3)
    ]
    for row in rows:
        place = Path(row["model"].replace("/", "--")) / f"L{row['layer']:02d}.parquet"
        write_table(folder / "concepts" / place, CONCEPTS, {name: [row[name]] for name in CONCEPTS.names})
        for table, schema in (("occurrences", OCCURRENCES), ("annotations", ANNOTATIONS)):
            write_table(folder / table / place, schema, {name: [] for name in schema.names})
    write_table(folder / "sentences.parquet", SENTENCES, {"sentence": [0], "text": ["a a"]})
    manifest = {
        "schema": STORE_SCHEMA,
        "corpus": {"name": "c", "sentences": 1},
        "models": {model: {"clustering": "ward", "kept": 2} for model in models},
        "annotators": [{"annotator": "lexical", "prompt": "", "sha256": {}}],
        "versions": versions(),
        "seconds": {},
        "usage": {},
    }
    finish_store(ConceptStore(folder, manifest))
    return rows


@pytest.fixture
def hub(tmp_path: Path, load_module: Callable[[Path], ModuleType]) -> Iterator[Any]:
    """A Hub with one dataset, org/news."""
    (tmp_path / "repository").mkdir()
    hub_server = load_module(Path(__file__).parent / "hub_server.py")
    with hub_server.HubServer("org/news", tmp_path / "repository") as server:
        yield server


def load(hub: Any, home: Path, source: str = "org/news", **options: object) -> "list[dict[str, Any]] | str":
    """Load in a process with its own cache: the rows, or what it says of its failure."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, source, json.dumps(options)],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={
            **os.environ,
            "HF_ENDPOINT": hub if isinstance(hub, str) else hub.endpoint,
            "HF_HOME": str(home / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        },
    )
    rows: list[dict[str, Any]] | str = json.loads(done.stdout) if done.returncode == 0 else done.stderr
    return rows


def test_a_dataset_on_the_hub_gives_the_rows_of_its_store(hub: Any, tmp_path: Path) -> None:
    rows = write_store(hub.folder, "label")
    assert load(hub, tmp_path) == rows
    assert load(hub, tmp_path, model="org/one") == rows[:2]
    assert load(hub, tmp_path, model="two", layer=3, streaming=True) == rows[3:]


def test_a_dataset_that_was_published_again_gives_its_new_rows(hub: Any, tmp_path: Path) -> None:
    write_store(hub.folder, "old")
    load(hub, tmp_path, layer=3)
    rows = write_store(hub.folder, "new")
    loaded = load(hub, tmp_path, layer=3)
    assert loaded == [rows[1], rows[3]]


def test_what_is_not_on_the_hub_is_named(hub: Any, tmp_path: Path) -> None:
    write_store(hub.folder, "label")
    assert "InputError: org/news on the Hub has no file concepts/three/*.parquet" in load(hub, tmp_path, model="three")
    assert "InputError: org/gone is neither a folder here nor a dataset on the Hub" in load(hub, tmp_path, "org/gone")
    assert "ConceptBenchError: org/news cannot be read from the Hub" in load("http://127.0.0.1:9", tmp_path)
