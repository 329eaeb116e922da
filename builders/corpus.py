"""From a corpus to its sentences, tokenised into words, and the tokens chosen for clustering."""

from __future__ import annotations

import csv
import hashlib
import heapq
import importlib.util
import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from syntok import segmenter
from syntok.tokenizer import Tokenizer

from conceptbench.benchmark.schema import SENTENCES, TOKENS
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256, whole
from conceptbench.runtime.progress import Progress, Silent

_CHUNK = 8192
_SILENCE = 60
_WEB = ("https://", "http://")
_FORMS = (
    "a text file (a sentence a line), a .jsonl, .csv or .parquet file with --text-column, "
    "a Hub dataset hf:<id>[:<config>[:<split>]], the URL of a text file, or sample:news"
)


@dataclass(frozen=True)
class Corpus:
    """The source of a text.

    `source` is what the user wrote, `name` the part of it that may be published (a file's base name), `path` the
    local file or None, `column` the text column or None, `one_sentence` whether each text is one
    sentence already.
    """

    source: str
    name: str
    path: Path | None
    column: str | None
    one_sentence: bool

    def digest(self) -> str:
        """Give the SHA-256 of the file, or of the name where the text is not on this machine."""
        if self.path is not None:
            return sha256(self.path)
        return hashlib.sha256(self.source.encode()).hexdigest()


@dataclass(frozen=True)
class CorpusCounts:
    """The counts of a corpus that was read; `digest` is the SHA-256 of its distinct sentences."""

    digest: str
    sentences: int
    duplicates: int
    words: int
    word_types: int
    chosen_tokens: int
    chosen_types: int


def open_corpus(source: str, text_column: str | None = None) -> Corpus:
    """Find a corpus by any of the forms of `--corpus`, without reading its text.

    Raises
    ------
    InputError
        if there is no such file, the form is unknown, or a column is needed and missing.
    """
    if source == "sample:news":
        return Corpus(source, source, _sample_news(), None, one_sentence=False)
    if source.startswith("sample:"):
        raise InputError(f"--corpus {source}: the only sample is sample:news")
    if source.startswith("hf:"):
        if text_column is None:
            raise InputError(f"--corpus {source}: name the column that holds the text with --text-column")
        return Corpus(source, source, None, text_column, one_sentence=False)
    if source.startswith(_WEB):
        if text_column is not None:
            raise InputError(f"--text-column is for .jsonl, .csv, .parquet and hf: corpora; {source} is read as text")
        where = urlsplit(source)
        # The user info before the host and the query after a question mark may be secret, so they are left out.
        name = f"{where.scheme}://{where.netloc.rpartition('@')[2]}{where.path}"
        return Corpus(source, name, None, None, one_sentence=True)
    path = Path(source)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"--corpus {source}: the file {what}; a corpus is {_FORMS}")
    tabular = path.suffix.lower() in _READERS
    if tabular and text_column is None:
        columns = ", ".join(_columns(path)) or "none"
        raise InputError(
            f"--corpus {source}: name the column that holds the text with --text-column (there are: {columns})"
        )
    if not tabular and text_column is not None:
        raise InputError(f"--text-column is for .jsonl, .csv, .parquet and hf: corpora; {source} is read as text")
    return Corpus(source, path.name, path, text_column, one_sentence=not tabular)


def sentences(corpus: Corpus) -> Iterator[list[str]]:
    """Read a corpus as tokenised sentences, in order, with duplicates.

    A text file's lines are sentences; other texts are split by syntok. Empty sentences are left out.

    Raises
    ------
    InputError
        if the text is not UTF-8, a row is broken, or the column is missing.
    """
    tokenizer = Tokenizer()
    for text in _texts(corpus):
        if corpus.one_sentence:
            token_lists: Iterable[Iterable[Any]] = [tokenizer.tokenize(text)]
        else:
            token_lists = (sentence for paragraph in segmenter.analyze(text) for sentence in paragraph)
        for tokens in token_lists:
            # A token with white space inside would shift the positions of those behind it.
            words = [part for token in tokens for part in token.value.split()]
            if words:
                yield words


