"""Reading the published TCN files (Mousi et al. 2023) into a store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.schema import (
    ANNOTATIONS,
    CONCEPTS,
    OCCURRENCES,
    SENTENCES,
    STORE_SCHEMA,
    concept_id,
    layer_file,
    slug,
)
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.builders.concepts import sizes_and_words
from conceptbench.builders.workspace import finish_store, new_folder, versions
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256
from conceptbench.runtime.progress import Progress, Silent

ANNOTATOR = "file:annotations.json"
_FIELDS = 5
_CLUSTERS = "clusters-*.txt"


@dataclass(frozen=True)
class _Layer:
    model: str
    number: int
    clusters: Path
    annotations: Path | None


def import_tcn(source: str | Path, out: str | Path, *, progress: Progress | None = None) -> ConceptStore:
    """Read the published TCN files into a new store.

    `source` is a model's folder, or holds several: in each `sentences.json` (a list of tokenised sentences)
    and a folder a layer, `layer0` and so on, with `clusters-600.txt` (a token a line,
    `word|||count|||sentence|||position|||cluster`) and `annotations.json` (`c<cluster>` to label).

    There are no vectors in these files, so the concepts' cohesion is null, and no merge trees.

    Raises
    ------
    InputError
        if a file is missing or a line is not of that form, with its number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     layer = Path(folder, "tcn/bert/layer9")
    ...     layer.mkdir(parents=True)
    ...     _ = layer.with_name("sentences.json").write_text('["Cats sleep .", "Dogs bark ."]')
    ...     _ = Path(layer, "clusters-600.txt").write_text("Cats|||1|||0|||0|||7\\nDogs|||1|||1|||0|||7\\n")
    ...     _ = Path(layer, "annotations.json").write_text('{"c7": "animals"}')
    ...     store = import_tcn(f"{folder}/tcn", f"{folder}/store")
    ...     store.concepts("bert", 9).select(["concept", "size", "label"]).to_pylist()
    [{'concept': 'bert/L09/C0007', 'size': 2, 'label': 'animals'}]
    """
    progress = progress or Silent()
    models = _find(Path(source))
    texts: list[str] = []
    offsets: dict[tuple[str, ...], int] = {}
    sentences_of: dict[str, tuple[str, ...]] = {}
    for name, (sentences_file, _) in models.items():
        sentences_of[name] = _read_sentences(sentences_file)
        # Models that share their sentences share their rows.
        if sentences_of[name] not in offsets:
            offsets[sentences_of[name]] = len(texts)
            texts.extend(sentences_of[name])
    with new_folder(Path(out)) as folder:
        write_table(folder / "sentences.parquet", SENTENCES, {"sentence": range(len(texts)), "text": texts})
        entries = {}
        for name, (sentences_file, layers) in models.items():
            with progress.stage(f"Reading {name}", len(layers)) as advance:
                tokens = 0
                for layer in layers:
                    tokens = _import_layer(folder, layer, sentences_of[name], offsets[sentences_of[name]])
                    advance(1)
            files = [sentences_file, *(layer.clusters for layer in layers)]
            files += [layer.annotations for layer in layers if layer.annotations is not None]
            entries[name] = {"clustering": "tcn", "source_sha256": sha256(*files), "kept": tokens}
        manifest: dict[str, Any] = {
            "schema": STORE_SCHEMA,
            "complete": False,
            "corpus": {"name": "TCN (Mousi et al. 2023)", "sentences": len(texts)},
            "models": entries,
            "annotators": [{"annotator": ANNOTATOR, "prompt": "", "sha256": {}}],
            "versions": versions(),
            "seconds": {},
            "usage": {},
        }
        finish_store(ConceptStore(folder, manifest))
    return ConceptStore.open(out)


def _find(source: Path) -> dict[str, tuple[Path, list[_Layer]]]:
    """Find the models below a folder, each with its sentences and its layers."""
    if not source.is_dir():
        raise InputError(f"{source} is not a folder: give the one that holds the published TCN files")
    folders = [source] if _layers(source) else sorted(path for path in source.iterdir() if path.is_dir())
    models = {}
    for folder in folders:
        layers = _layers(folder)
        if not layers:
            continue
        sentences = folder / "sentences.json"
        if not sentences.is_file():
            sentences = source / "sentences.json"
        if not sentences.is_file():
            raise InputError(f"{folder} has no sentences.json")
        models[folder.resolve().name] = (sentences, layers)
    if not models:
        raise InputError(
            f"{source} holds no TCN files: there is no folder <model>/layer<number> with a clusters-<K>.txt in it"
        )
    return models


def _layers(folder: Path) -> list[_Layer]:
    layers = []
    for path in folder.glob("layer*"):
        match = re.fullmatch(r"layer[-_]?(\d+)", path.name)
        clusters = sorted(path.glob(_CLUSTERS))
        if match is None or not clusters:
            continue
        if len(clusters) > 1:
            raise InputError(f"{path} holds several files {_CLUSTERS}: leave the one to read")
        annotations = path / "annotations.json"
        layers.append(
            _Layer(folder.resolve().name, int(match[1]), clusters[0], annotations if annotations.is_file() else None)
        )
    return sorted(layers, key=lambda layer: layer.number)


def _import_layer(folder: Path, layer: _Layer, texts: Sequence[str], offset: int) -> int:
    """Write one layer's tables; give the number of its tokens."""
    words, sentences, positions, clusters = _read_clusters(layer.clusters, texts, offset)
    numbers = sorted(set(clusters))
    ids = {number: concept_id(layer.model, layer.number, number) for number in numbers}
    labels = _read_annotations(layer.annotations) if layer.annotations is not None else {}
    unknown = sorted(set(labels) - set(numbers))
    if unknown:
        raise InputError(f"{layer.annotations}: c{unknown[0]} is no cluster of {layer.clusters}")
    index = {number: i for i, number in enumerate(numbers)}
    rows = sizes_and_words(words, np.array([index[cluster] for cluster in clusters]))
    path_parts = (slug(layer.model), layer_file(layer.number))
    write_table(
        folder.joinpath("concepts", *path_parts),
        CONCEPTS,
        {
            "concept": [ids[number] for number in numbers],
            "model": [layer.model] * len(numbers),
            "layer": [layer.number] * len(numbers),
            "cluster": numbers,
            **rows,
            "label": [labels.get(number) for number in numbers],
            "cohesion": pa.nulls(len(numbers), pa.float64()),
        },
    )
    write_table(
        folder.joinpath("occurrences", *path_parts),
        OCCURRENCES,
        {
            "concept": [ids[cluster] for cluster in clusters],
            "word": words,
            "sentence": sentences,
            "position": positions,
        },
    )
    if labels:
        write_table(folder.joinpath("annotations", *path_parts), ANNOTATIONS, _annotation_rows(ids, labels))
    return len(words)


