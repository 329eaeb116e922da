"""The steps of a training: AdamW, and early stopping by a part of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from conceptbench.eval.methods.protolm.model import Classifier
from conceptbench.eval.methods.protolm.settings import Training
from conceptbench.eval.methods.protolm.tokens import TokenSource, batches
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import ConceptBenchError

_CLIP = 1.0


class Epoch(NamedTuple):
    """The loss and its terms in one epoch, means over its batches; and the scores on the dev part, if there is one."""

    loss: float
    cross_entropy: float
    cohesion: float
    separation: float
    dev_cross_entropy: float | None
    dev_accuracy: float | None


class Trainer:
    """A training under way.

    Parameters
    ----------
    classifier : is trained in place.
    source, labels : the training texts, and their class numbers of shape (texts,).
    fitted, dev : int arrays of the rows that are fitted, and of those that decide when to stop.
    training : the settings.

    Attributes
    ----------
    parameters : what is trained, by name.
    epochs : those that have ended.
    best : the number of the epoch whose weights `best_weights` are.
    """

    def __init__(
        self,
        classifier: Classifier[Any],
        source: TokenSource,
        labels: np.ndarray,
        fitted: np.ndarray,
        dev: np.ndarray,
        training: Training,
    ) -> None:
        self.classifier, self.training = classifier, training
        self._source, self._labels, self._fitted, self._dev = source, labels, fitted, dev
        self.parameters = _parameters(classifier, training)
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [value],
                    "lr": _rate(name, training),
                    "weight_decay": training.weight_decay if value.ndim > 1 and "prototypes" not in name else 0.0,
                }
                for name, value in self.parameters.items()
            ]
        )
        self.epochs: list[Epoch] = []
        self.best = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self._sums: list[list[float]] = []

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return -(-len(self._fitted) // self.training.batch)

    @property
    def ended(self) -> bool:
        """Whether all epochs are run, or the dev part has not improved for too long."""
        done = len(self.epochs)
        patient = not self._dev.size or done - 1 - self.best < self.training.patience
        return done >= self.training.epochs or (done > 0 and not patient)

    def remember(self) -> None:
        """Take the weights as they are for the best ones."""
        self.best_weights = {name: value.detach().cpu().clone() for name, value in self.classifier.weights().items()}

    def order(self) -> Iterator[np.ndarray]:
        """Give the rows of each batch of an epoch, in an order drawn by the seed and the epoch's number."""
        generator = generator_of("prototypes order", self.training.seed, len(self.epochs))
        rows = self._fitted[generator.permutation(len(self._fitted))]
        with self._dropout(int(generator.integers(2**31))):
            for start in range(0, len(rows), self.training.batch):
                yield rows[start : start + self.training.batch]

    def step(self, rows: np.ndarray) -> None:
        """Take a step of gradient descent on a batch.

        Raises
        ------
        ConceptBenchError
            if the loss is not finite.
        """
        targets = torch.from_numpy(self._labels[rows]).to(self.classifier.encoder.device)
        self.optimizer.zero_grad()
        losses = self.classifier.head.loss(self.classifier.head(self._source.batch(rows)), targets)
        if not torch.isfinite(losses.total):
            raise ConceptBenchError(
                f"the loss is {losses.total.item()} in epoch {len(self.epochs)}: give a lower learning rate, or "
                "lower weights to cohesion and separation"
            )
        torch.autograd.backward(losses.total)
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), _CLIP)
        self.optimizer.step()
        self._sums.append(torch.stack(losses).tolist())

    def end_epoch(self) -> None:
        """Score the dev part, and remember the weights if they are the best so far."""
        cross_entropy, accuracy = self._score_dev() if self._dev.size else (None, None)
        total, *terms = np.mean(self._sums, axis=0).tolist()
        self._sums = []
        self.epochs.append(Epoch(total, terms[0], terms[1], terms[2], cross_entropy, accuracy))
        least = self.epochs[self.best].dev_cross_entropy
        if len(self.epochs) == 1 or cross_entropy is None or least is None or cross_entropy < least:
            self.best = len(self.epochs) - 1
            self.remember()

    @torch.inference_mode()
    def _score_dev(self) -> tuple[float, float]:
        lost = right = 0.0
        for batch in batches(self._source.lengths[self._dev]):
            rows = self._dev[batch]
            logits = self.classifier.head(self._source.batch(rows)).logits
            targets = torch.from_numpy(self._labels[rows]).to(logits.device)
            lost += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            right += float((logits.argmax(dim=1) == targets).sum())
        return lost / len(self._dev), right / len(self._dev)

    @contextmanager
    def _dropout(self, seed: int) -> Iterator[None]:
        """Switch a tuned encoder's dropout on, drawn by the seed; torch's own random numbers stay as they are."""
        network = self.classifier.encoder.network
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network.train(self.classifier.tuned)
            try:
                yield
            finally:
                network.eval()


def _rate(name: str, training: Training) -> float:
    if name.startswith("encoder."):
        return training.encoder_rate
    return training.prototype_rate if name == "head.prototypes" else training.rate


def _parameters(classifier: Classifier[Any], training: Training) -> dict[str, torch.nn.Parameter]:
    """Give what is trained, by name."""
    parameters = {f"head.{name}": value for name, value in classifier.head.named_parameters()}
    if not training.learned:
        parameters.pop("head.prototypes", None)
    if classifier.tuned:
        # BERT's pooler comes after the last hidden state, and gets no gradient.
        encoder = {f"encoder.{name}": value for name, value in classifier.encoder.network.named_parameters()}
        parameters |= {name: value for name, value in encoder.items() if not name.startswith("encoder.pooler.")}
    return parameters
