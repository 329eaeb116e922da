"""Scores of labels by themselves: why some are missing, and how well they tell words and concepts apart."""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from conceptbench.eval.annotation.gold import gold_of, scorer_of
from conceptbench.eval.annotation.groups import Measured, Values, breakdowns, resampled_units
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.intervals import ratio_metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.similarity import Similarity, auroc

CHANCE: Final = 0.5
"""The AUROC of a label that tells nothing, and what a missing label counts."""

_SHUFFLES = 10
_PUNCTUATION = string.punctuation + "“”‘’"
_REFUSED = "refused"
_MISSING = (_REFUSED, "filtered", "unparsable", "failed")


def reason_values(items: Sequence[Record]) -> dict[str, Values]:
    """Count why labels are missing, and what asking again in another way recovered of those refused at first."""
    present = {item.reason for item in items} | {_REFUSED}
    values: dict[str, Values] = {
        reason: {number: float(item.reason == reason) for number, item in enumerate(items)}
        for reason in _MISSING
        if reason in present
    }
    # Only where a model was asked more than once is there anything to recover.
    first = {
        number: item.attempts[0].reason in {"refused", "filtered"} for number, item in enumerate(items) if item.attempts
    }
    if any(first.values()):
        values["refused_first"] = {number: float(refused) for number, refused in first.items()}
        values["recovered"] = {
            number: float(items[number].label is not None) for number, refused in first.items() if refused
        }
    return values


def without_copies(label: str, words: Sequence[str]) -> str | None:
    """Leave out of a label the words that it copies from the list, if two or more; None where nothing is left.

    A list of examples tells words apart well, but names nothing.

    Examples
    --------
    >>> without_copies("animals: dog, cat", ["dog", "cat", "cow"])
    'animals:'
    >>> without_copies("dog food", ["dog", "cat", "cow"])
    'dog food'
    """
    listed = {word.casefold() for word in words}
    pieces = label.split()
    copied = [piece.strip(_PUNCTUATION).casefold() in listed for piece in pieces]
    if len({piece.casefold() for piece, copy in zip(pieces, copied, strict=True) if copy}) < 2:
        return label
    rest = " ".join(piece for piece, copy in zip(pieces, copied, strict=True) if not copy)
    return rest if re.search(r"\w{3}", rest) else None


def telling_apart(items: Sequence[Record], similarity: Similarity, seed: int) -> Measured:
    """Score `copied`, `discrimination` and `identification`, with their nulls from labels of other concepts.

    The last two use what a label says beyond words that it copies.
    """
    texts = [without_copies(item.label, item.words) if item.label is not None else None for item in items]
    copied = {number: float(texts[number] != item.label) for number, item in enumerate(items)}
    tested = [number for number, item in enumerate(items) if item.held_out and item.strangers]
    if not tested:
        return Measured({"copied": copied}, undefined={"discrimination": "No concept has words to hold out."})
    sample = _encoded(items, texts, tested, similarity, seed)
    discrimination = _discrimination(sample)
    identification = _identification(sample, similarity)
    undefined = (
        {} if identification else {"identification": "There are no two concepts of one layer to choose between."}
    )
    return Measured({"copied": copied} | discrimination | identification, undefined=undefined)


def normalised(items: Sequence[Record], values: Mapping[str, Values], seed: int) -> Measured:
    """Put `discrimination` on a scale on which a shuffled label is 0 and the gold label is 1."""
    gold, shuffled = (values.get(f"discrimination_{name}") for name in ("gold", "shuffled"))
    if gold is None or shuffled is None:
        return Measured()
    discrimination = values["discrimination"]
    metrics: dict[MetricKey, Metric] = {}
    undefined = {}
    for key, numbers in breakdowns(items, [number for number in gold if number in shuffled]).items():
        ratio = ratio_metric(
            [discrimination[number] - shuffled[number] for number in numbers],
            [gold[number] - shuffled[number] for number in numbers],
            resampled_units(items, numbers),
            seed,
        )
        if ratio is not None:
            metrics[key._replace(name="discrimination_normalised")] = ratio
        elif key.headline:
            undefined["discrimination_normalised"] = (
                "The gold labels do not clearly beat shuffled ones with this encoder."
            )
    return Measured(metrics=metrics, undefined=undefined)


@dataclass(frozen=True)
class _Encoded:
    """Items that have words to test labels on, with what those words and the labels are to the encoder.

    `texts` are what the labels say, by item; `others` are such texts of other concepts; `words` the centred vectors
    of an item's held-out words and strangers; `vector_of` that of each text and gold name.
    """

    items: Sequence[Record]
    tested: Sequence[int]
    texts: Sequence[str | None]
    others: Mapping[int, Sequence[str]]
    gold_names: Mapping[int, str]
    words: Mapping[int, tuple[np.ndarray, np.ndarray]]
    vector_of: Mapping[str, np.ndarray]

    def auroc(self, text: str | None, number: int) -> float:
        """Tell how well a text tells the held-out words of an item from the strangers."""
        if text is None:
            return CHANCE
        held_out, strangers = self.words[number]
        return auroc(held_out @ self.vector_of[text], strangers @ self.vector_of[text])


