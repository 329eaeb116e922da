"""Scoring candidate explanations on strings, with the price of having chosen the best of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from conceptbench.eval.methods.sasc.parameters import FEWEST_STRINGS

PERMUTATIONS: Final = 2000


@dataclass(frozen=True)
class TestedExplanation:
    """An explanation with strings that fit it and strings that do not, and the module's responses to them."""

    __test__ = False  # Its name would make pytest look for tests in it.

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
    score: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def score_candidates(
    explanations: Sequence[TestedExplanation], spread: float, generator: np.random.Generator
) -> list[Candidate]:
    """Score the candidates of one run (Singh et al. 2023, section 2; max-T: Westfall and Young 1993).

    The reference is what the largest Welch statistic of all candidates would be if the strings' sort made no
    difference: strings are permuted between the sorts, in each candidate, 2,000 times.

    Parameters
    ----------
    explanations : the candidates, with the module's responses to their strings.
    spread : the module's standard deviation over n-grams, above 0.
    generator : of the permutations.

    Returns
    -------
    the scored candidates, in the order of `explanations`.

    Examples
    --------
    >>> fish = TestedExplanation("fish", ("trout", "eel"), ("car", "lamp"), (4.0, 4.2), (0.0, 0.2))
    >>> [candidate] = score_candidates([fish], spread=2.0, generator=np.random.default_rng(0))
    >>> round(candidate.score, 3)
    2.0
    """
    candidates = [Candidate(explanation.text) for explanation in explanations]
    testable = [
        index
        for index, explanation in enumerate(explanations)
        if min(len(explanation.related_values), len(explanation.unrelated_values)) >= FEWEST_STRINGS
    ]
    if not testable:
        return candidates
    observed, largest, widest = {}, np.full(PERMUTATIONS, -np.inf), np.zeros(PERMUTATIONS)
    for index in testable:
        values = np.array([*explanations[index].related_values, *explanations[index].unrelated_values])
        related = len(explanations[index].related_values)
        order = np.argsort(generator.random((PERMUTATIONS, len(values))), axis=1)
        permuted, _, _ = _welch(values[order], related)
        observed[index] = tuple(float(part[0]) for part in _welch(values[None], related))
        largest, widest = np.maximum(largest, permuted), np.maximum(widest, np.abs(permuted))
    reach = float(np.quantile(widest, 0.95))
    for index, (statistic, difference, error) in observed.items():
        p = (1 + int((largest >= statistic - 1e-12).sum())) / (PERMUTATIONS + 1)
        score, half = difference / spread, reach * error / spread
        candidates[index] = Candidate(explanations[index].text, score, score - half, score + half, p)
    return candidates


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Put the best score first; candidates without a score are last, in their order.

    Examples
    --------
    >>> [candidate.text for candidate in ranked([Candidate("a"), Candidate("b", 0.5), Candidate("c", 2.0)])]
    ['c', 'b', 'a']
    """
    return sorted(candidates, key=lambda candidate: (candidate.score is None, -(candidate.score or 0.0)))


def _welch(values: np.ndarray, related: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give Welch's statistic, the difference of means and its standard error, for rows split after `related` values."""
    first, second = values[:, :related], values[:, related:]
    difference = first.mean(axis=1) - second.mean(axis=1)
    error = np.sqrt(first.var(axis=1, ddof=1) / first.shape[1] + second.var(axis=1, ddof=1) / second.shape[1])
    # Equal values on both sides tell nothing; unequal constants tell everything that can be told.
    statistic = np.divide(difference, error, out=np.sign(difference) * 1e6, where=error > 0)
    return statistic, difference, error
