"""Gold concepts in a second corpus: the lexicon's words in contexts that were not clustered, and probes of them.

A token belongs to every gold concept that lists its word. A word is looked up as it stands first, and case folded only
where the lexicon has no such word: "May" is a month, "may" and "Cats" are a modal verb and animals. Only words that
the lexicon writes in lower case are found case folded.

What is drawn hangs on the text and the lexicon, not on an encoder, so that all encoders are asked the same. Negatives
are tokens of other words of the lexicon, never those of a concept's line (itself, wider and narrower ones). Half of
them are hard: from the very sentences that the positives stand in, since a vector knows its sentence, and the words of
a concept come together; where these have too few, from concepts with the same parent or else of the same kind. The
others are random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conceptbench.benchmark.lexicon import GoldConcept, lineages
from conceptbench.benchmark.schema import SENTENCES, TOKENS
from conceptbench.benchmark.store import read_table, write_table
from conceptbench.builders.corpus import Corpus, open_corpus, read_corpus
from conceptbench.builders.vectors import align_tokens, vector_file, write_vectors
from conceptbench.eval.methods.probes.design import MIN_TOKENS, MIN_TYPES, Bools, Ints, type_hashes
from conceptbench.eval.probing.predictions import Draw
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_text
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.progress import Progress

MAX_COUNT: Final = 20
"""Tokens of a word at most, as in `build`."""

UNSEEN: Final = "not seen by the model"


@dataclass(frozen=True, eq=False)
class GoldTokens:
    """Tokens of the lexicon's words, one a row.

    `words` is an object array (n,), `types` their case-folded words as numbers (n,), `hashes` of those (types,),
    `sentences` and `positions` int64 (n,); `rows` are those of each concept. `left_out` counts the sentences that the
    store has too, `sentences_read` all.
    """

    words: np.ndarray
    types: Ints
    folded: Sequence[str]
    hashes: np.ndarray
    sentences: Ints
    positions: Ints
    rows: Mapping[str, Ints]
    sentences_read: int
    left_out: int

    @cached_property
    def in_test(self) -> Bools:
        """Which tokens' types are in test: bool (n,)."""
        tested: Bools = (self.hashes < 0.5)[self.types]
        return tested


def open_gold_corpus(
    source: str | None, text_column: str | None, lexicon: Mapping[str, GoldConcept], folder: Path
) -> Corpus:
    """Open the second corpus: by default the lexicon's own sentences, which are written to the folder."""
    if source is not None:
        return open_corpus(source, text_column)
    path = folder / "lexicon.txt"
    write_text(path, "".join(f"{text}\n" for one in lexicon.values() for text in one.sentences))
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
    sentences_file, tokens_file = folder / "sentences.parquet", folder / "tokens.parquet"
    counts = read_corpus(
        corpus, sentences_file, tokens_file, min_count=1, max_count=MAX_COUNT, seed=seed, progress=progress
    )
    texts = read_table(sentences_file, SENTENCES)
    known = pa.array([text.as_py() in clustered for text in texts["text"]], pa.bool_())
    left_out = int(pc.sum(known).as_py() or 0)
    concepts_of = _concepts_of(lexicon)
    tokens = read_table(tokens_file, TOKENS)
    vocabulary = {word: concepts_of(word) for word in pc.unique(tokens["word"]).to_pylist()}
    listed = pa.array([word for word, found in vocabulary.items() if found], pa.string())
    wanted = pc.and_(pc.is_in(tokens["word"], listed), pc.invert(pc.take(known, tokens["sentence"])))
    tokens = tokens.filter(wanted)
    if not len(tokens):
        why = (
            f"all {left_out} sentences are the store's own"
            if left_out == counts.sentences
            else "none is in the gold lexicon"
        )
        raise InputError(f"--corpus {corpus.source}: it has no words to probe ({why}); give another text")
    write_table(tokens_file, TOKENS, {name: tokens[name] for name in TOKENS.names})
    words = np.array(tokens["word"].to_pylist(), dtype=object)
    folded, types = np.unique([word.casefold() for word in words], return_inverse=True)
    rows: dict[str, list[int]] = {name: [] for name in lexicon}
    for row, word in enumerate(words):
        for name in vocabulary[word]:
            rows[name].append(row)
    return GoldTokens(
        words=words,
        types=types.astype(np.int64),
        folded=folded.tolist(),
        hashes=type_hashes(folded.tolist(), seed),
        sentences=tokens["sentence"].to_numpy(),
        positions=tokens["position"].to_numpy().astype(np.int64),
        rows={name: np.array(own, dtype=np.int64) for name, own in rows.items()},
        sentences_read=counts.sentences,
        left_out=left_out,
    )


