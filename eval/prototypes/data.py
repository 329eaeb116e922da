"""The data of a run: its texts, how they are divided, and which contenders they suffice for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conceptbench.eval.methods.protolm.training import dev_split
from conceptbench.eval.prototypes.contenders import Contender
from conceptbench.eval.prototypes.datasets import LabelledTexts, check_task, load_setting, load_texts
from conceptbench.eval.prototypes.options import PrototypesOptions
from conceptbench.eval.prototypes.ready import SETTINGS
from conceptbench.eval.prototypes.splits import Split, cross_validation, given_test
from conceptbench.eval.prototypes.trials import seed_of
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class DividedTexts:
    """Texts, and the splits that classifiers are trained and tested on."""

    texts: LabelledTexts
    splits: Sequence[Split]

    @property
    def train_rows(self) -> np.ndarray:
        """The rows that the stored classifier is trained on: all, or the dataset's own training texts."""
        cross_validated = any(split.fold for split in self.splits)
        return np.arange(len(self.texts)) if cross_validated else self.splits[0].train

    @property
    def class_counts(self) -> dict[str, int]:
        """The number of texts of each class."""
        return dict(zip(self.texts.classes, np.bincount(self.texts.labels).tolist(), strict=True))


def read_data(options: PrototypesOptions) -> DividedTexts:
    """Read the texts, draw some where there is a limit, and divide them.

    Raises
    ------
    InputError
        if they cannot be read, or not be divided.
    """
    limit, seed = options.limit, options.seed
    if options.dataset in SETTINGS:
        train, test = (limited(part, limit, seed) for part in load_setting(options.dataset))
        texts = LabelledTexts(
            options.dataset, [*train.texts, *test.texts], np.concatenate([train.labels, test.labels]), train.classes
        )
        return DividedTexts(texts, given_test(len(train), len(test), options.repeats))
    texts = limited(load_texts(options.dataset, options.text_columns, options.label_column or ""), limit, seed)
    check_task(texts, 0)
    return DividedTexts(texts, cross_validation(texts.labels, options.folds, options.repeats, seed))


def limited(texts: LabelledTexts, limit: int | None, seed: int) -> LabelledTexts:
    """Draw texts, each class in its share; at least one of each.

    Examples
    --------
    >>> texts = LabelledTexts("films", ["a", "b", "c", "d"], np.array([0, 0, 1, 1]), ["good", "bad"])
    >>> limited(texts, 2, seed=0).labels.tolist()
    [0, 1]
    """
    if limit is None or limit >= len(texts):
        return texts
    generator = generator_of("limit", seed)
    samples = []
    for label in np.unique(texts.labels):
        rows = generator.permutation(np.flatnonzero(texts.labels == label))
        samples.append(rows[: max(round(limit * len(rows) / len(texts)), 1)])
    return texts.take(np.sort(np.concatenate(samples)))


def feasible(contenders: Sequence[Contender], data: DividedTexts) -> list[Contender]:
    """Leave out a study's variants with more prototypes than a class has texts to fit.

    Parameters
    ----------
    contenders : Proto-lm first.

    Raises
    ------
    InputError
        if that is so of Proto-lm itself.
    """
    texts, protolm = data.texts, contenders[0]
    fewest = len(texts)
    for split in data.splits:
        labels = texts.labels[split.train]
        fitted, _ = dev_split(labels, protolm.training.dev_share, seed_of(protolm.training.seed, split))
        counts = np.bincount(labels[fitted], minlength=len(texts.classes))
        if counts.min() < protolm.prototypes:
            name = texts.classes[int(counts.argmin())]
            raise InputError(
                f"{texts.name}: class {name!r} has {counts.min()} texts to fit on a split (without test and dev part) "
                f"and is to get {protolm.prototypes} prototypes; give fewer --prototypes, or leave the class out"
            )
        fewest = min(fewest, int(counts.min()))
    return [contender for contender in contenders if contender.prototypes <= fewest]
