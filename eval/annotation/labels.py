"""Scores of labels by themselves: against the gold name, and by telling words apart."""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np

from conceptbench.benchmark.lexicon import (
    LANGUAGE_PREFIX,
    GoldConcept,
    Language,
    ancestors,
    load_language,
    load_lexicon,
)
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.annotation.scores import Scores, gold_of
from conceptbench.eval.stats.intervals import ratio_metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.similarity import Similarity, auroc, bertscore
from conceptbench.runtime.text_encoder import TextEncoder

LONGEST_LABEL: Final = 80
MOST_WORDS: Final = 10

_SHUFFLES = 10
_PUNCTUATION = string.punctuation + "“”‘’"
_MISSING = ("refused", "filtered", "unparsable", "failed")


class GoldScorer:
    """Tells whether a label is right for a gold concept.

    A label fails, whatever it holds, if it is longer than 80 characters or 10 words, or if the pattern of an
    unrelated concept takes it too: one outside the concept's own line of ancestors and descendants and its siblings.
    """

    def __init__(self, lexicon: Mapping[str, GoldConcept]) -> None:
        self._lexicon = lexicon
        self._lines = {concept.id: {wide.id for wide in ancestors(concept, lexicon)} for concept in lexicon.values()}

    def matches(self, label: str | None, concept: GoldConcept) -> bool:
        """Tell whether the concept's pattern takes the label and the guard lets it pass."""
        if label is None or len(label) > LONGEST_LABEL or len(label.split()) > MOST_WORDS:
            return False
        if not concept.accepts(label):
            return False
        return not any(self._unrelated(other, concept) and other.accepts(label) for other in self._lexicon.values())

    def includes(self, label: str | None, concept: GoldConcept) -> bool:
        """Tell whether the label holds the canonical name, case ignored: what a plain harness measures."""
        return label is not None and concept.name.casefold() in label.casefold()

    def in_line(self, one: str, other: str) -> bool:
        """Tell whether one concept is the other, or wider or narrower."""
        return one == other or other in self._lines[one] or one in self._lines[other]

    def _unrelated(self, other: GoldConcept, concept: GoldConcept) -> bool:
        return not self.in_line(other.id, concept.id) and (other.parent is None or other.parent != concept.parent)


def count_reasons(scores: Scores) -> None:
    """Count why labels are missing, and what asking again in another way recovered of those refused at first."""
    reasons = {record["reason"] for record in scores.items} | {None}
    for reason in _MISSING:
        if reason in reasons or reason == "refused":
            scores.values[reason] = {row: float(r["reason"] == reason) for row, r in enumerate(scores.items)}
    # Only where a model was asked more than once is there anything to recover.
    first = {
        row: record["attempts"][0]["reason"] in {"refused", "filtered"}
        for row, record in enumerate(scores.items)
        if record["attempts"]
    }
    if any(first.values()):
        scores.values["refused_first"] = {row: float(value) for row, value in first.items()}
        scores.values["recovered"] = {
            row: float(scores.items[row]["label"] is not None) for row, refused in first.items() if refused
        }


def match_gold(scores: Scores, similarity: Similarity, encoder: TextEncoder | None) -> None:
    """Score `gold_match`, `gold_includes`, `gold_similarity` and `bertscore`; a missing label counts 0."""
    gold = {row: concept for row, record in enumerate(scores.items) if (concept := gold_of(record)) is not None}
    if not gold:
        return
    labels = {row: scores.items[row]["label"] for row in gold}
    scorer = {row: scorer_of(scores.items[row]) for row in gold}
    scores.values["gold_match"] = {row: float(scorer[row].matches(labels[row], gold[row])) for row in gold}
    scores.values["gold_includes"] = {row: float(scorer[row].includes(labels[row], gold[row])) for row in gold}
    named = [row for row in gold if labels[row] is not None]
    names = [gold[row].name for row in named]
    given = [labels[row] for row in named]
    similarity.learn([*names, *given])
    closeness = (similarity.vectors(given) * similarity.vectors(names)).sum(axis=1) if named else np.zeros(0)
    scores.values["gold_similarity"] = dict.fromkeys(gold, 0.0) | dict(zip(named, closeness.tolist(), strict=True))
    if encoder is not None:
        found = bertscore(encoder, given, names).tolist()
        scores.values["bertscore"] = dict.fromkeys(gold, 0.0) | dict(zip(named, found, strict=True))


def without_copies(label: str, shown: Sequence[str]) -> str | None:
    """Leave out of a label the words that it copies from the list, if two or more; None where nothing is left.

    A list of examples tells words apart well, but names nothing.
    """
    listed = {word.casefold() for word in shown}
    pieces = label.split()
    copied = [piece.strip(_PUNCTUATION).casefold() in listed for piece in pieces]
    if len({piece.casefold() for piece, copy in zip(pieces, copied, strict=True) if copy}) < 2:
        return label
    left = " ".join(piece for piece, copy in zip(pieces, copied, strict=True) if not copy)
    return left if re.search(r"\w{3}", left) else None