def draw_gold(
    tokens: GoldTokens, lexicon: Mapping[str, GoldConcept], chosen: Sequence[str], seed: int
) -> dict[str, Draw | str]:
    """Draw the tokens of the probe of each chosen concept, or say why it has none."""
    lines = lineages(lexicon)
    number = {word: place for place, word in enumerate(tokens.folded)}
    types_of = {
        name: np.array(
            sorted({number[word.casefold()] for word in one.words if word.casefold() in number}), dtype=np.int64
        )
        for name, one in lexicon.items()
    }
    found: dict[str, Draw | str] = {}
    for name in chosen:
        banned = np.zeros(len(tokens.hashes), dtype=bool)
        for kin in lines[name]:
            banned[types_of[kin]] = True
        found[name] = _draw(tokens, lexicon[name], _near(lexicon[name], lexicon, lines[name], seed), banned, seed)
    return found


def encode_gold(
    tokens: GoldTokens,
    draws: Mapping[str, Draw | str],
    encoder: WordEncoder,
    layers: Sequence[int],
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, Draw | str], dict[int, np.ndarray]]:
    """Encode the tokens: gives the draws by the rows of their vectors, and each layer's vectors.

    Tokens that the model does not see whole are left out; where a side then lacks a class, the concept is.
    """
    kept_file = folder / "kept.parquet"
    align_tokens(folder / "sentences.parquet", folder / "tokens.parquet", encoder, kept_file, progress)
    with Journal(folder / "journal.sqlite") as journal:
        write_vectors(folder / "sentences.parquet", kept_file, encoder, layers, folder, journal, progress)
    kept = pq.read_table(kept_file)
    place = {
        key: row for row, key in enumerate(zip(kept["sentence"].to_pylist(), kept["position"].to_pylist(), strict=True))
    }
    row_of = np.array(
        [place.get(key, -1) for key in zip(tokens.sentences.tolist(), tokens.positions.tolist(), strict=True)],
        dtype=np.int64,
    )
    seen = {name: draw if isinstance(draw, str) else _seen(draw, row_of) for name, draw in draws.items()}
    return seen, {layer: np.load(vector_file(folder, layer), mmap_mode="r") for layer in layers}


def gold_digest(
    tokens: GoldTokens, draws: Mapping[str, Draw | str], lexicon: Mapping[str, GoldConcept], texts: pa.Table
) -> str:
    """Digest what is asked: each concept's tokens in their sentences, and on which side they are."""
    digest = hashlib.sha256()
    sentence_digests = [hashlib.sha256(text.encode()).digest()[:16] for text in texts["text"].to_pylist()]
    for name, draw in draws.items():
        digest.update(f"{name}\n{lexicon[name].split}\n".encode())
        if isinstance(draw, str):
            continue
        digest.update(b"".join(sentence_digests[sentence] for sentence in tokens.sentences[draw.rows]))
        digest.update(tokens.positions[draw.rows].tobytes())
        digest.update(np.packbits(np.stack([draw.targets, draw.hard, draw.in_test])).tobytes())
    return digest.hexdigest()


