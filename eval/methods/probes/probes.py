"""Linear probes of concepts: how well a layer's vectors tell a concept's tokens from others."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conceptbench.eval.methods.probes.design import Problem, SkipReason, Tokens, draw_problem, type_hashes, word_types
from conceptbench.eval.methods.probes.metrics import accuracies, aurocs, difference
from conceptbench.eval.result import Metric
from conceptbench.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

    from conceptbench.eval.methods.probes.logistic import Probes

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROWS = 2**16
_NO_TOKENS = np.empty(0, dtype=bool)


@dataclass(frozen=True, eq=False)
class ConceptProbe:
    """The probe of one concept, and its scores on tokens of word types that it was not fitted to.

    Chance is 0.5 in accuracies and AUROCs. Where there is no probe, all but `types` and `skipped` are None or 0.

    Attributes
    ----------
    types : number of the concept's word types.
    skipped : why there is no probe.
    accuracy, auroc : on test tokens, half of them the concept's.
    hard_accuracy : the accuracy on negatives of the nearest concepts alone.
    token_accuracy, control_accuracy : where word types are on both sides of the split, the accuracy on the concept's
        labels and that on control labels (Hewitt & Liang 2019).
    selectivity : `token_accuracy` less `control_accuracy`. These three are None where types are not given, or too few
        types have two tokens.
    weights, bias : a token's logit is `vector @ weights + bias`; `weights` is float64 of shape (width,).
    n_train, n_test : numbers of tokens, half of them the concept's.
    """

    types: int
    skipped: SkipReason | None = None
    accuracy: Metric | None = None
    auroc: Metric | None = None
    hard_accuracy: Metric | None = None
    selectivity: Metric | None = None
    token_accuracy: Metric | None = None
    control_accuracy: Metric | None = None
    weights: Floats | None = None
    bias: float | None = None
    n_train: int = 0
    n_test: int = 0


def probe(
    vectors: NDArray[np.floating],
    labels: Iterable[Hashable],
    groups: Iterable[Hashable] | None = None,
    *,
    sentences: Iterable[Hashable] | None = None,
    only: Iterable[Hashable] | None = None,
    c: float = 1.0,
    l1_ratio: float = 0.0,
    seed: int = 0,
    device: str | torch.device | None = None,
) -> dict[Any, ConceptProbe]:
    """Fit and test a binary linear probe of each concept; see `design` for its tokens, `logistic` for its objective.

    Parameters
    ----------
    vectors : array of shape (n, width), one row a token.
    labels : of length n, each token's concept.
    groups : of length n, each token's word, case folded; by default each token is a type, without selectivity.
    sentences : of length n, each token's sentence; a concept that is all in one is skipped.
    only : the labels to probe, by default all; the others still give negatives.
    c, l1_ratio : scikit-learn's inverse strength of the penalty, and the l1 part of it (0: l2; 1: l1).
    seed : of the draw of negatives, the splits and the control labels.
    device : torch's, by default a GPU if there is one, else the CPU.

    Returns
    -------
    by label, in the order in which labels first appear (or that of `only`).

    Raises
    ------
    InputError
        if the shapes do not agree, a vector is not finite, a label is missing or is the only one.

    Examples
    --------
    >>> labels = ["cat"] * 20 + ["dog"] * 20
    >>> vectors = np.repeat(np.eye(2), 20, axis=0) + 0.1 * np.random.default_rng(0).normal(size=(40, 2))
    >>> probes = probe(vectors, labels)
    >>> probes["cat"].accuracy.value
    1.0
    >>> int(probes["cat"].weights.argmax())
    0
    """
    names, tokens = _read_tokens(vectors, labels, groups, sentences, seed)
    number_of = {name: number for number, name in enumerate(names)}
    chosen = list(dict.fromkeys(names if only is None else only))
    missing = [name for name in chosen if name not in number_of]
    if missing:
        raise InputError(f"only: no token has the label {missing[0]!r}")
    draws = {name: draw_problem(tokens, number_of[name], name, seed) for name in chosen}
    problems = {name: problem for name, problem in draws.items() if isinstance(problem, Problem)}
    fitted = fit_problems(tokens.vectors, list(problems.values()), c=c, l1_ratio=l1_ratio, device=device)
    probes = dict(zip(problems, measure(list(problems.values()), fitted), strict=True))
    types = {name: len(np.unique(tokens.type[tokens.by_concept[number_of[name]]])) for name in chosen}
    return {
        name: ConceptProbe(types[name], draw) if isinstance(draw, str) else replace(probes[name], types=types[name])
        for name, draw in draws.items()
    }


@dataclass(frozen=True, eq=False)
class Fit:
    """A logistic regression to be fitted: `targets` (m,) of the rows (m,), of which those in `train` (m,) count."""

    rows: Ints
    targets: Bools
    train: Bools


def fits_of(problem: Problem) -> list[Fit]:
    """Give a problem's fits: on the split by type; and on that by token, for selectivity, to targets and control."""
    fits = [Fit(problem.rows, problem.targets, ~problem.in_test)]
    if problem.selective:
        fits += [Fit(problem.rows, labels, ~problem.token_in_test) for labels in (problem.targets, problem.control)]
    return fits


