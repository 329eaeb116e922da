"""Text that may not be given on: left out of what is published, referred to by its digest, and read again."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.schema import SENTENCES
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.corpus import open_corpus, read_corpus
from conceptbench.builders.workspace import finish_store, opened
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress


def is_referred(store: ConceptStore) -> bool:
    """Tell whether a store is to be published without its text."""
    return bool(store.manifest["corpus"].get("text") == "referred")


def without_text(store: ConceptStore) -> bytes:
    """The file of a store's sentences with their numbers alone: every `text` is null."""
    numbers = store.sentences()["sentence"]
    table = pa.table([numbers, pa.nulls(len(numbers), pa.string())], schema=SENTENCES)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def text_missing(store: ConceptStore) -> InputError:
    """The error of whoever needs sentences where a store came without them."""
    return InputError(
        f"{store.path}: its sentences were published without their text. In Python, "
        f"conceptbench.restore_sentences({str(store.path)!r}, CORPUS) reads it again from the corpus, "
        f"{store.manifest['corpus']['name']!r}"
    )


def restore_sentences(
    store: str | Path, corpus: str, *, text_column: str | None = None, progress: Progress | None = None
) -> ConceptStore:
    """Give a store that was published without its text the sentences of its corpus again.

    Parameters
    ----------
    store : the store's folder, as downloaded.
    corpus, text_column : as for `build`.

    Raises
    ------
    InputError
        if the text is not, sentence by sentence, that which the store was built from; the store stays as it was.
    """
    restored = ConceptStore.open(store)
    corpus_entry = restored.manifest["corpus"]
    if "digest" not in corpus_entry:
        raise InputError(
            f"{restored.path}: its manifest has no digest of the text; only stores of `build` can be restored"
        )
    source = open_corpus(corpus, text_column)
    # Named like other temporaries, so that what a kill leaves is never published.
    sentences, tokens = (restored.path / f"journal-part-restored-{name}.parquet" for name in ("sentences", "tokens"))
    with opened(restored.path, fresh=False):
        try:
            counts = read_corpus(
                source,
                sentences,
                tokens,
                max_sentences=corpus_entry.get("max_sentences"),
                min_count=corpus_entry["min_count"],
                max_count=corpus_entry["max_count"],
                seed=corpus_entry["seed"],
                progress=progress,
            )
            if counts.digest != corpus_entry["digest"]:
                raise InputError(
                    f"--corpus {corpus}: its text is not that of {restored.path} ({corpus_entry['name']!r}, sha256 "
                    f"{corpus_entry['digest']}): give the corpus that it was built from; nothing was changed"
                )
            sentences.replace(restored.path / "sentences.parquet")
        finally:
            sentences.unlink(missing_ok=True)
            tokens.unlink(missing_ok=True)
        finish_store(restored)
    return restored
