"""Probes of gold concepts in a second corpus.

Which tokens a probe gets depends on the text, the lexicon and the seed, not on an encoder, so that all encoders are
asked the same. Negatives are tokens of other words of the lexicon, never those of a concept's line (itself, wider and
narrower ones). Half of them are hard: from the sentences of the positives, since a vector carries its sentence, and the
words of a concept occur together; where these have too few, from concepts with the same parent or else of the same
kind. The others are random.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.lexicon import GoldConcept, Split, lineages, load_lexicon
from conceptbench.benchmark.schema import SENTENCES, TOKENS
from conceptbench.benchmark.store import ConceptStore, read_table
from conceptbench.builders.vectors import align_tokens, vector_file, write_vectors
from conceptbench.eval.methods.probes.design import MIN_TOKENS, MIN_TYPES, Bools, Ints
from conceptbench.eval.probing.gold_tokens import SENTENCES_FILE, TOKENS_FILE, GoldTokens, open_gold_corpus, read_gold
from conceptbench.eval.probing.options import ProbingOptions
from conceptbench.eval.probing.predictions import FitOptions, LayerTokens, ProbeSpec, count_outcomes, predict
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.progress import Progress

UNSEEN: Final = "not seen by the model"

_ALIGNED_FILE: Final = "kept.parquet"


@dataclass(frozen=True, eq=False)
class GoldProbes:
    """The records of probes of gold concepts, and what the provenance says of them.

    Attributes
    ----------
    records : the rows of all layers.
    counts : of the concepts that were probed, and that were not by the reason.
    corpus : the name of the text in which they were looked for.
    digest : of the items.
    facts : numbers of sentences, tokens and concepts.
    """

    records: pa.Table
    counts: Counter[str]
    corpus: str
    digest: str
    facts: Mapping[str, Any]


def probe_gold(
    store: ConceptStore,
    encoder: WordEncoder,
    layers: Sequence[int],
    options: ProbingOptions,
    folder: Path,
    progress: Progress,
) -> GoldProbes:
    """Probe each layer of an encoder for gold concepts.

    Parameters
    ----------
    store : whose sentences are left out.
    folder : for the tokens and their vectors; a run that was stopped goes on from what is there.

    Raises
    ------
    InputError
        if the corpus has no words to probe, or no gold concept of the split `test` can be probed.
    """
    lexicon = load_lexicon()
    corpus = open_gold_corpus(options.corpus, options.text_column, lexicon, folder)
    clustered = set(store.sentences()["text"].to_pylist())
    tokens = read_gold(corpus, lexicon, clustered, folder, options.seed, progress)
    texts = read_table(folder / SENTENCES_FILE, SENTENCES)
    specs = specify_gold(tokens, lexicon, _concepts_to_probe(lexicon, options.limit, options.seed), options.seed)
    encoded_specs, vectors = encode_gold(tokens, specs, encoder, layers, folder, progress)
    counts = count_outcomes(encoded_specs.values())
    probed = [spec for spec in encoded_specs.values() if isinstance(spec, ProbeSpec)]
    if not any(spec.split == "test" for spec in probed):
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count) or "none was found"
        raise InputError(
            f"--corpus {corpus.source}: no gold concept of the split test can be probed ({reasons}); give more text"
        )
    aligned = read_table(folder / _ALIGNED_FILE, TOKENS)
    words, sentences = np.array(aligned["word"].to_pylist(), dtype=object), aligned["sentence"].to_numpy()
    fitting = FitOptions(options.c, options.l1_ratio, options.device)
    tables = []
    with progress.stage("Probing for gold concepts", len(layers)) as advance:
        for layer in layers:
            tables.append(predict(LayerTokens(layer, vectors[layer], words, sentences), probed, fitting))
            advance(1)
    return GoldProbes(
        records=pa.concat_tables(tables),
        counts=counts,
        corpus=corpus.name,
        digest=gold_digest(tokens, specs, lexicon, texts),
        facts={
            "corpus": corpus.name,
            "sentences": tokens.sentences_read,
            "left_out": tokens.left_out,
            "tokens": len(tokens.words),
            "concepts": len(probed),
        },
    )


def specify_gold(
    tokens: GoldTokens, lexicon: Mapping[str, GoldConcept], concepts: Sequence[str], seed: int
) -> dict[str, ProbeSpec | str]:
    """Draw the tokens of the probe of each concept, or say why it has none.

    A concept's probe is seeded by the seed and its id, so that it is the same whichever others are drawn.
    """
    lines = lineages(lexicon)
    number = {word: position for position, word in enumerate(tokens.folded)}
    types_of = {
        name: np.array(
            sorted({number[word.casefold()] for word in concept.words if word.casefold() in number}), dtype=np.int64
        )
        for name, concept in lexicon.items()
    }
    specs: dict[str, ProbeSpec | str] = {}
    for name in concepts:
        banned = np.zeros(len(tokens.hashes), dtype=bool)
        for relative in lines[name]:
            banned[types_of[relative]] = True
        near = _near(lexicon[name], lexicon, lines[name], seed)
        specs[name] = _specify(tokens, lexicon[name], near, banned, seed)
    return specs


def encode_gold(
    tokens: GoldTokens,
    specs: Mapping[str, ProbeSpec | str],
    encoder: WordEncoder,
    layers: Sequence[int],
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, ProbeSpec | str], dict[int, np.ndarray]]:
    """Encode the tokens.

    Tokens that the model does not see whole are left out; where a side then lacks a class, the concept is.

    Returns
    -------
    the probes with `rows` of the vectors, and each layer's vectors.
    """
    aligned_file = folder / _ALIGNED_FILE
    align_tokens(folder / SENTENCES_FILE, folder / TOKENS_FILE, encoder, aligned_file, progress)
    with Journal(folder / "journal.sqlite") as journal:
        write_vectors(folder / SENTENCES_FILE, aligned_file, encoder, layers, folder, journal, progress)
    aligned = pq.read_table(aligned_file)
    encoded = zip(aligned["sentence"].to_pylist(), aligned["position"].to_pylist(), strict=True)
    vector_of = {key: row for row, key in enumerate(encoded)}
    row_of = np.array(
        [vector_of.get(key, -1) for key in zip(tokens.sentences.tolist(), tokens.positions.tolist(), strict=True)],
        dtype=np.int64,
    )
    seen = {name: spec if isinstance(spec, str) else _seen(spec, row_of) for name, spec in specs.items()}
    return seen, {layer: np.load(vector_file(folder, layer), mmap_mode="r") for layer in layers}


def gold_digest(
    tokens: GoldTokens, specs: Mapping[str, ProbeSpec | str], lexicon: Mapping[str, GoldConcept], texts: pa.Table
) -> str:
    """Digest the items: each concept's tokens in their sentences, and on which side they are."""
    digest = hashlib.sha256()
    sentence_digests = [hashlib.sha256(text.encode()).digest()[:16] for text in texts["text"].to_pylist()]
    for name, spec in specs.items():
        digest.update(f"{name}\n{lexicon[name].split}\n".encode())
        if isinstance(spec, str):
            continue
        digest.update(b"".join(sentence_digests[sentence] for sentence in tokens.sentences[spec.rows]))
        digest.update(tokens.positions[spec.rows].tobytes())
        digest.update(np.packbits(np.stack([spec.targets, spec.hard, spec.in_test])).tobytes())
    return digest.hexdigest()