def fit_problems(
    vectors: NDArray[np.floating],
    problems: Sequence[Problem],
    *,
    c: float,
    l1_ratio: float,
    device: str | torch.device | None,
) -> Probes:
    """Fit the probes of problems: all fits of the first, then those of the next; see `fits_of`."""
    from conceptbench.eval.methods.probes.logistic import fit_logistic

    fits = [fit for problem in problems for fit in fits_of(problem)]
    return fit_logistic(
        vectors,
        [fit.rows for fit in fits],
        [fit.targets for fit in fits],
        [fit.train for fit in fits],
        c=c,
        l1_ratio=l1_ratio,
        device=device,
    )


def measure(problems: Sequence[Problem], fitted: Probes) -> list[ConceptProbe]:
    """Measure the probes of problems, which were fitted by `fit_problems`."""
    counts = [len(fits_of(problem)) for problem in problems]
    first_fit = (np.cumsum([0, *counts])[:-1]).tolist()
    by_type = _TestTokens.of(
        [
            (problem.types, problem.targets, problem.in_test, fitted.logits[fit])
            for problem, fit in zip(problems, first_fit, strict=True)
        ]
    )
    hard = by_type.part(np.concatenate([_NO_TOKENS, *(problem.hard[problem.in_test] for problem in problems)]))
    probes = [
        ConceptProbe(
            types=len(np.unique(problem.types[problem.targets])),
            accuracy=accuracy,
            auroc=auroc,
            hard_accuracy=hard_accuracy,
            weights=fitted.weights[fit],
            bias=float(fitted.biases[fit]),
            n_train=int((~problem.in_test).sum()),
            n_test=int(problem.in_test.sum()),
        )
        for problem, fit, accuracy, auroc, hard_accuracy in zip(
            problems, first_fit, by_type.accuracies(), by_type.aurocs(), hard.accuracies(), strict=True
        )
    ]
    return _with_selectivity(probes, problems, first_fit, fitted)


def _with_selectivity(
    probes: Sequence[ConceptProbe], problems: Sequence[Problem], first_fit: Sequence[int], fitted: Probes
) -> list[ConceptProbe]:
    """Add the accuracies on the split by token, for those problems that have one."""
    selective = [number for number, problem in enumerate(problems) if problem.selective]
    token_accuracies, control_accuracies = (
        _TestTokens.of(
            [
                (
                    problems[number].types,
                    problems[number].control if is_control else problems[number].targets,
                    problems[number].token_in_test,
                    fitted.logits[first_fit[number] + 1 + is_control],
                )
                for number in selective
            ]
        ).accuracies()
        for is_control in (False, True)
    )
    results = list(probes)
    for number, token, control in zip(selective, token_accuracies, control_accuracies, strict=True):
        results[number] = replace(
            probes[number],
            token_accuracy=token,
            control_accuracy=control,
            selectivity=None if token is None or control is None else difference(token, control),
        )
    return results


