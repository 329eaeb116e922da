"""Training of a classifier, with early stopping, and checkpoints that an interrupted run goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from conceptbench.eval.methods.protolm.checkpoints import CHECKPOINT_FILE, Checkpoints, training_digest
from conceptbench.eval.methods.protolm.heads import LinearHead, PrototypeHead
from conceptbench.eval.methods.protolm.model import Classifier
from conceptbench.eval.methods.protolm.settings import Training
from conceptbench.eval.methods.protolm.starting import begin
from conceptbench.eval.methods.protolm.tokens import TokenSource
from conceptbench.eval.methods.protolm.trainer import Epoch, Trainer
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress, Silent


class TrainingLog(NamedTuple):
    """The epochs in order, and the number of the one whose weights were taken, from 0."""

    epochs: list[Epoch]
    best: int


def train(
    classifier: Classifier[LinearHead] | Classifier[PrototypeHead],
    source: TokenSource,
    labels: np.ndarray,
    training: Training | None = None,
    *,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> TrainingLog:
    """Train a classifier in place; with checkpoints of an interrupted run, go on from these.

    The pooled vectors' standardisation and the prototypes' start are set first. With the same data, options and
    machine, a run that was killed and run again ends at the same weights as one that was not.

    Parameters
    ----------
    source : the training texts; `StoredTokens` for a frozen encoder, `LiveTokens` for a tuned one.
    labels : int array of shape (texts,): class numbers.
    training : the settings.
    checkpoints : a folder of this run alone; each epoch is stored there.
    progress : shows how many batches are done.

    Raises
    ------
    InputError
        if an option or label is wrong, a class has fewer examples than prototypes, or the checkpoints are of another
        run.
    ConceptBenchError
        if the loss is not finite.
    """
    training = training or Training()
    training.check()
    labels = np.asarray(labels, dtype=np.int64)
    fitted, dev = dev_split(labels, training.dev_share, training.seed)
    _check(classifier, source, labels, fitted)
    trainer = Trainer(classifier, source, labels, fitted, dev, training)
    store = Checkpoints(checkpoints, training_digest(classifier, source, labels, training)) if checkpoints else None
    if store is None or not store.load(trainer):
        begin(classifier, source, labels, fitted, training)
        trainer.remember()
    with (progress or Silent()).stage("Training", training.epochs * trainer.steps) as advance:
        advance(len(trainer.epochs) * trainer.steps)
        while not trainer.ended:
            for rows in trainer.order():
                trainer.step(rows)
                advance(1)
            trainer.end_epoch()
            if store is not None:
                store.save(trainer)
    classifier.load_weights(trainer.best_weights, Path(CHECKPOINT_FILE))
    return TrainingLog(trainer.epochs, trainer.best)


def dev_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those that are fitted and the dev part, by class; a class keeps at least one fitted row.

    Parameters
    ----------
    labels : int array of shape (texts,).
    share : of each class that is the dev part.
    seed : of the draw.

    Returns
    -------
    two sorted int arrays of rows.

    Examples
    --------
    >>> fitted, dev = dev_split(np.array([0, 0, 0, 0, 1]), share=0.25, seed=0)
    >>> len(fitted), len(dev)
    (4, 1)
    """
    generator = generator_of("prototypes dev", seed)
    dev = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        dev.append(rows[: min(round(share * len(rows)), len(rows) - 1)])
    dev_rows = np.sort(np.concatenate(dev))
    return np.setdiff1d(np.arange(len(labels)), dev_rows), dev_rows


def _check(classifier: Classifier[Any], source: TokenSource, labels: np.ndarray, fitted: np.ndarray) -> None:
    classes = len(classifier.labels)
    if labels.shape != (len(source),) or not len(labels):
        raise InputError(f"labels of shape {labels.shape} for {len(source)} texts: give one a text")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels from {labels.min()} to {labels.max()}: give class numbers from 0 to {classes - 1}")
    counts = np.bincount(labels[fitted], minlength=classes)
    prototypes = np.ones(classes, dtype=np.int64)
    if isinstance(classifier.head, PrototypeHead):
        prototypes = np.bincount(classifier.head.owner.cpu().numpy(), minlength=classes)
    short = np.flatnonzero(counts < np.maximum(prototypes, 1))
    if short.size:
        label = short[0]
        raise InputError(
            f"class {classifier.labels[label]!r} has {counts[label]} examples to fit (without the dev part) and "
            f"{prototypes[label]} prototypes: give fewer prototypes, or more examples"
        )
