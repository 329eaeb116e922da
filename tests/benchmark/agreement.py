"""How far independent resources bear the gold lexicon out, by kind; `python tests/benchmark/agreement.py` prints it.

- *Relatedness* (kinds of meaning): WordNet's path similarity, an independent measure. For each word of a concept, its
  mean similarity to the concept's other words, against that of a word of another concept of the same kind: the share of
  such pairs in which the concept's own word wins (AUROC; 0.5 is chance).
- *Part of speech* (concepts whose name holds noun, verb, adjective or adverb): the share of their words that WordNet
  lists under it, and the same share over all words of the lexicon.
- *Affix* (names such as "words ending in -tion"): the share of words that have it, by their spelling.

Words that WordNet does not know (names, function words) are left out and counted.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conceptbench.benchmark.lexicon import GoldConcept, load_lexicon

WORDNET = Path("/usr/share/wordnet")
POS = {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r"}
SENSES = 3
WORDS = 12


@dataclass(frozen=True)
class Agreement:
    """A measured share: `low` and `high` are its 95 % interval over concepts, `chance` what no agreement gives."""

    kind: str
    measure: str
    value: float
    low: float
    high: float
    chance: float
    concepts: int
    words_known: float


def open_wordnet(folder: Path) -> Any:
    """Open Debian's WordNet, whose files are copied into `folder` for NLTK's reader.

    The reader follows no links out of its folder, wants that on NLTK's own data path, and asks for a list of
    lexicographer files that the package leaves out; nothing here uses their names.
    """
    import nltk
    from nltk.corpus.reader import WordNetCorpusReader

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        def map_wn(self, version: str = "wordnet") -> None:
            """Map to no other version: the files for that are left out too."""

    for file in WORDNET.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    (folder / "lexnames").write_text("".join(f"{i:02d}\tfile{i}\t1\n" for i in range(45)))
    nltk.data.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Reader(str(folder), None)


def relatedness(lexicon: Mapping[str, GoldConcept], wordnet: Any, seed: int = 0) -> list[Agreement]:
    """Measure the kinds of meaning against path similarity."""
    found = []
    for kind in ("semantic", "entity", "sentiment", "sensitive"):
        concepts = [concept for concept in lexicon.values() if concept.kind == kind]
        draw = random.Random(seed)
        known = {concept.id: [word for word in concept.words if wordnet.synsets(word)] for concept in concepts}
        scores = []
        for concept in concepts:
            own = draw.sample(known[concept.id], min(WORDS, len(known[concept.id])))
            others = [other for other in concepts if other.id != concept.id and known[other.id]]
            if len(own) < 4:
                continue
            foils = [draw.choice(known[draw.choice(others).id]) for _ in own]
            wins = [
                _wins(_mean(wordnet, word, own), _mean(wordnet, foil, [w for w in own if w != word]))
                for word, foil in zip(own, foils, strict=True)
            ]
            scores.append(sum(wins) / len(wins))
        share = sum(map(len, known.values())) / sum(len(concept.words) for concept in concepts)
        found.append(_agreement(kind, "relatedness", scores, 0.5, share, draw))
    return found


def parts_of_speech(lexicon: Mapping[str, GoldConcept], wordnet: Any, seed: int = 0) -> list[Agreement]:
    """Measure the concepts named after a part of speech against WordNet's."""
    draw = random.Random(seed)
    every = sorted({word for concept in lexicon.values() for word in concept.words if wordnet.synsets(word)})
    found = []
    for name, pos in POS.items():
        own = [c for c in lexicon.values() if c.kind == "part-of-speech" and re.search(rf"\b{name}s?\b", c.name)]
        known = {concept.id: [word for word in concept.words if wordnet.synsets(word)] for concept in own}
        scores = [
            sum(_is(wordnet, word, pos) for word in known[concept.id]) / len(known[concept.id])
            for concept in own
            if known[concept.id]
        ]
        chance = sum(_is(wordnet, word, pos) for word in every) / len(every)
        share = sum(map(len, known.values())) / max(1, sum(len(concept.words) for concept in own))
        if scores:
            found.append(_agreement("part-of-speech", name, scores, chance, share, draw))
    return found


def affixes(lexicon: Mapping[str, GoldConcept], seed: int = 0) -> list[Agreement]:
    """Measure the concepts named after an affix against the words' spelling."""
    draw = random.Random(seed)
    scores, chances = [], []
    words = sorted({word.casefold() for concept in lexicon.values() for word in concept.words})
    for concept in lexicon.values():
        match = re.search(r"(?:ending in|ending with|suffix) -(\w+)$|(?:starting|beginning) with (\w+)-$", concept.name)
        if concept.kind != "morphology" or match is None:
            continue

        def has(word: str, ending: str | None = match[1], beginning: str | None = match[2]) -> bool:
            return word.endswith(ending) if ending else word.startswith(beginning or "")

        scores.append(sum(has(word.casefold()) for word in concept.words) / len(concept.words))
        chances.append(sum(map(has, words)) / len(words))
    return [_agreement("morphology", "affix", scores, sum(chances) / len(chances), 1.0, draw)] if scores else []


def _mean(wordnet: Any, word: str, others: list[str]) -> float:
    values = [_similarity(wordnet, word, other) for other in others if other != word]
    return sum(values) / max(1, len(values))


def _similarity(wordnet: Any, one: str, other: str) -> float:
    pairs = ((a, b) for a in wordnet.synsets(one)[:SENSES] for b in wordnet.synsets(other)[:SENSES])
    return max((a.path_similarity(b) or 0.0 for a, b in pairs if a.pos() == b.pos()), default=0.0)


def _is(wordnet: Any, word: str, pos: str) -> bool:
    return bool(wordnet.synsets(word, pos))


def _wins(own: float, foil: float) -> float:
    return 1.0 if own > foil else 0.5 if own == foil else 0.0


def _agreement(
    kind: str, measure: str, scores: list[float], chance: float, known: float, draw: random.Random
) -> Agreement:
    means = sorted(sum(draw.choices(scores, k=len(scores))) / len(scores) for _ in range(2000))
    mean = sum(scores) / len(scores)
    return Agreement(kind, measure, mean, means[50], means[1949], chance, len(scores), known)


def main() -> None:
    """Print the table of the docs."""
    lexicon = load_lexicon()
    with tempfile.TemporaryDirectory() as folder:
        wordnet = open_wordnet(Path(folder))
        rows = [*relatedness(lexicon, wordnet), *parts_of_speech(lexicon, wordnet), *affixes(lexicon)]
    print("| kind | measure | agreement (95 % interval) | chance | concepts | words known |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.kind} | {row.measure} | {row.value:.2f} ({row.low:.2f} to {row.high:.2f}) | {row.chance:.2f} "
            f"| {row.concepts} | {row.words_known:.0%} |"
        )


if __name__ == "__main__":
    main()
