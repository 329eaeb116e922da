"""From chosen tokens to their vectors, on disk, one file a layer."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import ConceptBenchError
from conceptbench.runtime.files import whole, writing_failed
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.progress import Advance, Progress, Silent

_WINDOW = 512
"""The number of sentences between two entries in the journal; they are sorted by length within a window."""
_WINDOW_BYTES = 1 << 28
"""The most bytes of vectors that are held in memory, over all layers."""


@dataclass(frozen=True)
class Alignment:
    """How many chosen tokens a model sees: `cut` lie beyond its maximum length, `unseen` it drops."""

    kept: int
    cut: int
    unseen: int


def align_tokens(
    sentences_file: Path,
    tokens_file: Path,
    encoder: WordEncoder,
    kept_file: Path,
    progress: Progress | None = None,
) -> Alignment:
    """Write those chosen tokens of which the model sees every sub-word: the rows of its vector files.

    Raises
    ------
    ConceptBenchError
        if the model sees none of them.
    """
    progress = progress or Silent()
    tokens = pq.read_table(tokens_file)
    keep: list[bool] = []
    cut = 0
    with progress.stage("Reading words as the model does", len(tokens)) as advance:
        for window in _windows(sentences_file, tokens, len(tokens)):
            read = encoder.read(window.texts)
            for owner, position in zip(window.owners, window.positions, strict=True):
                keep.append(bool(read[owner].subwords[position]))
                cut += not keep[-1] and read[owner].cut > 0
            advance(len(window.owners))
    if not any(keep):
        raise ConceptBenchError("the model sees none of the chosen words: its tokenizer drops them all")
    with whole(kept_file) as temporary:
        pq.write_table(tokens.filter(pa.array(keep)), temporary, compression="zstd")
    kept_count = sum(keep)
    return Alignment(kept=kept_count, cut=cut, unseen=len(tokens) - kept_count - cut)


def write_vectors(
    sentences_file: Path,
    kept_file: Path,
    encoder: WordEncoder,
    layers: Sequence[int],
    folder: Path,
    journal: Journal,
    progress: Progress | None = None,
) -> None:
    """Encode the kept tokens and write `Lnn.npy` for each layer: float32, shape (tokens, width).

    Vectors are written as they are computed. The journal notes the number of rows written, and a run after a kill
    continues from there. Memory does not grow with the number of tokens.

    Raises
    ------
    ConceptBenchError
        if the disk has no room, or a vector is not finite.
    """
    progress = progress or Silent()
    layers = [layer for layer in layers if not vector_file(folder, layer).exists()]
    if not layers:
        return
    tokens = pq.read_table(kept_file)
    stage = f"vectors/{folder.name}/{','.join(map(str, layers))}"
    parts = [folder / f"journal-{vector_file(folder, layer).name}" for layer in layers]
    done = int(journal.progress(stage) or 0) if all(part.exists() for part in parts) else 0
    shape = (len(tokens), encoder.width)
    # The windows do not depend on the layers, since the other sentences of a batch change the last bits of a vector.
    most_rows = max(1, _WINDOW_BYTES // (4 * encoder.width * encoder.layers))
    with progress.stage("Computing word vectors", len(tokens)) as advance, ExitStack() as stack:
        files = [stack.enter_context(_Rows(part, shape, done)) for part in parts]
        advance(done)
        for window in _windows(sentences_file, tokens, most_rows, skip=done):
            arrays = _encode(encoder, layers, window, advance)
            for file, array in zip(files, arrays, strict=True):
                file.append(array)
            done += len(window.owners)
            journal.set_progress(stage, str(done))
    for part, layer in zip(parts, layers, strict=True):
        part.replace(vector_file(folder, layer))


def vector_file(folder: Path, layer: int) -> Path:
    """Name the file of a layer's vectors."""
    return folder / f"L{layer:02d}.npy"


@dataclass(frozen=True)
class _Window:
    """Neighbouring sentences and the chosen tokens in them: `owners` index `texts`, one a token."""

    texts: list[str]
    owners: list[int]
    positions: list[int]


def _windows(sentences_file: Path, tokens: pa.Table, most_rows: int, skip: int = 0) -> Iterator[_Window]:
    """Cut `tokens` (sorted by sentence) into windows, from row `skip` on, where an earlier window ended.

    A window has at most `_WINDOW` sentences and, if it has more than one, at most `most_rows` tokens.
    """
    numbers = tokens["sentence"].to_numpy()[skip:]
    positions = tokens["position"].to_numpy()[skip:]
    distinct, starts = np.unique(numbers, return_index=True)
    ends = np.append(starts[1:], len(numbers))
    texts = _texts(sentences_file, distinct)
    first = 0
    while first < len(distinct):
        last = int(np.searchsorted(ends, starts[first] + most_rows, side="right"))
        last = min(max(last, first + 1), first + _WINDOW)
        rows = slice(int(starts[first]), int(ends[last - 1]))
        owners = np.searchsorted(distinct[first:last], numbers[rows])
        yield _Window([next(texts) for _ in range(first, last)], owners.tolist(), positions[rows].tolist())
        first = last


def _encode(encoder: WordEncoder, layers: Sequence[int], window: _Window, advance: Advance) -> list[np.ndarray]:
    """Give the window's vectors, one array of shape (tokens, width) a layer, in the order of its tokens."""
    read = encoder.read(window.texts)
    rows_of: list[list[int]] = [[] for _ in window.texts]
    for row, owner in enumerate(window.owners):
        rows_of[owner].append(row)
    result = [np.empty((len(window.owners), encoder.width), np.float32) for _ in layers]
    for batch in encoder.batches([len(words) for words in read]):
        rows = [row for i in batch for row in rows_of[i]]
        words = [(number, window.positions[row]) for number, i in enumerate(batch) for row in rows_of[i]]
        vectors = encoder.vectors([read[i] for i in batch], words, layers)
        for array, values in zip(result, vectors, strict=True):
            array[rows] = values
        advance(len(rows))
    return result


def _texts(sentences_file: Path, numbers: np.ndarray) -> Iterator[str]:
    """Give the texts of the sentences of these sorted numbers, reading the file as a stream."""
    with pq.ParquetFile(sentences_file) as file:
        for batch in file.iter_batches(batch_size=_WINDOW):
            first, count = batch.column(0)[0].as_py(), len(batch)
            low, high = np.searchsorted(numbers, [first, first + count])
            if low < high:
                yield from pc.take(batch.column(1), pa.array(numbers[low:high] - first)).to_pylist()


class _Rows:
    """A `.npy` file of float32 rows, written from the first row on; rows behind `done` are dropped."""

    def __init__(self, path: Path, shape: tuple[int, int], done: int) -> None:
        self._path, self._shape, self._done = path, shape, done

    def __enter__(self) -> Self:
        header = io.BytesIO()
        layout = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(header, layout)
        rows = 4 * self._shape[1]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("r+b" if self._done else "w+b")
            self._file.write(header.getvalue())
            self._file.truncate(header.tell() + rows * self._done)
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise writing_failed(self._path, error) from error
        return self

    def append(self, rows: np.ndarray) -> None:
        try:
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
            self._file.flush()
        except OSError as error:
            raise writing_failed(self._path, error) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()
