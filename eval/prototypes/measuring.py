"""What is measured on one split: the contenders' answers to its test texts, and whether Proto-lm's reasons are true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from conceptbench.eval.methods.protolm.explaining import Neighbour, project
from conceptbench.eval.methods.protolm.faithfulness import align, swap_examples, token_faithfulness
from conceptbench.eval.methods.protolm.model import Classifier, LinearClassifier, PrototypeClassifier, PrototypeConfig
from conceptbench.eval.methods.protolm.tokens import ChosenTokens, TokenEncoder, TokenSource
from conceptbench.eval.methods.protolm.training import train
from conceptbench.eval.prototypes.contenders import Contender
from conceptbench.eval.prototypes.datasets import LabelledTexts
from conceptbench.eval.prototypes.simulation import SHOWN_A_CLASS
from conceptbench.eval.prototypes.splits import Split
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import whole
from conceptbench.runtime.progress import Progress, Silent

TOKEN_COLUMNS: Final = (
    "agreement", "comprehensiveness", "comprehensiveness_random", "sufficiency", "sufficiency_random",
)  # fmt: skip

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Data:
    """The texts of a run, and how they are encoded.

    `encoder` gives an encoder: always the same where it is frozen, a new one where it is tuned. `source` has all texts'
    token vectors, where the encoder is frozen.
    """

    texts: LabelledTexts
    encoder: Callable[[], TokenEncoder]
    source: TokenSource | None

    def read(self, classifier: Classifier[Any], rows: np.ndarray) -> TokenSource:
        """Give the token vectors of some texts, as a classifier's encoder sees them."""
        if self.source is not None:
            return ChosenTokens(self.source, rows)
        return classifier.texts([self.texts.texts[row] for row in rows])


def fit(
    data: Data, contender: Contender, rows: np.ndarray, *, checkpoints: Path | None = None, progress: Progress
) -> Classifier[Any]:
    """Train a contender on some texts; its seed is that of its training."""
    kind = PrototypeClassifier if isinstance(contender.config, PrototypeConfig) else LinearClassifier
    made: Classifier[Any] = kind.new(
        data.encoder(),
        data.texts.classes,
        contender.config,
        seed=contender.training.seed,
        tuned=data.source is None,
    )
    train(
        made,
        data.read(made, rows),
        data.texts.labels[rows],
        contender.training,
        checkpoints=checkpoints,
        progress=progress,
    )
    return made


def answers(data: Data, classifier: Classifier[Any], rows: np.ndarray) -> Arrays:
    """Give the classes of some texts, int64, and their probabilities, float32; both of shape (rows,)."""
    logits = torch.from_numpy(classifier.read(data.read(classifier, rows)).logits)
    probabilities, labels = logits.softmax(dim=1).max(dim=1)
    return {"labels": labels.numpy(), "probabilities": probabilities.numpy()}


def faithfulness(
    data: Data, classifier: PrototypeClassifier, split: Split, *, looked_at: int, seed: int, progress: Progress
) -> Arrays:
    """Put the reasons of a split's decisions to the test, before and after alignment.

    Returns
    -------
    arrays by name. `aligned.…` are those of `answers`; `swap.…` and `aligned.swap.…` have shape (test texts,), as has
    `reason`: the row of the nearest example of each decision's first prototype. `tokens`: shape (looked at, 5), in the
    order of `TOKEN_COLUMNS`, of the test texts `looked_at`. `typical` and `typical_labels`: rows of training texts that
    show the classes, and the classes that they stand for.
    """
    texts = data.texts
    train_texts = [texts.texts[row] for row in split.train]
    learnt, tested = data.read(classifier, split.train), data.read(classifier, split.test)
    neighbours = project(classifier, learnt, train_texts, texts.labels[split.train])
    aligned = align(classifier, learnt, texts.labels[split.train]).classifier
    found = {f"aligned.{name}": own for name, own in answers(data, aligned, split.test).items()}
    for prefix, one in (("", classifier), ("aligned.", aligned)):
        stated = project(one, learnt, train_texts, texts.labels[split.train], 1) if prefix else neighbours
        swap = swap_examples(one, learnt, stated, tested)
        found |= {f"{prefix}swap.{name}": getattr(swap, name) for name in ("all_stay", "top_stays", "change")}
    tokens = token_faithfulness(
        classifier, [texts.texts[row] for row in split.test], limit=looked_at, seed=seed, progress=progress
    )
    found["looked_at"] = tokens.rows
    found["tokens"] = np.stack([getattr(tokens, name) for name in TOKEN_COLUMNS], axis=1)
    nearest = np.array([split.train[own[0].row] for own in neighbours])
    found["reason"] = nearest[first_reasons(classifier, tested)]
    shown = _typical(classifier, learnt, neighbours)
    found["typical"] = split.train[[row for row, _ in shown]]
    found["typical_labels"] = np.array([label for _, label in shown])
    return found


def first_reasons(classifier: PrototypeClassifier, source: TokenSource) -> np.ndarray:
    """Give the prototype that adds most to each text's decision: int64 of shape (texts,)."""
    readings = classifier.read(source)
    weights = classifier.head.classes.weight.detach().cpu().numpy()
    found: np.ndarray = (weights[readings.predicted] * readings.similarities).argmax(axis=1)
    return found


def random_examples(data: Data, split: Split, like: Sequence[int], seed: int) -> np.ndarray:
    """Draw training texts of the classes `like`, one each: rows of shape (len(like),)."""
    generator = generator_of("prototypes random examples", seed, split.name)
    queues = {
        label: iter(generator.permutation(split.train[data.texts.labels[split.train] == label])) for label in set(like)
    }
    return np.array([next(queues[label]) for label in like], dtype=np.int64)


def _typical(
    classifier: PrototypeClassifier, source: TokenSource, neighbours: Sequence[Sequence[Neighbour]]
) -> list[tuple[int, int]]:
    """Show each class by the nearest examples of its prototypes that decide most: rows of the source, and classes."""
    owner = classifier.head.owner.cpu().numpy()
    decided = np.bincount(first_reasons(classifier, source), minlength=len(owner))
    shown: list[tuple[int, int]] = []
    for label in range(len(classifier.labels)):
        own = np.flatnonzero(owner == label)
        ordered = own[np.argsort(-decided[own], kind="stable")]
        rows = dict.fromkeys(neighbours[number][0].row for number in ordered)
        shown += [(row, label) for row in list(rows)[:SHOWN_A_CLASS]]
    return shown


class Parts:
    """What was measured before a run was stopped: a file of arrays a part, of this run alone.

    Parameters
    ----------
    folder : where they are kept.
    digest : of all that they hang on.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder / digest[:16]

    def get(self, name: str, make: Callable[[], Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Read a part, or make and keep it."""
        path = self.folder / f"{name}.npz"
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as kept:
                    return {key: kept[key] for key in kept.files}
            except (OSError, ValueError) as error:
                raise InputError(f"{path} cannot be read ({error}): remove it, and give the command again") from error
        made = make()
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **made)
        return made


def silent_if(progress: Progress, *, frozen: bool) -> Progress:
    """Tell the epochs of long trainings alone: a frozen encoder's take seconds."""
    return Silent() if frozen else progress
