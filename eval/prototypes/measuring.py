"""What is measured on one split: a classifier's answers to its test texts, and whether Proto-lm's reasons are true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from conceptbench.eval.methods.protolm.explaining import Neighbour, project
from conceptbench.eval.methods.protolm.faithfulness import align, swap_examples, token_faithfulness
from conceptbench.eval.methods.protolm.model import Classifier, LinearClassifier, PrototypeClassifier
from conceptbench.eval.methods.protolm.settings import PrototypeConfig
from conceptbench.eval.methods.protolm.tokens import ChosenTokens, TokenEncoder, TokenSource
from conceptbench.eval.methods.protolm.training import train
from conceptbench.eval.prototypes.contenders import Contender
from conceptbench.eval.prototypes.datasets import LabelledTexts
from conceptbench.eval.prototypes.questions import EXAMPLES_A_CLASS
from conceptbench.eval.prototypes.splits import Split
from conceptbench.runtime.progress import Progress, Silent

TOKEN_COLUMNS: Final = (
    "agreement", "comprehensiveness", "comprehensiveness_random", "sufficiency", "sufficiency_random",
)  # fmt: skip
SWAP_COLUMNS: Final = ("all_stay", "top_stays", "change")


@dataclass(frozen=True)
class EncodedTexts:
    """The texts of a run, and how they are encoded.

    Attributes
    ----------
    texts : with their classes.
    encoder : gives an encoder: always the same where it is frozen, a new one where it is tuned.
    source : the token vectors of all texts, where the encoder is frozen.
    """

    texts: LabelledTexts
    encoder: Callable[[], TokenEncoder]
    source: TokenSource | None

    @property
    def frozen(self) -> bool:
        """Whether the encoder is not trained."""
        return self.source is not None

    def read(self, classifier: Classifier[Any], rows: np.ndarray) -> TokenSource:
        """Give the token vectors of some texts, as a classifier's encoder sees them."""
        if self.source is not None:
            return ChosenTokens(self.source, rows)
        return classifier.texts([self.texts.texts[row] for row in rows])

    def epochs(self, progress: Progress) -> Progress:
        """Show the epochs of long trainings alone: with a frozen encoder, a training takes seconds."""
        return Silent() if self.frozen else progress


def fit(
    data: EncodedTexts, contender: Contender, rows: np.ndarray, *, checkpoints: Path | None = None, progress: Progress
) -> Classifier[Any]:
    """Train a contender on some texts; its seed is that of its training."""
    kind = PrototypeClassifier if isinstance(contender.config, PrototypeConfig) else LinearClassifier
    classifier: Classifier[Any] = kind.new(
        data.encoder(),
        data.texts.classes,
        contender.config,
        seed=contender.training.seed,
        tuned=not data.frozen,
    )
    train(
        classifier,
        data.read(classifier, rows),
        data.texts.labels[rows],
        contender.training,
        checkpoints=checkpoints,
        progress=data.epochs(progress),
    )
    return classifier


def answers(data: EncodedTexts, classifier: Classifier[Any], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Give the classes of some texts, int64, and their probabilities, float32; both of shape (rows,)."""
    logits = torch.from_numpy(classifier.read(data.read(classifier, rows)).logits)
    probabilities, labels = logits.softmax(dim=1).max(dim=1)
    return {"labels": labels.numpy(), "probabilities": probabilities.numpy()}


def faithfulness(
    data: EncodedTexts,
    classifier: PrototypeClassifier,
    split: Split,
    *,
    looked_at: int,
    seed: int,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Test whether the reasons of a split's decisions are true, before and after alignment.

    Parameters
    ----------
    looked_at : test texts whose tokens are deleted, at most.
    seed : of the draws of texts and tokens.

    Returns
    -------
    arrays by name. `aligned.…` are those of `answers`; `swap.…` and `aligned.swap.…` have shape (test texts,), as has
    `reason`: the row of the nearest example of each decision's first prototype. `tokens`: shape (looked at, 5), in the
    order of `TOKEN_COLUMNS`, of the test texts `looked_at`. `typical` and `typical_labels`: rows of training texts that
    represent the classes, and these classes.
    """
    texts, labels = data.texts, data.texts.labels[split.train]
    train_texts = [texts.texts[row] for row in split.train]
    trained, tested = data.read(classifier, split.train), data.read(classifier, split.test)
    neighbours = project(classifier, trained, train_texts, labels)
    aligned = align(classifier, trained, labels).classifier
    arrays = {f"aligned.{name}": values for name, values in answers(data, aligned, split.test).items()}
    nearest_of_aligned = project(aligned, trained, train_texts, labels, 1)
    for prefix, model, stated in (("", classifier, neighbours), ("aligned.", aligned, nearest_of_aligned)):
        swap = swap_examples(model, trained, stated, tested)
        arrays |= {f"{prefix}swap.{name}": getattr(swap, name) for name in SWAP_COLUMNS}
    tokens = token_faithfulness(
        classifier,
        [texts.texts[row] for row in split.test],
        limit=looked_at,
        seed=seed,
        progress=data.epochs(progress),
    )
    arrays["looked_at"] = tokens.rows
    arrays["tokens"] = np.stack([getattr(tokens, name) for name in TOKEN_COLUMNS], axis=1)
    nearest = np.array([split.train[examples[0].row] for examples in neighbours])
    arrays["reason"] = nearest[first_reasons(classifier, tested)]
    typical = _typical(classifier, trained, neighbours)
    arrays["typical"] = split.train[[row for row, _ in typical]]
    arrays["typical_labels"] = np.array([label for _, label in typical])
    return arrays


def first_reasons(classifier: PrototypeClassifier, source: TokenSource) -> np.ndarray:
    """Give the prototype that adds most to each text's decision: int64 of shape (texts,)."""
    readings = classifier.read(source)
    weights = classifier.head.classes.weight.detach().cpu().numpy()
    prototypes: np.ndarray = (weights[readings.predicted] * readings.similarities).argmax(axis=1)
    return prototypes


def _typical(
    classifier: PrototypeClassifier, source: TokenSource, neighbours: Sequence[Sequence[Neighbour]]
) -> list[tuple[int, int]]:
    """Represent each class by the nearest examples of its prototypes that decide most: rows of the source, classes."""
    owner = classifier.head.owner.cpu().numpy()
    decisions = np.bincount(first_reasons(classifier, source), minlength=len(owner))
    typical: list[tuple[int, int]] = []
    for label in range(len(classifier.labels)):
        of_class = np.flatnonzero(owner == label)
        ordered = of_class[np.argsort(-decisions[of_class], kind="stable")]
        rows = dict.fromkeys(neighbours[number][0].row for number in ordered)
        typical += [(row, label) for row in list(rows)[:EXAMPLES_A_CLASS]]
    return typical
