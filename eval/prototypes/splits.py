"""Which texts a classifier is trained on and which it is tested on, and a paired test over these splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from conceptbench.eval.result import Metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError

_POWER = 0.8
_LEVEL = 0.95


class Split(NamedTuple):
    """Rows to train on and rows to test on, sorted; `fold` of `repeat`."""

    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray

    @property
    def name(self) -> str:
        """Names the split in files: `r0f3`."""
        return f"r{self.repeat}f{self.fold}"


def cross_validation(labels: np.ndarray, folds: int, repeats: int, seed: int) -> list[Split]:
    """Divide texts into folds of equal class shares, anew for each repeat.

    Parameters
    ----------
    labels : int array of shape (texts,).
    folds, repeats : how many of each.
    seed : of the draws.

    Raises
    ------
    InputError
        if there are fewer than two folds, no repeat, or a class has fewer texts than folds.
    """
    if folds < 2 or repeats < 1:
        raise InputError(f"--folds {folds}, --repeats {repeats}: give two folds or more, and one repeat or more")
    fewest = int(np.bincount(labels)[np.unique(labels)].min())
    if fewest < folds:
        raise InputError(f"--folds {folds}: a class has {fewest} texts only; give fewer folds, or leave the class out")
    splits = []
    for repeat in range(repeats):
        generator = generator_of("prototypes folds", seed, repeat)
        fold_of = np.zeros(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            rows = generator.permutation(np.flatnonzero(labels == label))
            # Each class begins with a fold of its own, so that folds are of equal size too.
            fold_of[rows] = (np.arange(len(rows)) + generator.integers(folds)) % folds
        splits += [
            Split(repeat, fold, np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
            for fold in range(folds)
        ]
    return splits


def given_test(train: int, test: int, repeats: int) -> list[Split]:
    """Train on the first rows and test on the others, `repeats` times.

    Parameters
    ----------
    train, test : the numbers of rows.

    Examples
    --------
    >>> [(split.train.tolist(), split.test.tolist()) for split in given_test(2, 1, repeats=1)]
    [([0, 1], [2])]
    """
    if repeats < 1:
        raise InputError(f"--repeats {repeats}: give one repeat or more")
    return [Split(repeat, 0, np.arange(train), np.arange(train, train + test)) for repeat in range(repeats)]


@dataclass(frozen=True)
class PairedTest:
    """A paired difference of accuracies, and what a test of it shows; fractions, not points.

    Attributes
    ----------
    difference : the mean, with its interval.
    margin : the one that was tested.
    p : of the one-sided test that the difference is not below `-margin`.
    smallest_margin : the smallest one for which that test, at 5 %, calls the first classifier non-inferior.
    detectable : the margin that such a test shows with 80 % power where there is no difference.
    texts_p, texts_smallest_margin : those of the t-test over texts alone, which speaks of new texts, but of these
        trained classifiers only.
    """

    difference: Metric
    margin: float
    p: float
    smallest_margin: float
    detectable: Metric
    texts_p: float
    texts_smallest_margin: float

    @property
    def non_inferior(self) -> bool:
        """Whether non-inferiority at `margin` is shown."""
        return self.p < 1 - _LEVEL


def paired_test(differences: np.ndarray, folds: np.ndarray, margin: float) -> PairedTest | None:
    """Test whether one classifier is at most `margin` less accurate than another on the same texts.

    With cross-validation, the corrected resampled t-test (Nadeau and Bengio 2003, section 3; Bouckaert and Frank
    2004): the variance over splits times 1/J + n_test/n_train, for J splits whose training sets overlap. With a test
    set of its own, the t-test over texts.

    Parameters
    ----------
    differences : float array of shape (repeats, texts): right of the first minus right of the second.
    folds : int array of the same shape: which split of its repeat tested the text.
    margin : above 0.

    Returns
    -------
    the test; None where nothing varies, so that there is nothing to test with.
    """
    count = int(folds.max()) + 1
    texts = values = differences.mean(axis=0)
    texts_error = error = texts.std(ddof=1) / len(texts) ** 0.5 if len(texts) > 1 else 0.0
    if count > 1:
        rows = zip(differences, folds, strict=True)
        values = np.array([repeat[fold == number].mean() for repeat, fold in rows for number in range(count)])
        error = values.std(ddof=1) * (1 / len(values) + 1 / (count - 1)) ** 0.5
    if error == 0.0 or texts_error == 0.0:
        return None
    over_texts = stats.t(len(texts) - 1)
    mean, freedom, n = float(values.mean()), len(values) - 1, differences.shape[1]
    t = stats.t(freedom)
    wide = t.ppf(0.975) * error
    factor = t.ppf(_LEVEL) + t.ppf(_POWER)
    low, high = (error * (freedom / stats.chi2(freedom).ppf(level)) ** 0.5 for level in (0.975, 0.025))
    return PairedTest(
        difference=Metric(mean, float(mean - wide), float(mean + wide), n),
        margin=margin,
        p=float(t.sf((mean + margin) / error)),
        smallest_margin=max(float(t.ppf(_LEVEL) * error - mean), 0.0),
        detectable=Metric(float(factor * error), float(factor * low), float(factor * high), n),
        texts_p=float(over_texts.sf((texts.mean() + margin) / texts_error)),
        texts_smallest_margin=max(float(over_texts.ppf(_LEVEL) * texts_error - texts.mean()), 0.0),
    )
