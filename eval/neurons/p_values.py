"""The p-values of alignments, from the controls of all pairs together, corrected for the number of pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from conceptbench.eval.methods.neurons.choices import LEVEL
from conceptbench.eval.neurons.records import PairRow, Record

_ROUNDING: Final = 1e-9


def corrected_p_values(rows: Sequence[Record]) -> dict[int, float]:
    """Give the corrected p-value of each pair, by the number of its row.

    They are corrected by Benjamini and Hochberg (1995) over all layers' pairs of one source, scaling and number of
    concepts.
    """
    tests: defaultdict[tuple[str, str, int], dict[int, PairRow]] = defaultdict(dict)
    for number, row in enumerate(rows):
        if isinstance(row, PairRow):
            tests[row.source, row.scaling, row.k][number] = row
    corrected: dict[int, float] = {}
    for pairs in tests.values():
        alignments = [row.alignment[row.at_fraction] for row in pairs.values()]
        p = pooled_p_values(alignments, [row.controls for row in pairs.values()])
        adjusted = multipletests(p, alpha=LEVEL, method="fdr_bh")[1]
        corrected |= dict(zip(pairs, adjusted.tolist(), strict=True))
    return corrected


def pooled_p_values(values: Sequence[float], controls: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Give each value's p-value from the controls of all values together.

    The rank among n controls gives no p below 1 / (1 + n), which is too coarse to correct for hundreds of tests. So
    each value is expressed in standard deviations of its controls, and each control in those of the other controls of
    its value; the p-value is the share of all controls that are as far above, the value counted among them. It holds
    on average over the values if their controls are distributed alike except for location and scale.

    Parameters
    ----------
    values : n numbers.
    controls : of each of them; with fewer than three its p-value is 1.

    Returns
    -------
    float64 array (n,).

    Examples
    --------
    >>> pooled_p_values([9.0, 9.0], [[0.0, 1.0, 2.0, 1.5], [0.0, 1.0]]).tolist()
    [0.2, 1.0]
    """
    testable = [i for i, of_value in enumerate(controls) if len(of_value) > 2]
    p = np.ones(len(values))
    if not testable:
        return p
    deviations = np.array([_deviation(values[i], np.array(controls[i])) for i in testable])
    pool = np.sort(np.concatenate([_deviations(np.array(controls[i])) for i in testable]))
    p[testable] = (1 + len(pool) - np.searchsorted(pool, deviations - _ROUNDING, side="left")) / (1 + len(pool))
    return p


def _deviation(value: float, controls: NDArray[np.float64]) -> float:
    """The value's distance from the mean of its controls, in their standard deviations."""
    return float((value - controls.mean()) / max(controls.std(ddof=1), _ROUNDING))


def _deviations(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each control's distance from the mean of the others, in their standard deviations."""
    n = len(controls)
    centred = controls - controls.mean()
    rest = centred.sum() - centred
    mean = rest / (n - 1)
    variance = (np.square(centred).sum() - np.square(centred) - (n - 1) * mean**2) / (n - 2)
    deviations: NDArray[np.float64] = (centred - mean) / np.sqrt(np.maximum(variance, _ROUNDING**2))
    return deviations