def _encoded(
    items: Sequence[Record], texts: Sequence[str | None], tested: Sequence[int], similarity: Similarity, seed: int
) -> _Encoded:
    similarity.centre_on([word for number in tested for word in (*items[number].held_out, *items[number].strangers)])
    gold_names = {number: concept.name for number in tested if (concept := gold_of(items[number])) is not None}
    distinct = sorted({text for text in texts if text is not None} | set(gold_names.values()))
    similarity.learn(distinct)
    vector_of = dict(zip(distinct, similarity.centred(distinct), strict=True))
    return _Encoded(
        items=items,
        tested=tested,
        texts=texts,
        others={number: _texts_of_others(items, texts, number, seed) for number in tested},
        gold_names=gold_names,
        words={
            number: (similarity.centred(items[number].held_out), similarity.centred(items[number].strangers))
            for number in tested
        },
        vector_of=vector_of,
    )


def _texts_of_others(items: Sequence[Record], texts: Sequence[str | None], number: int, seed: int) -> list[str]:
    """Draw what labels of other concepts under the same condition say."""
    item = items[number]
    candidates = [
        text
        for text, rival in zip(texts, items, strict=True)
        if text is not None and rival.concept != item.concept and rival.condition == item.condition
    ]
    generator = generator_of("shuffled", seed, item.condition, item.item)
    return [candidates[i] for i in generator.integers(len(candidates), size=_SHUFFLES)] if candidates else []


def _discrimination(sample: _Encoded) -> dict[str, Values]:
    """Score how well labels, shuffled labels and gold names tell words of a concept from those of its neighbours."""
    values: dict[str, Values] = {
        "discrimination": {number: sample.auroc(sample.texts[number], number) for number in sample.tested},
        "discrimination_shuffled": {
            number: float(np.mean([sample.auroc(text, number) for text in sample.others[number]]))
            for number in sample.tested
            if sample.others[number]
        },
    }
    if sample.gold_names:
        values["discrimination_gold"] = {
            number: sample.auroc(name, number) for number, name in sample.gold_names.items()
        }
    return values


def _identification(sample: _Encoded, similarity: Similarity) -> dict[str, Values]:
    """Rank every concept of the sample by each label; nothing where there are no two concepts of one layer."""
    rooms: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for number in sample.tested:
        item = sample.items[number]
        rooms[item.condition, item.model, item.layer, item.language].append(number)
    identified: dict[int, float] = {}
    shuffled: dict[int, float] = {}
    for numbers in rooms.values():
        words: dict[str, list[str]] = {}
        for number in numbers:
            words.setdefault(sample.items[number].concept, []).extend(sample.items[number].held_out)
        concepts = list(words)
        if len(concepts) < 2:
            continue
        prototypes = similarity.prototypes([sorted(set(members)) for members in words.values()])
        rivals = _rivals(concepts, sample.items[numbers[0]])
        for number in numbers:
            row = concepts.index(sample.items[number].concept)
            text, others = sample.texts[number], sample.others[number]
            labels = others if text is None else [text, *others]
            firsts = _ranks_first(prototypes, sample.vector_of, labels, row, rivals[row])
            identified[number] = 0.0 if text is None else firsts[0]
            if others:
                shuffled[number] = float(np.mean(firsts[-len(others) :]))
    return {"identification": identified, "identification_shuffled": shuffled} if identified else {}


def _rivals(concepts: Sequence[str], item: Record) -> np.ndarray:
    """Tell which concepts a label chooses between: wider and narrower ones are out. Bool of shape (concepts, concepts).

    Parameters
    ----------
    item : any of the items that the concepts are of; it says which lexicon they are from.
    """
    rivals = np.ones((len(concepts), len(concepts)), dtype=bool)
    if item.language is not None:
        scorer = scorer_of(item)
        rivals = np.array([[not scorer.in_line(first, second) for second in concepts] for first in concepts])
    np.fill_diagonal(rivals, val=False)
    return rivals


def _ranks_first(
    prototypes: np.ndarray, vector_of: Mapping[str, np.ndarray], labels: Sequence[str], row: int, rivals: np.ndarray
) -> list[float]:
    """Tell for each label whether it is closer to the concept of a row than to every rival."""
    if not labels or not rivals.any():
        return [0.0] * len(labels)
    closeness = prototypes @ np.stack([vector_of[label] for label in labels]).T
    first: list[float] = (closeness[row] > closeness[rivals].max(axis=0)).astype(float).tolist()
    return first