def _concepts_to_probe(lexicon: Mapping[str, GoldConcept], limit: int | None, seed: int) -> list[str]:
    """Give all concepts; with a limit, so many of each split, drawn by the seed."""
    if limit is None:
        return list(lexicon)
    selected: set[str] = set()
    splits: tuple[Split, ...] = ("dev", "test")
    for split in splits:
        names = [concept.id for concept in lexicon.values() if concept.split == split]
        selected.update(sample(names, limit, generator_of("gold concepts", seed, split)))
    return [name for name in lexicon if name in selected]


def _near(concept: GoldConcept, lexicon: Mapping[str, GoldConcept], line: Set[str], seed: int) -> list[str]:
    """Give the other concepts of the kind, those with the same parent first, each group in random order."""
    near = [candidate for candidate in lexicon.values() if candidate.kind == concept.kind and candidate.id not in line]
    ranks = generator_of("gold near", seed, concept.id).random(len(near))
    rank_of = {candidate.id: rank for candidate, rank in zip(near, ranks, strict=True)}

    def order(candidate: GoldConcept) -> tuple[bool, float]:
        return candidate.parent is None or candidate.parent != concept.parent, rank_of[candidate.id]

    return [candidate.id for candidate in sorted(near, key=order)]


def _specify(
    tokens: GoldTokens, concept: GoldConcept, near: Sequence[str], banned: Bools, seed: int
) -> ProbeSpec | str:
    """Draw the tokens of a concept's probe, or say why it has none; word types that are banned are no negatives."""
    members = tokens.rows[concept.id]
    types = np.unique(tokens.types[members])
    if len(types) < 2 * MIN_TYPES:
        return "too few word types"
    if (tokens.sentences[members] == tokens.sentences[members[0]]).all():
        return "one sentence"
    generator = generator_of("gold probe", seed, concept.id)
    # Where the hashes leave a side too few types, those with the next hashes change sides, for this concept alone.
    order = types[tokens.hashes[types].argsort()]
    count = int((tokens.hashes[types] < 0.5).sum())
    in_test = np.isin(tokens.types[members], order[: min(max(count, MIN_TYPES), len(types) - MIN_TYPES)])
    parts: list[tuple[Ints, bool, bool, bool]] = []
    for side in (False, True):
        positives = members[in_test == side]
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
    targets, hards, sides = (np.repeat([part[column] for part in parts], lengths) for column in (1, 2, 3))
    return ProbeSpec(
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
    """Draw tokens from the first of the near concepts that have enough of them together."""
    candidates: Ints = np.empty(0, dtype=np.int64)
    for neighbour in near:
        if len(candidates) >= size:
            break
        rows = tokens.rows[neighbour]
        candidates = np.union1d(candidates, rows[allowed[rows]])
    return generator.permutation(candidates)[:size]


def _seen(spec: ProbeSpec, row_of: Ints) -> ProbeSpec | str:
    """Give a probe with the rows of its tokens' vectors; -1 in `row_of` marks a token that has none."""
    rows = row_of[spec.rows]
    seen = rows >= 0
    if seen.all():
        return replace(spec, rows=rows)
    rest = replace(spec, rows=rows[seen], targets=spec.targets[seen], hard=spec.hard[seen], in_test=spec.in_test[seen])
    sides = {(bool(target), bool(side)) for target, side in zip(rest.targets, rest.in_test, strict=True)}
    return rest if len(sides) == 4 else UNSEEN
