"""Scoring candidate explanations on strings, with the price of having chosen the best of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

PERMUTATIONS: Final = 2000
FEWEST_STRINGS: Final = 2


@dataclass(frozen=True)
class Strings:
    """An explanation with strings that fit it and strings that do not, and the module's responses to them."""

    text: str
    related: tuple[str, ...]
    unrelated: tuple[str, ...]
    related_values: tuple[float, ...]
    unrelated_values: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A scored explanation.

    `score` is the mean response to strings that fit it less that to strings that do not, in standard deviations of the
    module over n-grams; `low` and `high` are its 95 % interval and `p` its one-sided p-value, both simultaneous over
    the candidates of the run, so that they hold for the best of them too. All are None where there are fewer than
    two strings of either sort.
    """

    text: str
    score: float | None
    low: float | None
    high: float | None
    p: float | None


def score_candidates(candidates: Sequence[Strings], spread: float, generator: np.random.Generator) -> list[Candidate]:
    """Score candidates, in the order given (Singh et al. 2023, section 2; max-T: Westfall and Young 1993).

    The reference is what the largest Welch statistic of all candidates would be if the strings' sort made no
    difference: strings are permuted between the sorts, in each candidate, 2,000 times.

    Parameters
    ----------
    candidates : those of one run.
    spread : the module's standard deviation over n-grams, above 0.
    generator : of the permutations.
    """
    able = [
        i
        for i, one in enumerate(candidates)
        if min(len(one.related_values), len(one.unrelated_values)) >= FEWEST_STRINGS
    ]
    found = [Candidate(one.text, None, None, None, None) for one in candidates]
    if not able:
        return found
    seen, largest, widest = {}, np.full(PERMUTATIONS, -np.inf), np.zeros(PERMUTATIONS)
    for i in able:
        values = np.array([*candidates[i].related_values, *candidates[i].unrelated_values])
        first = len(candidates[i].related_values)
        order = np.argsort(generator.random((PERMUTATIONS, len(values))), axis=1)
        shuffled, _, _ = _welch(values[order], first)
        seen[i] = tuple(float(part[0]) for part in _welch(values[None], first))
        largest, widest = np.maximum(largest, shuffled), np.maximum(widest, np.abs(shuffled))
    reach = float(np.quantile(widest, 0.95))
    for i, (statistic, difference, error) in seen.items():
        p = (1 + int((largest >= statistic - 1e-12).sum())) / (PERMUTATIONS + 1)
        score, half = difference / spread, reach * error / spread
        found[i] = Candidate(candidates[i].text, score, score - half, score + half, p)
    return found


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Put the best score first; candidates without one come last, in their order."""
    return sorted(candidates, key=lambda one: (one.score is None, -(one.score or 0.0)))


def _welch(values: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give Welch's statistic, the difference of means and its standard error, for rows split at `first`."""
    one, other = values[:, :first], values[:, first:]
    difference = one.mean(axis=1) - other.mean(axis=1)
    error = np.sqrt(one.var(axis=1, ddof=1) / one.shape[1] + other.var(axis=1, ddof=1) / other.shape[1])
    # Equal values on both sides tell nothing; unequal constants tell everything that can be told.
    statistic = np.divide(difference, error, out=np.sign(difference) * 1e6, where=error > 0)
    return statistic, difference, error
