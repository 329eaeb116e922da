"""The classifier that a run's folder gets: trained on all training texts, with descriptions of its prototypes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from conceptbench.eval.methods.protolm.descriptions import PrototypeDescription, write_descriptions
from conceptbench.eval.methods.protolm.explaining import project, prune
from conceptbench.eval.methods.protolm.model import PrototypeClassifier
from conceptbench.eval.methods.protolm.naming import name_prototypes
from conceptbench.eval.methods.protolm.tokens import joined
from conceptbench.eval.prototypes.contenders import Contender
from conceptbench.eval.prototypes.measuring import EncodedTexts, fit
from conceptbench.eval.prototypes.records import PrototypeRow, prototype_item
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress

CLASSIFIER_FOLDER: Final = "classifier"


def train_classifier(
    data: EncodedTexts, contender: Contender, rows: np.ndarray, *, checkpoints: Path, progress: Progress
) -> PrototypeClassifier:
    """Train Proto-lm on all training texts; a run that was stopped goes on at its last checkpoint."""
    classifier = fit(data, contender, rows, checkpoints=checkpoints / CLASSIFIER_FOLDER, progress=progress)
    assert isinstance(classifier, PrototypeClassifier)
    return classifier


def describe(
    classifier: PrototypeClassifier,
    data: EncodedTexts,
    rows: np.ndarray,
    *,
    helper: LLM | None,
    max_ngrams: int,
    seed: int,
    progress: Progress,
) -> list[PrototypeDescription]:
    """Describe a classifier's prototypes.

    Parameters
    ----------
    rows : those of the training texts.
    helper : names the prototypes that decide anything, by SASC; where it is None, none are named.
    max_ngrams : n-grams at most that names are made from.
    seed : of every draw.
    """
    texts = [data.texts.texts[row] for row in rows]
    source, labels = data.read(classifier, rows), data.texts.labels[rows]
    neighbours = project(classifier, source, texts, labels)
    used = set(prune(classifier, source, labels, refit=False).remaining.tolist())
    names = (
        name_prototypes(classifier, sorted(used), texts, helper, max_ngrams=max_ngrams, seed=seed, progress=progress)
        if helper is not None
        else {}
    )
    descriptions = []
    for number, owner in enumerate(classifier.head.owner.tolist()):
        name = names.get(number)
        descriptions.append(
            PrototypeDescription(
                label=data.texts.classes[owner],
                used=number in used,
                name=None if name is None else name.text,
                score=None if name is None else name.score,
                p=None if name is None else name.p,
                nearest=neighbours[number],
            )
        )
    return descriptions


def store(folder: Path, classifier: PrototypeClassifier, descriptions: list[PrototypeDescription]) -> None:
    """Write a classifier with the descriptions of its prototypes below a run's folder."""
    classifier.save_pretrained(folder / CLASSIFIER_FOLDER)
    write_descriptions(folder / CLASSIFIER_FOLDER, descriptions)


def prototype_row(number: int, description: PrototypeDescription) -> PrototypeRow:
    """Make the record of a prototype."""
    return PrototypeRow(
        item=prototype_item(number),
        label=description.label,
        used=description.used,
        name=description.name,
        score=description.score,
        p=description.p,
        nearest=tuple(joined(neighbour.text) for neighbour in description.nearest),
    )
