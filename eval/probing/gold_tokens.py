"""The gold lexicon's words in a second corpus: in contexts that were not clustered.

A token belongs to every gold concept that lists its word. A word is looked up in its own spelling first, and case
folded only where the lexicon has no such word: "May" is a month, "may" is a modal verb, and "Cats" are animals. Only
words that the lexicon writes in lower case are found case folded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.benchmark.lexicon import GoldConcept
from conceptbench.benchmark.schema import SENTENCES, TOKENS
from conceptbench.benchmark.store import read_table, write_table
from conceptbench.builders.corpus import Corpus, open_corpus, read_corpus
from conceptbench.eval.methods.probes.design import Bools, Floats, Ints, type_hashes
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_text
from conceptbench.runtime.progress import Progress

MAX_COUNT: Final = 20
"""Tokens of a word at most, as in `build`."""

SENTENCES_FILE: Final = "sentences.parquet"
TOKENS_FILE: Final = "tokens.parquet"


@dataclass(frozen=True, eq=False)
class GoldTokens:
    """Tokens of the lexicon's words, one a row.

    Attributes
    ----------
    words : object array of shape (n,).
    types : their case-folded words as numbers, shape (n,).
    folded : the case-folded words, by these numbers.
    hashes : of the case-folded words, shape (types,).
    sentences, positions : where the tokens are, int64 of shape (n,).
    rows : of each gold concept.
    sentences_read : the number of sentences in the corpus.
    left_out : the number of sentences that the store has too.
    """

    words: np.ndarray
    types: Ints
    folded: Sequence[str]
    hashes: Floats
    sentences: Ints
    positions: Ints
    rows: Mapping[str, Ints]
    sentences_read: int
    left_out: int

    @cached_property
    def in_test(self) -> Bools:
        """Which tokens' types are in test: bool (n,)."""
        in_test: Bools = (self.hashes < 0.5)[self.types]
        return in_test


def open_gold_corpus(
    source: str | None, text_column: str | None, lexicon: Mapping[str, GoldConcept], folder: Path
) -> Corpus:
    """Open the second corpus: by default the lexicon's own sentences, which are written to the folder."""
    if source is not None:
        return open_corpus(source, text_column)
    path = folder / "lexicon.txt"
    write_text(path, "".join(f"{text}\n" for concept in lexicon.values() for text in concept.sentences))
    return Corpus("the gold lexicon", "gold lexicon", path, None, one_sentence=True)


def read_gold(
    corpus: Corpus,
    lexicon: Mapping[str, GoldConcept],
    clustered: Set[str],
    folder: Path,
    seed: int,
    progress: Progress,
) -> GoldTokens:
    """Find the lexicon's words in a corpus, outside the sentences that were clustered.

    Parameters
    ----------
    clustered : the texts of the store's sentences.
    folder : gets `sentences.parquet` and `tokens.parquet`.

    Raises
    ------
    InputError
        if there are none.
    """
    counts = read_corpus(
        corpus,
        folder / SENTENCES_FILE,
        folder / TOKENS_FILE,
        min_count=1,
        max_count=MAX_COUNT,
        seed=seed,
        progress=progress,
    )
    texts = read_table(folder / SENTENCES_FILE, SENTENCES)
    in_store = pa.array([text.as_py() in clustered for text in texts["text"]], pa.bool_())
    left_out = int(pc.sum(in_store).as_py() or 0)
    tokens = read_table(folder / TOKENS_FILE, TOKENS)
    concepts_of = _concepts_of(lexicon)
    vocabulary = {word: concepts_of(word) for word in pc.unique(tokens["word"]).to_pylist()}
    listed = pa.array([word for word, concepts in vocabulary.items() if concepts], pa.string())
    tokens = tokens.filter(pc.and_(pc.is_in(tokens["word"], listed), pc.invert(pc.take(in_store, tokens["sentence"]))))
    if not len(tokens):
        why = (
            f"all {left_out} sentences are the store's own"
            if left_out == counts.sentences
            else "none is in the gold lexicon"
        )
        raise InputError(f"--corpus {corpus.source}: it has no words to probe ({why}); give another text")
    write_table(folder / TOKENS_FILE, TOKENS, {name: tokens[name] for name in TOKENS.names})
    words = np.array(tokens["word"].to_pylist(), dtype=object)
    folded, types = np.unique([word.casefold() for word in words], return_inverse=True)
    return GoldTokens(
        words=words,
        types=types.astype(np.int64),
        folded=folded.tolist(),
        hashes=type_hashes(folded.tolist(), seed),
        sentences=tokens["sentence"].to_numpy(),
        positions=tokens["position"].to_numpy().astype(np.int64),
        rows=_rows_of_concepts(words, vocabulary, lexicon),
        sentences_read=counts.sentences,
        left_out=left_out,
    )


def _rows_of_concepts(
    words: np.ndarray, vocabulary: Mapping[str, Sequence[str]], lexicon: Mapping[str, GoldConcept]
) -> dict[str, Ints]:
    rows: dict[str, list[int]] = {name: [] for name in lexicon}
    for row, word in enumerate(words):
        for name in vocabulary[word]:
            rows[name].append(row)
    return {name: np.array(concept_rows, dtype=np.int64) for name, concept_rows in rows.items()}


def _concepts_of(lexicon: Mapping[str, GoldConcept]) -> Callable[[str], list[str]]:
    """Give the function that looks a word up: the ids of the concepts that list it."""
    listed: dict[str, list[str]] = {}
    for concept in lexicon.values():
        for word in concept.words:
            listed.setdefault(word, []).append(concept.id)

    def concepts_of(word: str) -> list[str]:
        return listed.get(word) or listed.get(word.casefold(), [])

    return concepts_of