def _concepts_of(lexicon: Mapping[str, GoldConcept]) -> Callable[[str], list[str]]:
    """Give the function that looks a word up: the ids of the concepts that list it."""
    exact: dict[str, list[str]] = {}
    for one in lexicon.values():
        for word in one.words:
            exact.setdefault(word, []).append(one.id)

    def concepts_of(word: str) -> list[str]:
        folded = word.casefold()
        return exact.get(word) or exact.get(folded, [])

    return concepts_of


def _near(concept: GoldConcept, lexicon: Mapping[str, GoldConcept], line: Set[str], seed: int) -> list[str]:
    """Give the other concepts of the kind, those with the same parent first, each group in random order."""
    others = [other for other in lexicon.values() if other.kind == concept.kind and other.id not in line]
    rank = dict(
        zip(
            (other.id for other in others), generator_of("gold near", seed, concept.id).random(len(others)), strict=True
        )
    )
    others.sort(key=lambda other: (other.parent is None or other.parent != concept.parent, rank[other.id]))
    return [other.id for other in others]


def _draw(tokens: GoldTokens, concept: GoldConcept, near: Sequence[str], banned: Bools, seed: int) -> Draw | str:
    own = tokens.rows[concept.id]
    types = np.unique(tokens.types[own])
    if len(types) < 2 * MIN_TYPES:
        return "too few word types"
    if (tokens.sentences[own] == tokens.sentences[own[0]]).all():
        return "one sentence"
    generator = generator_of("gold probe", seed, concept.id)
    # Where the hashes leave a side too few types, those with the next hashes change sides, for this concept alone.
    order = types[tokens.hashes[types].argsort()]
    count = int((tokens.hashes[types] < 0.5).sum())
    tested = np.isin(tokens.types[own], order[: min(max(count, MIN_TYPES), len(types) - MIN_TYPES)])
    parts: list[tuple[Ints, bool, bool, bool]] = []
    for side in (False, True):
        positives = own[tested == side]
        allowed = ~banned[tokens.types] & (tokens.in_test == side)
        size = min(len(positives), int(allowed.sum()))
        if size < MIN_TOKENS:
            return "too few other tokens"
        positives = generator.permutation(positives)[:size]
        beside = np.isin(tokens.sentences, tokens.sentences[positives])
        hard = generator.permutation(np.flatnonzero(allowed & beside))[: (size + 1) // 2]
        more = _near_tokens(tokens, near, allowed & ~beside, (size + 1) // 2 - len(hard), generator)
        hard = np.concatenate([hard, more])
        allowed[hard] = False
        easy = generator.choice(np.flatnonzero(allowed), min(size - len(hard), int(allowed.sum())), replace=False)
        parts += [(positives, True, False, side), (hard, False, True, side), (easy, False, False, side)]
    lengths = [len(rows) for rows, *_ in parts]
    targets, hards, sides = (np.repeat([part[place] for part in parts], lengths) for place in (1, 2, 3))
    return Draw(
        kind="gold",
        concept=concept.id,
        rows=np.concatenate([rows for rows, *_ in parts]),
        targets=targets,
        hard=hards,
        in_test=sides,
        group=concept.kind,
        split=concept.split,
    )


def _near_tokens(
    tokens: GoldTokens, near: Sequence[str], allowed: Bools, size: int, generator: np.random.Generator
) -> Ints:
    """Draw tokens from the first of the near concepts that have so many together."""
    found: Ints = np.empty(0, dtype=np.int64)
    for other in near:
        if len(found) >= size:
            break
        rows = tokens.rows[other]
        found = np.union1d(found, rows[allowed[rows]])
    return generator.permutation(found)[:size]


def _seen(draw: Draw, row_of: Ints) -> Draw | str:
    rows = row_of[draw.rows]
    seen = rows >= 0
    if seen.all():
        return replace(draw, rows=rows)
    left = replace(draw, rows=rows[seen], targets=draw.targets[seen], hard=draw.hard[seen], in_test=draw.in_test[seen])
    sides = {(bool(target), bool(side)) for target, side in zip(left.targets, left.in_test, strict=True)}
    return left if len(sides) == 4 else UNSEEN