def read_corpus(
    corpus: Corpus,
    sentences_file: Path,
    tokens_file: Path,
    *,
    max_sentences: int | None = None,
    min_count: int,
    max_count: int,
    seed: int,
    progress: Progress | None = None,
) -> CorpusCounts:
    """Write a corpus's distinct sentences and the tokens chosen from them, each a parquet file.

    A sentence's text is its words joined by one space, so the word at `position` is
    `text.split(" ")[position]`. All word types that are seen at least `min_count` times are chosen, with at most
    `max_count` occurrences of each: those with the smallest values of a hash of (seed, sentence, position). The
    draw depends on neither the model nor the order of reading. Memory grows with the number of
    word types and chosen tokens, not with the length of the corpus.

    Raises
    ------
    InputError
        if the corpus has no text, or no word type is frequent enough.
    """
    _check_counts(min_count, max_count, max_sentences)
    tally = _Tally(max_count, seed)
    with whole(sentences_file) as temporary:
        _write_distinct(corpus, temporary, tally, max_sentences, progress or Silent())
        if not tally.sentences:
            raise InputError(f"--corpus {corpus.source}: there is no text in it")
        chosen = tally.chosen_tokens(min_count)
        if not chosen:
            word, count = tally.counts.most_common(1)[0]
            raise InputError(
                f"--corpus {corpus.source}: no word is seen {min_count} times (the most frequent, {word!r}, "
                f"{count} times): lower --min-count or give more text"
            )
    _write_tokens(tokens_file, chosen)
    return CorpusCounts(
        digest=tally.digest.hexdigest(),
        sentences=tally.sentences,
        duplicates=tally.duplicates,
        words=tally.counts.total(),
        word_types=len(tally.counts),
        chosen_tokens=len(chosen),
        chosen_types=len({word for _, _, word in chosen}),
    )


class _Tally:
    """What is counted and drawn while the sentences of a corpus are read."""

    def __init__(self, max_count: int, seed: int) -> None:
        self.sentences = 0
        self.duplicates = 0
        self.counts: Counter[str] = Counter()
        self.digest = hashlib.sha256()
        self._max_count, self._seed = max_count, seed
        self._heaps: dict[str, list[tuple[int, int, int]]] = {}
        """For each word a heap of (negated rank, sentence, position), so that its root has the highest rank."""

    def add(self, words: list[str], text: str) -> None:
        """Count a new sentence and its words, and draw from the occurrences of each word."""
        self.digest.update(text.encode() + b"\n")
        self.counts.update(words)
        state = hashlib.blake2b(text.encode(), digest_size=8, key=self._seed.to_bytes(8, "little", signed=True))
        for position, word in enumerate(words):
            state.update(b"+")
            rank = int.from_bytes(state.digest(), "little")
            heap = self._heaps.setdefault(word, [])
            if len(heap) < self._max_count:
                heapq.heappush(heap, (-rank, self.sentences, position))
            elif -rank > heap[0][0]:
                heapq.heapreplace(heap, (-rank, self.sentences, position))
        self.sentences += 1

    def chosen_tokens(self, min_count: int) -> list[tuple[int, int, str]]:
        """Give (sentence, position, word) of each occurrence that was drawn of a frequent word, sorted."""
        return sorted(
            (sentence, position, word)
            for word, heap in self._heaps.items()
            if self.counts[word] >= min_count
            for _, sentence, position in heap
        )


def _write_distinct(corpus: Corpus, path: Path, tally: _Tally, max_sentences: int | None, progress: Progress) -> None:
    """Write a corpus's distinct sentences to a parquet file, and enter them in the tally."""
    with (
        pq.ParquetWriter(path, SENTENCES, compression="zstd") as writer,
        progress.stage("Reading the corpus", None) as advance,
        _Seen(path) as seen_texts,
    ):
        distinct = _distinct(corpus, seen_texts, tally, max_sentences)
        while texts := list(islice(distinct, _CHUNK)):
            numbers = pa.array(range(tally.sentences - len(texts), tally.sentences), pa.int64())
            writer.write_table(pa.table([numbers, pa.array(texts, pa.string())], schema=SENTENCES))
            advance(len(texts))


def _distinct(corpus: Corpus, seen_texts: _Seen, tally: _Tally, max_sentences: int | None) -> Iterator[str]:
    """Give the text of each new sentence once it is entered in the tally, until there are `max_sentences`."""
    for words in sentences(corpus):
        if tally.sentences == max_sentences:
            return
        text = " ".join(words)
        if seen_texts.add(text):
            tally.add(words, text)
            yield text
        else:
            tally.duplicates += 1


class _Seen:
    """The set of texts read so far, on disk: a set in memory would grow with the corpus."""

    def __init__(self, beside: Path) -> None:
        self._path = beside.with_name("journal-part-seen.sqlite")

    def __enter__(self) -> _Seen:
        self._path.unlink(missing_ok=True)
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID; BEGIN"
        )
        return self

    def add(self, text: str) -> bool:
        """Add a text; tell whether it is new."""
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        cursor = self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,))
        return cursor.rowcount == 1

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._path.unlink(missing_ok=True)


