"""The concept store: a folder that is a build's output and a Hub dataset at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.schema import (
    ANNOTATIONS,
    CONCEPTS,
    OCCURRENCES,
    SENTENCES,
    STORE_SCHEMA,
    TREES,
    layer_file,
    slug,
)
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import whole


@dataclass(frozen=True)
class ConceptStore:
    """An opened concept store; open one with `ConceptStore.open`.

    Row i of a layer's occurrences is leaf i of its tree and row i of its vectors.
    """

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> ConceptStore:
        """Open a store and check that it is one of this version.

        Raises
        ------
        InputError
            if there is no store there, or one of another version.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        if manifest is None:
            what = "is not a concept store (no manifest.json)" if folder.is_dir() else "does not exist"
            raise InputError(f"{folder} {what}: make one with `conceptbench build --out {folder}`")
        return cls(folder, manifest)

    @property
    def models(self) -> list[str]:
        """The names of the models whose concepts the store has."""
        return list(self.manifest["models"])

    def layers(self, model: str) -> list[int]:
        """The layers of a model whose concepts the store has.

        Raises
        ------
        InputError
            if the store has no such model.
        """
        self._require(model)
        files = (self.path / "concepts" / slug(model)).glob("L*.parquet")
        return sorted(int(file.stem[1:]) for file in files)

    def concepts(self, model: str, layer: int) -> pa.Table:
        """The concepts of a layer, one row each."""
        return self._read("concepts", model, layer, CONCEPTS)

    def occurrences(self, model: str, layer: int) -> pa.Table:
        """The tokens of a layer with the concept that each is in."""
        return self._read("occurrences", model, layer, OCCURRENCES)

    def annotations(self, model: str, layer: int) -> pa.Table:
        """Every attempt to name a concept of a layer."""
        return self._read("annotations", model, layer, ANNOTATIONS)

    def linkage(self, model: str, layer: int) -> np.ndarray:
        """The layer's merge tree in scipy's linkage convention, shape (tokens - 1, 4).

        Raises
        ------
        InputError
            if the layer was clustered by a method that has no tree.
        """
        table = self._read("trees", model, layer, TREES)
        return np.column_stack([table[name].to_numpy().astype(float) for name in TREES.names])

    def sentences(self) -> pa.Table:
        """All sentences; `text.split(" ")[position]` is the word at a position.

        Where a store was published without its text, every `text` is null.
        """
        return read_table(self.path / "sentences.parquet", SENTENCES)

    def vectors(self, model: str, layer: int) -> np.ndarray:
        """The layer's vectors, float32 of shape (tokens, width), mapped from disk.

        Raises
        ------
        InputError
            if the vectors were not kept. They are never published.
        """
        self._require(model)
        path = self.path / "vectors" / slug(model) / f"L{layer:02d}.npy"
        if not path.exists():
            raise InputError(
                f"{path} does not exist: vectors are kept only where a store was built; run the "
                "`conceptbench build` command of manifest.json to make them again"
            )
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    def _read(self, table: str, model: str, layer: int, schema: pa.Schema) -> pa.Table:
        self._require(model)
        path = self.path / table / slug(model) / layer_file(layer)
        if not path.exists() and layer not in self.layers(model):
            raise InputError(f"{self.path} has no layer {layer} of {model}; it has {self.layers(model)}")
        return read_table(path, schema)

    def _require(self, model: str) -> None:
        if model not in self.models:
            raise InputError(f"{self.path} has no model {model!r}; it has {', '.join(self.models) or 'none'}")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read a store's manifest; None if there is none.

    Raises
    ------
    InputError
        if it is not the manifest of a store of this version.
    """
    path = folder / "manifest.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): restore it, or build into another folder") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    manifest: dict[str, Any] = content if isinstance(content, dict) else {}
    schema = manifest.get("schema")
    if schema != STORE_SCHEMA:
        raise InputError(
            f"{folder} is a store of another version ({schema!r}; this one reads {STORE_SCHEMA!r}): build into "
            "another folder, or use the version of ConceptBench that made it"
        )
    if not isinstance(manifest.get("models"), dict):
        raise InputError(f"{path}: there is no object under `models`: restore it, or build into another folder")
    return manifest


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a parquet file and check its columns.

    Raises
    ------
    InputError
        if the file is missing, damaged, or has other columns.
    """
    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if table.schema.names != schema.names:
        raise InputError(f"{path}: the columns are {table.schema.names}, not {schema.names}")
    try:
        return table.cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def write_table(path: Path, schema: pa.Schema, columns: dict[str, Iterable[Any] | pa.Array]) -> None:
    """Write a parquet file of the given columns. A failure leaves no part of it; equal rows give equal bytes."""
    arrays = [
        columns[field.name]
        if isinstance(columns[field.name], pa.Array | pa.ChunkedArray)
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    with whole(path) as temporary:
        pq.write_table(pa.table(arrays, schema=schema), temporary, compression="zstd")
