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
_NONE = np.empty(0, dtype=bool)


@dataclass(frozen=True, eq=False)
class ConceptProbe:
    """The probe of one concept, and what it comes to on tokens of word types that it was not fitted to.

    `accuracy`, `auroc`, and `hard_accuracy`, which is the accuracy on negatives of the nearest concepts alone. Chance
    is 0.5 in all. `selectivity` is accuracy less that on control labels (Hewitt & Liang 2019), both where word types
    are on both sides; those two are `token_accuracy` and `control_accuracy`. The three are None where types are not
    given, or too few have two tokens. A token's logit is `vector @ weights + bias`, `weights` float64 of shape
    (width,). `n_train` and `n_test` count tokens, half of them the concept's, `types` the concept's word types.
    `skipped` says why there is no probe; then all else but `types` is None or 0.
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
    groups : of length n, each token's word; words that differ in case alone are one type. By default every token is a
        type of its own, and there is no selectivity.
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
    """
    from conceptbench.eval.methods.probes.logistic import fit_logistic

    array = _checked(vectors)
    names, concept = _numbered(labels, "labels", len(array))
    if len(names) < 2:
        raise InputError(f"labels: all are {names[0]!r}; a probe tells a concept from others, so give two or more")
    types, type_of = _numbered(range(len(array)) if groups is None else word_types(groups), "groups", len(array))
    tokens = Tokens(
        vectors=array,
        concept=concept,
        type=type_of,
        hashes=type_hashes(types, seed),
        sentence=None if sentences is None else _numbered(sentences, "sentences", len(array))[1],
    )
    number_of = {name: number for number, name in enumerate(names)}
    asked = list(dict.fromkeys(names if only is None else only))
    missing = [name for name in asked if name not in number_of]
    if missing:
        raise InputError(f"only: no token has the label {missing[0]!r}")
    drawn = {name: draw_problem(tokens, number_of[name], name, seed) for name in asked}
    counts = {name: len(np.unique(type_of[tokens.by_concept[number_of[name]]])) for name in asked}
    problems = {name: problem for name, problem in drawn.items() if isinstance(problem, Problem)}
    fits = [fit for problem in problems.values() for fit in fits_of(problem)]
    fitted = fit_logistic(
        array,
        [fit.rows for fit in fits],
        [fit.targets for fit in fits],
        [fit.train for fit in fits],
        c=c,
        l1_ratio=l1_ratio,
        device=device,
    )
    found = dict(zip(problems, measure(list(problems.values()), fitted), strict=True))
    return {
        name: ConceptProbe(counts[name], problem)
        if isinstance(problem, str)
        else replace(found[name], types=counts[name])
        for name, problem in drawn.items()
    }


@dataclass(frozen=True, eq=False)
class Fit:
    """One logistic regression to be fitted: `targets` (m,) of the rows (m,), of which those in `train` (m,) count."""

    rows: Ints
    targets: Bools
    train: Bools


def fits_of(problem: Problem) -> list[Fit]:
    """Give a problem's fits: on the split by type; and on that by token, for selectivity, to targets and control."""
    fits = [Fit(problem.rows, problem.targets, ~problem.in_test)]
    if problem.selective:
        fits += [Fit(problem.rows, labels, ~problem.token_in_test) for labels in (problem.targets, problem.control)]
    return fits


def measure(problems: Sequence[Problem], fitted: Probes) -> list[ConceptProbe]:
    """Measure the probes of problems; `fitted` are all their fits, one problem's after the other's."""
    first = np.cumsum([0, *(len(fits_of(problem)) for problem in problems)])[:-1].tolist()
    placed = list(zip(problems, first, strict=True))
    selective = [place for place, problem in enumerate(problems) if problem.selective]
    by_type = _Tested.of([(one.types, one.targets, one.in_test, fitted.logits[at]) for one, at in placed])
    hard = by_type.part(np.concatenate([_NONE, *(one.hard[one.in_test] for one in problems)]))
    by_token, control = (
        _Tested.of(
            [
                (one.types, one.control if is_control else one.targets, one.token_in_test, fitted.logits[fit])
                for one, fit in ((problems[place], first[place] + 1 + is_control) for place in selective)
            ]
        )
        for is_control in (False, True)
    )
    token_accuracy = dict(zip(selective, by_token.accuracies(), strict=True))
    control_accuracy = dict(zip(selective, control.accuracies(), strict=True))
    columns = zip(problems, first, by_type.accuracies(), by_type.aurocs(), hard.accuracies(), strict=True)
    return [
        ConceptProbe(
            types=len(np.unique(problem.types[problem.targets])),
            accuracy=accuracy,
            auroc=auroc,
            hard_accuracy=hard_accuracy,
            selectivity=_less(token_accuracy.get(place), control_accuracy.get(place)),
            token_accuracy=token_accuracy.get(place),
            control_accuracy=control_accuracy.get(place),
            weights=fitted.weights[at],
            bias=float(fitted.biases[at]),
            n_train=int((~problem.in_test).sum()),
            n_test=int(problem.in_test.sum()),
        )
        for place, (problem, at, accuracy, auroc, hard_accuracy) in enumerate(columns)
    ]


class _Tested(NamedTuple):
    """The test tokens of some problems, one after the other: arrays (tokens,), `owner` the problem of each."""

    owner: Ints
    types: Ints
    targets: Bools
    logits: Floats
    problems: int

    @classmethod
    def of(cls, parts: Sequence[tuple[Ints, Bools, Bools, Floats]]) -> _Tested:
        """Take the test tokens of problems: each problem's types, targets, which are in test, and logits, all (m,)."""
        counts = [int(in_test.sum()) for _, _, in_test, _ in parts]
        return cls(
            owner=np.repeat(np.arange(len(parts)), counts),
            types=np.concatenate([np.empty(0, dtype=np.int64), *(types[test] for types, _, test, _ in parts)]),
            targets=np.concatenate([_NONE, *(targets[test] for _, targets, test, _ in parts)]),
            logits=np.concatenate([np.empty(0), *(logits[test] for _, _, test, logits in parts)]),
            problems=len(parts),
        )

    def part(self, chosen: Bools) -> _Tested:
        """Take some of the tokens."""
        return _Tested(self.owner[chosen], self.types[chosen], self.targets[chosen], self.logits[chosen], self.problems)

    def accuracies(self) -> list[Metric | None]:
        """Measure the accuracy of each problem's probe."""
        return accuracies((self.logits > 0) == self.targets, self.owner, self.types, self.problems)

    def aurocs(self) -> list[Metric | None]:
        """Measure the AUROC of each problem's probe."""
        return aurocs(self.logits, self.targets, self.owner, self.types, self.problems)


def _less(task: Metric | None, control: Metric | None) -> Metric | None:
    return None if task is None or control is None else difference(task, control)


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
    numbers: dict[Hashable, int] = {}
    try:
        found = np.array([numbers.setdefault(value, len(numbers)) for value in listed])
    except TypeError as error:
        raise InputError(f"{name}: give one hashable value a vector, such as a text or a number ({error})") from error
    nan = next((value for value in numbers if isinstance(value, float) and math.isnan(value)), None)
    if nan is not None:
        raise InputError(f"{name}: one is NaN; leave that token out, or give it a value")
    return list(numbers), found
