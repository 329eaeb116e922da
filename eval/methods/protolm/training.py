"""Training of a classifier: AdamW, early stopping on a part of the training data, checkpoints that runs go on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import torch

from conceptbench.eval.methods.protolm.model import (
    Classifier,
    LinearHead,
    PrototypeClassifier,
    PrototypeHead,
    read_tensors,
    write_tensors,
)
from conceptbench.eval.methods.protolm.tokens import TokenSource, batches
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import remove_temporaries, write_json
from conceptbench.runtime.progress import Progress, Silent

Start = Literal["kmeans", "examples"]
"""Where prototypes start: the centres of k-means over their class's vectors, or vectors drawn from it."""

CHECKPOINT_FILE: Final = "checkpoint.json"
PULL: Final = 1e-3
"""Of `refit_last_layer`."""

_CLIP = 1.0
_REFIT_STEPS = 500
_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Training:
    """How a classifier is trained.

    `rate` is AdamW's learning rate for the head, `prototype_rate` for its prototypes and `encoder_rate` for a tuned
    encoder; `weight_decay` is not applied to prototypes. Training ends when the cross-entropy on the dev part has not
    fallen for `patience` epochs, and the best epoch's weights are kept; with `dev_share` 0 all epochs are run and the
    last is kept. With `learned` False the prototypes stay where they start, which is a baseline.
    """

    epochs: int = 60
    batch: int = 32
    rate: float = 1e-3
    prototype_rate: float = 5e-3
    encoder_rate: float = 2e-5
    weight_decay: float = 0.01
    patience: int = 8
    dev_share: float = 0.15
    start: Start = "kmeans"
    learned: bool = True
    seed: int = 0

    def check(self) -> None:
        """Raise an InputError where a value makes no sense."""
        if min(self.epochs, self.batch, self.patience) < 1:
            raise InputError("epochs, batch and patience: give 1 or more")
        if min(self.rate, self.prototype_rate, self.encoder_rate) <= 0 or self.weight_decay < 0:
            raise InputError("learning rates must be above 0, and weight decay 0 or more")
        if not 0 <= self.dev_share < 1:
            raise InputError(f"dev share {self.dev_share:g}: give 0 or more, and below 1")
        if self.start not in get_args(Start):
            raise InputError(f"start {self.start!r}: give one of {', '.join(get_args(Start))}")


class Epoch(NamedTuple):
    """What an epoch came to: means of the loss and its terms over the batches, and the dev part's, if there is one."""

    loss: float
    cross_entropy: float
    cohesion: float
    separation: float
    dev_cross_entropy: float | None
    dev_accuracy: float | None


class TrainingLog(NamedTuple):
    """The epochs in order, and the number of the one whose weights were kept, from 0."""

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
    """Train a classifier in place, from wherever the checkpoints are.

    The pooled vectors' standardisation and the prototypes' start are set first. With the same data, options and
    machine, a run that was killed and run again ends at the same weights as one that was not.

    Parameters
    ----------
    source : the training texts; `KeptTokens` for a frozen encoder, `LiveTokens` for a tuned one.
    labels : int array of shape (texts,): class numbers.
    checkpoints : a folder of this run alone; each epoch is kept there.

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
    run = _Run(classifier, source, labels, fitted, dev, training)
    store = _Checkpoints(checkpoints, _digest(classifier, source, labels, training)) if checkpoints else None
    if store is None or not store.load(run):
        _begin(classifier, source, labels, fitted, training)
        run.keep()
    with (progress or Silent()).stage("Training", training.epochs * run.steps) as advance:
        advance(len(run.epochs) * run.steps)
        while not run.ended:
            for rows in run.order():
                run.step(rows)
                advance(1)
            run.end_epoch()
            if store is not None:
                store.save(run)
    classifier.load_weights(run.best_weights, Path(CHECKPOINT_FILE))
    return TrainingLog(run.epochs, run.best)


def dev_split(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those that are fitted and the dev part, by class; a class keeps at least one fitted row.

    Returns
    -------
    two sorted int arrays of rows.
    """
    generator = generator_of("prototypes dev", seed)
    dev = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        dev.append(rows[: min(round(share * len(rows)), len(rows) - 1)])
    taken = np.sort(np.concatenate(dev))
    return np.setdiff1d(np.arange(len(labels)), taken), taken


def start_prototypes(pooled: np.ndarray, labels: np.ndarray, owner: np.ndarray, start: Start, seed: int) -> np.ndarray:
    """Find where prototypes start.

    Parameters
    ----------
    pooled : float array of shape (texts, width).
    labels : int array of shape (texts,).
    owner : int array of shape (prototypes,): each prototype's class.

    Returns
    -------
    float32 array of shape (prototypes, width).
    """
    from sklearn.cluster import KMeans

    found = np.zeros((len(owner), pooled.shape[1]), dtype=np.float32)
    for label in np.unique(owner):
        generator = generator_of("prototypes start", seed, label)
        vectors, places = pooled[labels == label], np.flatnonzero(owner == label)
        if start == "examples":
            found[places] = vectors[generator.permutation(len(vectors))[: len(places)]]
        else:
            means = KMeans(len(places), n_init=1, random_state=int(generator.integers(2**32))).fit(vectors)
            found[places] = means.cluster_centers_
    return found


