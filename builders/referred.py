"""Text that may not be passed on: it is not published, only referred to by its digest, and can be read again."""

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
    """Give the file of a store's sentences with their numbers only: every `text` is null."""
    numbers = store.sentences()["sentence"]
    table = pa.table([numbers, pa.nulls(len(numbers), pa.string())], schema=SENTENCES)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def text_missing(store: ConceptStore) -> InputError:
    """Give the error to raise where sentences are needed and the store has none."""
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
        if the text differs in any sentence from the one that the store was built from; the store is then unchanged.

    Examples
    --------
    >>> import tempfile
    >>> import conceptbench
    >>> text = "The cat sat on the mat .\\nThe dog sat on the rug .\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "text.txt").write_text(text)
    ...     store = conceptbench.build(
    ...         corpus=f"{folder}/text.txt", layers="1", k=2, min_count=1, out=f"{folder}/store", text="referred"
    ...     )
    ...     _ = Path(folder, "store/sentences.parquet").write_bytes(without_text(store))
    ...     restored = restore_sentences(store.path, f"{folder}/text.txt")
    ...     restored.sentences()["text"][1].as_py()
    'The dog sat on the rug .'
    """
    restored = ConceptStore.open(store)
    corpus_entry = restored.manifest["corpus"]
    if "digest" not in corpus_entry:
        raise InputError(
            f"{restored.path}: its manifest has no digest of the text; only stores of `build` can be restored"
        )
    source = open_corpus(corpus, text_column)
    # These are named like other temporary files, so that one left by a killed run is never published.
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