def _annotation_rows(ids: dict[int, str], labels: dict[int, str]) -> dict[str, Iterable[Any]]:
    count = len(labels)
    return {
        "concept": [ids[number] for number in labels],
        "annotator": [ANNOTATOR] * count,
        "prompt": [""] * count,
        "attempt": [0] * count,
        "label": list(labels.values()),
        "reason": [None] * count,
        "raw": list(labels.values()),
        "tokens_in": [0] * count,
        "tokens_out": [0] * count,
    }


def _read_clusters(path: Path, texts: Sequence[str], offset: int) -> tuple[list[str], list[int], list[int], list[int]]:
    words: list[str] = []
    columns: tuple[list[int], list[int], list[int]] = ([], [], [])
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        # The word itself may be made of bars, so the fields are read from the right.
        fields = line.rstrip("\r").rsplit("|||", _FIELDS - 1)
        try:
            _, sentence, position, cluster = map(int, fields[1:])
        except ValueError:
            raise InputError(
                f"{path}, line {number}: not of the form word|||count|||sentence|||position|||cluster"
            ) from None
        if not 0 <= sentence < len(texts) or cluster < 0:
            raise InputError(f"{path}, line {number}: sentence {sentence} is not in sentences.json")
        if not 0 <= position < len(texts[sentence].split(" ")):
            raise InputError(f"{path}, line {number}: sentence {sentence} has no word at position {position}")
        words.append(fields[0])
        for column, value in zip(columns, (sentence + offset, position, cluster), strict=True):
            column.append(value)
    if not words:
        raise InputError(f"{path} is empty")
    return words, *columns


def _read_annotations(path: Path) -> dict[int, str]:
    """Read `c<cluster>` to label; an empty label is none."""
    values = _json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: not an object from c<cluster> to a label")
    labels = {}
    for key, value in values.items():
        match = re.fullmatch(r"c(\d+)", key)
        if match is None or not isinstance(value, str):
            raise InputError(f"{path}: {key!r} is not c<cluster> with a label")
        labels[int(match[1])] = value.strip()
    return dict(sorted((number, label) for number, label in labels.items() if label))


def _read_sentences(path: Path) -> tuple[str, ...]:
    values = _json(path)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{path}: not a list of sentences")
    # A position counts words between single spaces.
    return tuple(" ".join(value.split()) for value in values)


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