def refit_last_layer(
    classifier: PrototypeClassifier, source: TokenSource, labels: np.ndarray, *, pull: float = PULL
) -> PrototypeClassifier:
    """Fit the layer from similarities to classes anew, and leave all else as it is.

    Minimises the mean cross-entropy plus pull/2·‖W - W₀‖², with W₀ the weights as they are: a convex problem, solved
    by L-BFGS.
    """
    similarities = torch.from_numpy(classifier.read(source).similarities).double()
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    before = classifier.head.classes.weight.detach().cpu().double()
    weights = before.clone().requires_grad_()
    solver: Any = torch.optim.LBFGS(
        [weights], max_iter=_REFIT_STEPS, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.cross_entropy(similarities @ weights.T, targets)
        loss = loss + pull / 2 * ((weights - before) ** 2).sum()
        torch.autograd.backward(loss)
        return loss

    solver.step(closure)
    return classifier.with_prototypes(classifier.head.prototypes.detach(), weights.detach().float())


class _Run:
    """A training under way."""

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
        self.named = _parameters(classifier, training)
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [value],
                    "lr": _rate(name, training),
                    "weight_decay": training.weight_decay if value.ndim > 1 and "prototypes" not in name else 0.0,
                }
                for name, value in self.named.items()
            ]
        )
        self.epochs: list[Epoch] = []
        self.best = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self._sums: list[list[float]] = []

    @property
    def steps(self) -> int:
        return -(-len(self._fitted) // self.training.batch)

    @property
    def ended(self) -> bool:
        done = len(self.epochs)
        patient = not self._dev.size or done - 1 - self.best < self.training.patience
        return done >= self.training.epochs or (done > 0 and not patient)

    def keep(self) -> None:
        self.best_weights = {name: value.detach().cpu().clone() for name, value in self.classifier.weights().items()}

    def order(self) -> Iterator[np.ndarray]:
        """Give an epoch's batches, which hang on the seed and the epoch alone."""
        epoch = len(self.epochs)
        drawn = generator_of("prototypes order", self.training.seed, epoch)
        rows = self._fitted[drawn.permutation(len(self._fitted))]
        with self._dropout(int(drawn.integers(2**31))):
            for start in range(0, len(rows), self.training.batch):
                yield rows[start : start + self.training.batch]

    def step(self, rows: np.ndarray) -> None:
        targets = torch.from_numpy(self._labels[rows]).to(self.classifier.encoder.device)
        self.optimizer.zero_grad()
        losses = self.classifier.head.loss(self.classifier.head(self._source.batch(rows)), targets)
        if not torch.isfinite(losses.total):
            raise ConceptBenchError(
                f"the loss is {losses.total.item()} in epoch {len(self.epochs)}: give a lower learning rate, or "
                "lower weights to cohesion and separation"
            )
        torch.autograd.backward(losses.total)
        torch.nn.utils.clip_grad_norm_(list(self.named.values()), _CLIP)
        self.optimizer.step()
        self._sums.append(torch.stack(losses).tolist())

    def end_epoch(self) -> None:
        cross_entropy, accuracy = self._score_dev() if self._dev.size else (None, None)
        total, *terms = np.mean(self._sums, axis=0).tolist()
        self._sums = []
        self.epochs.append(Epoch(total, terms[0], terms[1], terms[2], cross_entropy, accuracy))
        least = self.epochs[self.best].dev_cross_entropy
        if len(self.epochs) == 1 or cross_entropy is None or least is None or cross_entropy < least:
            self.best = len(self.epochs) - 1
            self.keep()

    @torch.inference_mode()
    def _score_dev(self) -> tuple[float, float]:
        lost = right = 0.0
        for places in batches(self._source.lengths[self._dev]):
            rows = self._dev[places]
            logits = self.classifier.head(self._source.batch(rows)).logits
            targets = torch.from_numpy(self._labels[rows]).to(logits.device)
            lost += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
            right += float((logits.argmax(dim=1) == targets).sum())
        return lost / len(self._dev), right / len(self._dev)

    @contextmanager
    def _dropout(self, seed: int) -> Iterator[None]:
        """Let a tuned encoder drop out, by the seed and without changing anyone else's random numbers."""
        network = self.classifier.encoder.network
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network.train(self.classifier.tuned)
            try:
                yield
            finally:
                network.eval()


class _Checkpoints:
    """A folder with a run's last epoch: `checkpoint.json` names the file of weights that goes with it."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder, self._digest = folder, digest

    def save(self, run: _Run) -> None:
        file = f"epoch-{len(run.epochs):04d}.safetensors"
        tensors = {f"now.{name}": value for name, value in run.classifier.weights().items()}
        tensors |= {f"best.{name}": value for name, value in run.best_weights.items()}
        for name, value in run.named.items():
            tensors |= {f"adam.{key}.{name}": run.optimizer.state[value][key] for key in _STATE}
        write_tensors(self._folder / file, tensors)
        write_json(
            self._folder / CHECKPOINT_FILE,
            {"run": self._digest, "weights": file, "best": run.best, "epochs": [own._asdict() for own in run.epochs]},
        )
        for old in self._folder.glob("epoch-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)

    def load(self, run: _Run) -> bool:
        """Put a run where it was; tell whether there was anything."""
        remove_temporaries(self._folder)
        path = self._folder / CHECKPOINT_FILE
        if not path.exists():
            return False
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            run_digest, file, best = content["run"], self._folder / content["weights"], int(content["best"])
            epochs = [Epoch(**own) for own in content["epochs"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a checkpoint ({error}); remove {self._folder} to begin anew") from error
        if run_digest != self._digest:
            raise InputError(
                f"{path}: a checkpoint of another model, of other data or other options; give another folder, or "
                f"remove {self._folder} to begin anew"
            )
        tensors = read_tensors(file)
        run.classifier.load_weights(_below("now.", tensors), file)
        run.best_weights = _below("best.", tensors)
        for name, value in run.named.items():
            run.optimizer.state[value] = {
                key: tensors[f"adam.{key}.{name}"].to("cpu" if key == "step" else value.device) for key in _STATE
            }
        run.epochs, run.best = epochs, best
        return True


def _rate(name: str, training: Training) -> float:
    if name.startswith("encoder."):
        return training.encoder_rate
    return training.prototype_rate if name == "head.prototypes" else training.rate


def _parameters(classifier: Classifier[Any], training: Training) -> dict[str, torch.nn.Parameter]:
    """Give what is trained, by name."""
    named = {f"head.{name}": value for name, value in classifier.head.named_parameters()}
    if not training.learned:
        named.pop("head.prototypes", None)
    if classifier.tuned:
        # A layer that the last hidden state does not hang on, such as BERT's pooler, gets no gradient.
        used = {f"encoder.{name}": value for name, value in classifier.encoder.network.named_parameters()}
        named |= {name: value for name, value in used.items() if not name.startswith("encoder.pooler.")}
    return named


def _check(classifier: Classifier[Any], source: TokenSource, labels: np.ndarray, fitted: np.ndarray) -> None:
    classes = len(classifier.labels)
    if labels.shape != (len(source),) or not len(labels):
        raise InputError(f"labels of shape {labels.shape} for {len(source)} texts: give one a text")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels from {labels.min()} to {labels.max()}: give class numbers from 0 to {classes - 1}")
    counts = np.bincount(labels[fitted], minlength=classes)
    wanted = np.ones(classes, dtype=np.int64)
    if isinstance(classifier.head, PrototypeHead):
        wanted = np.bincount(classifier.head.owner.cpu().numpy(), minlength=classes)
    short = np.flatnonzero(counts < np.maximum(wanted, 1))
    if short.size:
        label = short[0]
        raise InputError(
            f"class {classifier.labels[label]!r} has {counts[label]} examples to fit (without the dev part) and "
            f"{wanted[label]} prototypes: give fewer prototypes, or more examples"
        )


def _begin(
    classifier: Classifier[Any], source: TokenSource, labels: np.ndarray, fitted: np.ndarray, training: Training
) -> None:
    """Set what is computed from the data before the first step."""
    head = classifier.head
    head.pooling.standardise(source, fitted)
    if not isinstance(head, PrototypeHead):
        return
    pooled = np.zeros((len(fitted), classifier.encoder.width), dtype=np.float32)
    with torch.inference_mode():
        for rows in batches(source.lengths[fitted]):
            pooled[rows] = head.pooling(source.batch(fitted[rows]))[0].cpu().numpy()
    found = start_prototypes(pooled, labels[fitted], head.owner.cpu().numpy(), training.start, training.seed)
    with torch.no_grad():
        head.prototypes.copy_(torch.from_numpy(found))


def _digest(classifier: Classifier[Any], source: TokenSource, labels: np.ndarray, training: Training) -> str:
    """Tell this run from others: by encoder, head, options, labels and the texts' lengths."""
    encoder, head = classifier.encoder, classifier.head
    facts = [
        encoder.revision, encoder.max_length, classifier.tuned, classifier.labels, head.kind, asdict(head.config),
        asdict(training),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(labels.tobytes())
    digest.update(np.asarray(source.lengths, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