def tell_words_apart(scores: Scores, similarity: Similarity, seed: int) -> None:
    """Score `discrimination` and `identification`, with their nulls from labels of other concepts.

    Both use what a label says beyond words that it copies.
    """
    items = scores.items
    said = {
        row: without_copies(record["label"], record["words"]) if record["label"] is not None else None
        for row, record in enumerate(items)
    }
    scores.values["copied"] = {row: float(said[row] != record["label"]) for row, record in enumerate(items)}
    tested = [row for row, record in enumerate(items) if record["held_out"] and record["strangers"]]
    if not tested:
        scores.undefined["discrimination"] = "No concept has words to hold out."
        return
    similarity.centre_on([w for row in tested for w in (*items[row]["held_out"], *items[row]["strangers"])])
    named = {row: concept.name for row in tested if (concept := gold_of(items[row])) is not None}
    texts = sorted({text for text in said.values() if text is not None} | set(named.values()))
    similarity.learn(texts)
    vector_of = dict(zip(texts, similarity.centred(texts), strict=True))
    words = {
        row: (similarity.centred(items[row]["held_out"]), similarity.centred(items[row]["strangers"])) for row in tested
    }

    def tells(text: str | None, row: int) -> float:
        if text is None:
            return 0.5
        own, strange = words[row]
        return auroc(own @ vector_of[text], strange @ vector_of[text])

    others = {row: _texts_of_others(scores, said, row, seed) for row in tested}
    scores.values["discrimination"] = {row: tells(said[row], row) for row in tested}
    scores.values["discrimination_shuffled"] = {
        row: float(np.mean([tells(text, row) for text in others[row]])) for row in tested if others[row]
    }
    if named:
        scores.values["discrimination_gold"] = {row: tells(name, row) for row, name in named.items()}
    _identify(scores, tested, similarity, said, vector_of, others)


def normalise(scores: Scores, seed: int) -> None:
    """Put `discrimination` on a scale on which a shuffled label is 0 and the gold label is 1."""
    gold, shuffled = (scores.values.get(f"discrimination_{name}") for name in ("gold", "shuffled"))
    if gold is None or shuffled is None:
        return
    found = scores.values["discrimination"]
    name = "discrimination_normalised"
    for group, rows in scores.groups([row for row in gold if row in shuffled]).items():
        concepts = scores.concepts(rows)
        ratio = ratio_metric(
            [found[row] - shuffled[row] for row in rows], [gold[row] - shuffled[row] for row in rows], concepts, seed
        )
        if ratio is not None:
            scores.metrics[name + group] = ratio
        elif group == "":
            scores.undefined[name] = "The gold labels do not clearly beat shuffled ones with this encoder."


def _identify(
    scores: Scores,
    rows: Sequence[int],
    similarity: Similarity,
    said: Mapping[int, str | None],
    vector_of: Mapping[str, np.ndarray],
    others: Mapping[int, Sequence[str]],
) -> None:
    """Rank every concept of the sample by each label; concepts of other layers, and wider or narrower ones, are out."""
    samples: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for row in rows:
        record = scores.items[row]
        samples[record["condition"], record["model"], record["layer"], record["language"]].append(row)
    found: dict[int, float] = {}
    null: dict[int, float] = {}
    for (_, _, _, language), sample in samples.items():
        words: dict[str, list[str]] = {}
        for row in sample:
            record = scores.items[row]
            words.setdefault(record["concept"], []).extend(record["held_out"])
        concepts = list(words)
        if len(concepts) < 2:
            continue
        prototypes = similarity.prototypes([sorted(set(own)) for own in words.values()])
        rivals = np.ones((len(concepts), len(concepts)), dtype=bool)
        if language is not None:
            scorer = scorer_of(scores.items[sample[0]])
            rivals = np.array([[not scorer.in_line(one, other) for other in concepts] for one in concepts])
        np.fill_diagonal(rivals, val=False)
        for row in sample:
            own = concepts.index(scores.items[row]["concept"])
            label = said[row]
            given = [] if label is None else [label]
            firsts = _ranks_first(prototypes, vector_of, [*given, *others[row]], own, rivals[own])
            found[row] = firsts[0] if given else 0.0
            if others[row]:
                null[row] = float(np.mean(firsts[len(given) :]))
    if found:
        scores.values["identification"] = found
        scores.values["identification_shuffled"] = null
    else:
        scores.undefined["identification"] = "There are no two concepts of one layer to choose between."


def _ranks_first(
    prototypes: np.ndarray, vector_of: Mapping[str, np.ndarray], labels: Sequence[str], own: int, rivals: np.ndarray
) -> list[float]:
    """Tell for each label whether it is closer to its own concept than to every rival."""
    if not labels or not rivals.any():
        return [0.0] * len(labels)
    closeness = prototypes @ np.stack([vector_of[label] for label in labels]).T
    first: list[float] = (closeness[own] > closeness[rivals].max(axis=0)).astype(float).tolist()
    return first


def _texts_of_others(scores: Scores, said: Mapping[int, str | None], row: int, seed: int) -> list[str]:
    """Draw what was said of other concepts under the same condition."""
    record = scores.items[row]
    texts = [
        text
        for other, text in said.items()
        if text is not None
        and scores.items[other]["concept"] != record["concept"]
        and scores.items[other]["condition"] == record["condition"]
    ]
    generator = generator_of("shuffled", seed, record["condition"], record["item"])
    return [texts[i] for i in generator.integers(len(texts), size=_SHUFFLES)] if texts else []


def scorer_of(record: Record) -> GoldScorer:
    """Give the scorer over the lexicon that a gold item is from."""
    return _scorer(record["language"], record["concept"].startswith(LANGUAGE_PREFIX))


@cache
def _scorer(language: Language, small: bool) -> GoldScorer:
    return GoldScorer(load_language(language) if small else load_lexicon())
