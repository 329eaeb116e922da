"""Loading concepts from a store on disk or on the Hub as a `datasets.Dataset`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.schema import CONCEPTS, layer_file, slug
from conceptbench.benchmark.store import ConceptStore, read_manifest, read_table
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import sha256

_FEATURES = datasets.Features.from_arrow_schema(CONCEPTS)
_DOWNLOADS = 8


def load_concepts(
    source: str | Path,
    model: str | None = None,
    layer: int | None = None,
    streaming: bool = False,
    *,
    revision: str | None = None,
) -> datasets.Dataset | datasets.IterableDataset:
    """Load annotated concepts, one row each.

    A folder's parquet files are read by path and never cached, so a store that was rewritten, or another
    of the same name, is never confused with an older one. Files of the Hub are kept in its cache, all of one commit,
    and checked against the digests in that commit's manifest; what is in the cache is read without a network.

    Parameters
    ----------
    source : a store's folder or a Hub dataset id.
    model : load only the concepts of this model.
    layer : load only the concepts of this layer.
    streaming : give a `datasets.IterableDataset`, which reads the files while it is iterated over.
    revision : a branch, tag or commit on the Hub; by default the newest commit.

    Raises
    ------
    InputError
        if the store, the model, the layer or the revision does not exist.
    ConceptBenchError
        if the Hub cannot be reached, or a file is not the one that the manifest names.

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
    ...     concepts = load_concepts(store.path, model="minilm", layer=1)
    >>> concepts["concept"][:]
    ['minilm/L01/C0000', 'minilm/L01/C0001']
    """
    if Path(source).is_dir() or _is_path(str(source)):
        if revision is not None:
            raise InputError(f"revision {revision!r}: {source} is a folder; only datasets on the Hub have revisions")
        return _from_folder(ConceptStore.open(source), model, layer, streaming)
    return _from_hub(str(source), model, layer, streaming, revision)


def _from_folder(
    store: ConceptStore, model: str | None, layer: int | None, streaming: bool
) -> datasets.Dataset | datasets.IterableDataset:
    files = [
        str(store.path / "concepts" / slug(name) / layer_file(number))
        for name in ([model] if model is not None else store.models)
        for number in store.layers(name)
        if layer is None or number == layer
    ]
    if not files:
        what = f"layer {layer}" if layer is not None else "concepts"
        raise InputError(f"{store.path} has no {what}" + (f" of {model}" if model else ""))
    if streaming:
        return datasets.IterableDataset.from_generator(
            _rows, features=_FEATURES, gen_kwargs={"files": files}, split=datasets.Split.TRAIN
        )
    table = pa.concat_tables(read_table(Path(file), CONCEPTS) for file in files)
    return datasets.Dataset(datasets.table.InMemoryTable(table), split=datasets.Split.TRAIN)


def _rows(files: list[str]) -> Iterator[dict[str, Any]]:
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches():
                yield from batch.to_pylist()


@dataclass(frozen=True)
class _HubFile:
    """A file of a dataset at a commit, with the digest that its manifest gives."""

    repo: str
    commit: str
    path: str
    sha256: str

    def fetch(self) -> Path:
        """Give the path of the file in the Hub's cache; download it if it is missing or damaged there."""
        for force in (False, True):
            path = _download(self.repo, self.path, self.commit, force=force)
            if sha256(path) == self.sha256:
                return path
        raise ConceptBenchError(
            f"{self.repo}: {self.path} at {self.commit[:8]} is not the file that manifest.json names: somebody changed "
            "it by hand; load another revision, or ask who published it to publish it again"
        )


def _from_hub(
    repo: str, model: str | None, layer: int | None, streaming: bool, revision: str | None
) -> datasets.Dataset | datasets.IterableDataset:
    manifest_file = _download(repo, "manifest.json", revision)
    # The cache has one folder for each commit.
    commit = manifest_file.parent.name
    manifest = read_manifest(manifest_file.parent) or {}
    files = [
        _HubFile(repo, commit, path, digest) for path, digest in _concept_files(repo, manifest, model, layer).items()
    ]
    if streaming:
        return datasets.IterableDataset.from_generator(
            _hub_rows, features=_FEATURES, gen_kwargs={"files": files}, split=datasets.Split.TRAIN
        )
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        paths = list(pool.map(_HubFile.fetch, files))
    table = pa.concat_tables(read_table(path, CONCEPTS) for path in paths)
    return datasets.Dataset(datasets.table.InMemoryTable(table), split=datasets.Split.TRAIN)


def _concept_files(repo: str, manifest: Mapping[str, Any], model: str | None, layer: int | None) -> dict[str, str]:
    """Choose the files of a model and a layer, with their digests."""
    models, files = manifest["models"], manifest.get("files")
    if not isinstance(files, dict):
        raise InputError(f"{repo}: its manifest.json names no files: ask who published it to publish it again")
    if model is not None and model not in models:
        raise InputError(f"{repo} has no model {model!r}; it has {', '.join(models) or 'none'}")
    digests: dict[str, str] = {}
    for name in models if model is None else [model]:
        pattern = rf"concepts/{re.escape(slug(name))}/{r'L[0-9]+.parquet' if layer is None else layer_file(layer)}"
        digests |= {path: str(digest) for path, digest in sorted(files.items()) if re.fullmatch(pattern, path)}
    if not digests:
        what = f"layer {layer}" if layer is not None else "concepts"
        raise InputError(f"{repo} has no {what}" + (f" of {model}" if model else ""))
    return digests


def _hub_rows(files: Sequence[_HubFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        yield from _rows([str(file.fetch())])


def _download(repo: str, path: str, revision: str | None, *, force: bool = False) -> Path:
    from huggingface_hub import hf_hub_download

    from conceptbench.runtime.hub import hub_errors

    at = f" at {revision}" if revision else ""
    with hub_errors(f"{repo}{at} on the Hub (it is no folder here): {path}"):
        return Path(hf_hub_download(repo, path, repo_type="dataset", revision=revision, force_download=force))


def _is_path(source: str) -> bool:
    """Tell a path from a Hub id, which has at most one slash and does not begin with a dot."""
    return source.startswith(("/", ".", "~")) or source.count("/") > 1 or "\\" in source
