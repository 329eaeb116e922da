"""Loading concepts from a store on disk or on the Hub as a `datasets.Dataset`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.schema import CONCEPTS, layer_file, slug
from conceptbench.benchmark.store import ConceptStore, read_table
from conceptbench.runtime.errors import ConceptBenchError, InputError

_FEATURES = datasets.Features.from_arrow_schema(CONCEPTS)


def load_concepts(
    source: str | Path,
    model: str | None = None,
    layer: int | None = None,
    streaming: bool = False,
) -> datasets.Dataset | datasets.IterableDataset:
    """Load annotated concepts, one row each.

    A folder's parquet files are read by path and never cached, so a store that was rewritten, or another
    of the same name, is never confused with an older one.

    Parameters
    ----------
    source : a store's folder or a Hub dataset id.
    model : only this model's concepts.
    layer : only this layer's concepts.
    streaming : give a `datasets.IterableDataset` that reads as it goes.

    Raises
    ------
    InputError
        if the store, the model or the layer does not exist.
    ConceptBenchError
        if the Hub cannot be reached.
    """
    if Path(source).is_dir() or _is_path(str(source)):
        return _from_folder(ConceptStore.open(source), model, layer, streaming)
    return _from_hub(str(source), model, layer, streaming)


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
        wanted = f"layer {layer}" if layer is not None else "concepts"
        raise InputError(f"{store.path} has no {wanted}" + (f" of {model}" if model else ""))
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


def _from_hub(
    name: str, model: str | None, layer: int | None, streaming: bool
) -> datasets.Dataset | datasets.IterableDataset:
    files = f"concepts/{slug(model) if model else '*'}/{layer_file(layer) if layer is not None else '*.parquet'}"
    try:
        return datasets.load_dataset(
            name, data_files={"train": files}, split="train", streaming=streaming, features=_FEATURES
        )
    except datasets.exceptions.DataFilesNotFoundError as error:
        raise InputError(f"{name} on the Hub has no file {files}") from error
    except datasets.exceptions.DatasetNotFoundError as error:
        raise InputError(
            f"{name} is neither a folder here nor a dataset on the Hub that you can see: {error}"
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise ConceptBenchError(f"{name} cannot be read from the Hub: {error}") from error


def _is_path(source: str) -> bool:
    """Tell a path from a Hub id, which has one slash at most and no dots alone between them."""
    return source.startswith(("/", ".", "~")) or source.count("/") > 1 or "\\" in source