class _TestTokens(NamedTuple):
    """The test tokens of some problems, one after the other: arrays (tokens,), `owner` the problem of each."""

    owner: Ints
    types: Ints
    targets: Bools
    logits: Floats
    problems: int

    @classmethod
    def of(cls, parts: Sequence[tuple[Ints, Bools, Bools, Floats]]) -> _TestTokens:
        """Take the test tokens of problems: each problem's types, targets, which are in test, and logits, all (m,)."""
        counts = [int(in_test.sum()) for _, _, in_test, _ in parts]
        return cls(
            owner=np.repeat(np.arange(len(parts)), counts),
            types=np.concatenate([np.empty(0, dtype=np.int64), *(types[test] for types, _, test, _ in parts)]),
            targets=np.concatenate([_NO_TOKENS, *(targets[test] for _, targets, test, _ in parts)]),
            logits=np.concatenate([np.empty(0), *(logits[test] for _, _, test, logits in parts)]),
            problems=len(parts),
        )

    def part(self, chosen: Bools) -> _TestTokens:
        """Take some of the tokens."""
        return _TestTokens(
            self.owner[chosen], self.types[chosen], self.targets[chosen], self.logits[chosen], self.problems
        )

    def accuracies(self) -> list[Metric | None]:
        """Measure the accuracy of each problem's probe."""
        return accuracies((self.logits > 0) == self.targets, self.owner, self.types, self.problems)

    def aurocs(self) -> list[Metric | None]:
        """Measure the AUROC of each problem's probe."""
        return aurocs(self.logits, self.targets, self.owner, self.types, self.problems)


def _read_tokens(
    vectors: NDArray[np.floating],
    labels: Iterable[Hashable],
    groups: Iterable[Hashable] | None,
    sentences: Iterable[Hashable] | None,
    seed: int,
) -> tuple[list[Hashable], Tokens]:
    """Check and number the tokens; give also the labels by number."""
    array = _checked(vectors)
    names, concept = _numbered(labels, "labels", len(array))
    if len(names) < 2:
        raise InputError(f"labels: all are {names[0]!r}; a probe tells a concept from others, so give two or more")
    types, type_of = _numbered(range(len(array)) if groups is None else word_types(groups), "groups", len(array))
    return names, Tokens(
        vectors=array,
        concept=concept,
        type=type_of,
        hashes=type_hashes(types, seed),
        sentence=None if sentences is None else _numbered(sentences, "sentences", len(array))[1],
    )


def _checked(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Check that these are finite vectors (n, width)."""
    array = np.asarray(vectors)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(f"vectors: {array.dtype} of shape {array.shape}; give numbers of shape (n, width)")
    for start in range(0, len(array), _ROWS):
        bad = np.flatnonzero(~np.isfinite(array[start : start + _ROWS]).all(axis=1))
        if len(bad):
            raise InputError(f"vectors: row {start + bad[0]} holds NaN or infinity; leave that token out")
    return array


def _numbered(values: Iterable[Hashable], name: str, n: int) -> tuple[list[Hashable], Ints]:
    """Number values 0, 1, … as they first appear: the distinct values, and the number (n,) of each."""
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if len(listed) != n:
        raise InputError(f"{name}: {len(listed)} for {n} vectors; give one a vector")
    number_of: dict[Hashable, int] = {}
    try:
        numbers = np.array([number_of.setdefault(value, len(number_of)) for value in listed])
    except TypeError as error:
        raise InputError(f"{name}: give one hashable value a vector, such as a text or a number ({error})") from error
    nan = next((value for value in number_of if isinstance(value, float) and math.isnan(value)), None)
    if nan is not None:
        raise InputError(f"{name}: one is NaN; leave that token out, or give it a value")
    return list(number_of), numbers
