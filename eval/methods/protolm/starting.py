"""Where a training starts: the standardisation of pooled vectors, and the first prototypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from conceptbench.eval.methods.protolm.heads import PrototypeHead
from conceptbench.eval.methods.protolm.model import Classifier
from conceptbench.eval.methods.protolm.settings import Start, Training
from conceptbench.eval.methods.protolm.tokens import TokenSource, batches
from conceptbench.runtime.draws import generator_of


def start_prototypes(pooled: np.ndarray, labels: np.ndarray, owner: np.ndarray, start: Start, seed: int) -> np.ndarray:
    """Find where prototypes start.

    Parameters
    ----------
    pooled : float array of shape (texts, width).
    labels : int array of shape (texts,).
    owner : int array of shape (prototypes,): each prototype's class.
    start : `kmeans` or `examples`.
    seed : of the draws, or of k-means.

    Returns
    -------
    float32 array of shape (prototypes, width).

    Examples
    --------
    >>> pooled = np.array([[0.0], [0.0], [4.0], [4.0]])
    >>> labels = np.array([0, 0, 1, 1])
    >>> start_prototypes(pooled, labels, np.array([0, 1]), "examples", seed=0).tolist()
    [[0.0], [4.0]]
    """
    from sklearn.cluster import KMeans

    prototypes = np.zeros((len(owner), pooled.shape[1]), dtype=np.float32)
    for label in np.unique(owner):
        generator = generator_of("prototypes start", seed, label)
        vectors, rows = pooled[labels == label], np.flatnonzero(owner == label)
        if start == "examples":
            prototypes[rows] = vectors[generator.permutation(len(vectors))[: len(rows)]]
        else:
            means = KMeans(len(rows), n_init=1, random_state=int(generator.integers(2**32))).fit(vectors)
            prototypes[rows] = means.cluster_centers_
    return prototypes


def begin(
    classifier: Classifier[Any], source: TokenSource, labels: np.ndarray, fitted: np.ndarray, training: Training
) -> None:
    """Set what is computed from the data before the first step.

    Parameters
    ----------
    classifier : gets the mean and deviation of pooled vectors, and its prototypes.
    source, labels : the training texts and their classes.
    fitted : int array of the rows that are fitted, without the dev part.
    training : says where prototypes start.
    """
    head = classifier.head
    head.pooling.standardise(source, fitted)
    if not isinstance(head, PrototypeHead):
        return
    pooled = np.zeros((len(fitted), classifier.encoder.width), dtype=np.float32)
    with torch.inference_mode():
        for rows in batches(source.lengths[fitted]):
            pooled[rows] = head.pooling(source.batch(fitted[rows]))[0].cpu().numpy()
    prototypes = start_prototypes(pooled, labels[fitted], head.owner.cpu().numpy(), training.start, training.seed)
    with torch.no_grad():
        head.prototypes.copy_(torch.from_numpy(prototypes))