def _write_tokens(path: Path, chosen: list[tuple[int, int, str]]) -> None:
    table = pa.table(
        {
            "word": pa.array([word for _, _, word in chosen], pa.string()),
            "sentence": pa.array([sentence for sentence, _, _ in chosen], pa.int64()),
            "position": pa.array([position for _, position, _ in chosen], pa.int32()),
        },
        schema=TOKENS,
    )
    with whole(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _check_counts(min_count: int, max_count: int, max_sentences: int | None) -> None:
    if max_sentences is not None and max_sentences < 1:
        raise InputError(f"--max-sentences {max_sentences}: give at least 1")
    if min_count < 1:
        raise InputError(f"--min-count {min_count}: give at least 1")
    if max_count < 1:
        raise InputError(f"--max-count {max_count}: give at least 1")


def _sample_news() -> Path:
    if importlib.util.find_spec("gensim") is None:
        raise InputError("sample:news comes with gensim: python -m pip install gensim")
    from gensim.test.utils import datapath

    return Path(datapath("lee_background.cor"))


def _texts(corpus: Corpus) -> Iterator[str]:
    if corpus.path is None:
        yield from (_web_texts if corpus.source.startswith(_WEB) else _hub_texts)(corpus)
        return
    read = _READERS.get(corpus.path.suffix.lower(), _read_lines)
    try:
        for text in read(corpus.path, corpus.column):
            if text and not text.isspace():
                yield text
    except UnicodeDecodeError as error:
        raise InputError(
            f"{corpus.path}: not UTF-8 (byte 0x{error.object[error.start]:02x}: {error.reason}); "
            f"convert it first, for example: iconv -f LATIN1 -t UTF-8 {corpus.path.name}"
        ) from error


def _read_lines(path: Path, _column: str | None) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            yield line.strip()


def _read_csv(path: Path, column: str | None) -> Iterator[str]:
    csv.field_size_limit(1 << 27)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        _require(column, reader.fieldnames or (), path)
        try:
            for row in reader:
                yield row[column or ""] or ""
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _read_jsonl(path: Path, column: str | None) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error})") from error
            if not isinstance(row, dict) or not isinstance(row.get(column), str):
                raise InputError(f"{path}, line {number}: there is no text under {column!r}")
            yield row[column]


def _read_parquet(path: Path, column: str | None) -> Iterator[str]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise InputError(f"{path}: not a parquet file ({error})") from error
    with file:
        _require(column, file.schema_arrow.names, path)
        if not pa.types.is_string(file.schema_arrow.field(column).type) and not pa.types.is_large_string(
            file.schema_arrow.field(column).type
        ):
            raise InputError(f"{path}: column {column!r} does not hold text")
        for batch in file.iter_batches(batch_size=_CHUNK, columns=[column]):
            yield from (value or "" for value in batch.column(0).to_pylist())


_READERS = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}


def _columns(path: Path) -> list[str]:
    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(1 << 20)
        return list(json.loads(line)) if path.suffix.lower() == ".jsonl" else next(csv.reader([line]), [])
    except (ValueError, TypeError, pa.ArrowException, csv.Error):
        return []


def _require(column: str | None, columns: Sequence[str], path: Path) -> None:
    if column not in columns:
        raise InputError(f"{path}: there is no column {column!r} (there are: {', '.join(columns) or 'none'})")


def _web_texts(corpus: Corpus) -> Iterator[str]:
    import aiohttp
    import fsspec

    try:
        # The default is a limit of five minutes for the whole file.
        client = {"timeout": aiohttp.ClientTimeout(total=None, connect=_SILENCE, sock_read=_SILENCE)}
        opened = fsspec.open(corpus.source, "rt", encoding="utf-8-sig", compression="infer", client_kwargs=client)
        with opened as file:
            for line in file:
                if text := line.strip():
                    yield text
    except UnicodeDecodeError as error:
        raise InputError(f"--corpus {corpus.name}: not UTF-8 ({error.reason})") from error
    except (OSError, ValueError, EOFError, zlib.error, aiohttp.ClientError) as error:
        raise _unreadable(corpus, error) from error


def _hub_texts(corpus: Corpus) -> Iterator[str]:
    import datasets

    name, _, rest = corpus.source.removeprefix("hf:").partition(":")
    config, _, split = rest.partition(":")
    try:
        rows = datasets.load_dataset(name, config or None, split=split or "train", streaming=True)
        for row in rows:
            value = row.get(corpus.column)
            if not isinstance(value, str):
                raise InputError(
                    f"--corpus {corpus.source}: column {corpus.column!r} holds no text (there are: {', '.join(row)})"
                )
            if value and not value.isspace():
                yield value
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise _unreadable(corpus, error) from error


def _unreadable(corpus: Corpus, error: Exception) -> InputError:
    reason = str(error).replace(corpus.source, corpus.name)
    return InputError(f"--corpus {corpus.name}: cannot be read ({reason}): check its name, and whether it is reachable")
