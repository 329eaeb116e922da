"""A paired comparison of two systems that were scored on the same items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.power import TTestPower

from conceptbench.eval.result import ItemScores, Result, read_result
from conceptbench.eval.run import Task, task_of
from conceptbench.eval.stats.agreement import resampled_sums
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress, Silent

PERMUTATIONS = 10_000
_EXACT_UP_TO = 2**14
_CELLS_AT_ONCE = 2**20
_ALPHA, _POWER = 0.05, 0.8
# With five groups, the smallest p-value of flipping signs is 2 / 2**5, which is above 0.05.
_FEWEST_GROUPS = 6


@dataclass(frozen=True)
class Difference:
    """The mean of first minus second over `n` items in `groups` groups, with its 95 % interval and p-value.

    `needed` is the number of groups that would show the difference asked about; None where the groups do not differ
    in their difference.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    groups: int
    needed: int | None

    @property
    def told_apart(self) -> bool:
        """Whether the p-value is below 0.05."""
        return self.p < _ALPHA

    def __str__(self) -> str:
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f}), {p}".replace("-", "−")


@dataclass(frozen=True)
class Run:
    """A result, with the folder of its records and its task."""

    folder: Path
    result: Result
    task: Task

    @property
    def main(self) -> str | None:
        """The metric by which systems are ranked: the first of the task's main ones that the result has."""
        return next((name for name in self.task.main if name in self.result.metrics), None)

    def same_items(self, other: Run) -> bool:
        """Whether both were asked the same."""
        digests = [run.result.provenance.get("dataset_sha256") for run in (self, other)]
        return digests[0] is not None and digests[0] == digests[1]

    def item_scores(self) -> ItemScores:
        """Compute the values of single items from the records."""
        return self.task.item_scores(self.folder, self.result, None)


@dataclass(frozen=True)
class Comparison:
    """Two runs of a task on the same items, metric by metric, in the order of the task's metrics.

    `means` has the first's and the second's mean, `differences` first minus second. `unpaired` are metrics that both
    have by item, but not for the same items: those of labels that a system gave, or that raters accepted.
    """

    task: str
    first: str
    second: str
    detect: float
    main: str | None
    means: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Difference]
    unpaired: Sequence[str]

    @property
    def verdict(self) -> str:
        """Which of the two is better on the main metric, in a sentence."""
        if self.main is None:
            return f"No main metric of the task {self.task} is in both results: neither can be called better."
        found = self.differences[self.main]
        names = [f"{name} ({place})" for place, name in (("first", self.first), ("second", self.second))]
        better, worse = names if found.value > 0 else reversed(names)
        what = f"{better} is better than {worse}" if found.told_apart else f"{' and '.join(names)} cannot be told apart"
        return f"{what} on {self.main}: first minus second is {found}."


def open_run(path: str | Path) -> Run:
    """Read a result's folder, or its file.

    Raises
    ------
    InputError
        if it is no result, its records were changed, or this version does not score its task as it was scored.
    """
    file = Path(path)
    result = read_result(file)
    task = task_of(result.task)
    if result.task_version != task.version:
        raise InputError(
            f"{path}: is a result of {result.task} {result.task_version}; here is {result.task} {task.version}: "
            "run the evaluation again"
        )
    return Run(file if file.is_dir() else file.parent, result, task)


def compare_results(
    first: str | Path, second: str | Path, *, detect: float = 0.05, seed: int = 0, progress: Progress | None = None
) -> Comparison:
    """Compare two runs of a task on the same items, by every metric that is computed item by item.

    Parameters
    ----------
    first, second : folders of results, or their files.
    detect : the size of difference that `needed` is about; above 0.
    seed : of the resampling and the permutations.

    Raises
    ------
    InputError
        if a result cannot be read, or the two are not of the same task and items.
    """
    runs = [open_run(first), open_run(second)]
    one, other = (run.result for run in runs)
    if one.task != other.task:
        raise InputError(f"{first} is of the task {one.task}, {second} of {other.task}: only runs of one task compare")
    if not runs[0].same_items(runs[1]):
        raise InputError(
            f"{first} and {second} are not of the same items: {_asked(runs[0])}; {_asked(runs[1])}. "
            "Evaluate both with the same options"
        )
    scores = []
    with (progress or Silent()).stage("Scoring items", len(runs)) as advance:
        for run in runs:
            scores.append(run.item_scores())
            advance(1)
    values = [own.values for own in scores]
    both = [name for name in runs[0].task.metrics if all(name in own for own in values)]
    paired = [name for name in both if values[0][name].keys() == values[1][name].keys()]
    return Comparison(
        task=one.task,
        first=one.system,
        second=other.system,
        detect=detect,
        main=next((name for name in runs[0].task.main if name in paired), None),
        means={name: (_mean(values[0][name]), _mean(values[1][name])) for name in paired},
        differences={
            name: paired_difference(values[0][name], values[1][name], scores[0].groups, detect=detect, seed=seed)
            for name in paired
        },
        unpaired=[name for name in both if name not in paired],
    )


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    groups: Mapping[str, str],
    *,
    detect: float = 0.05,
    seed: int = 0,
) -> Difference:
    """Compare the scores of two systems on the same items.

    The interval is the percentile bootstrap over groups (Efron 1979). The p-value is of the two-sided permutation
    test that flips the signs of whole groups (Fisher 1935): exact where few groups differ, else from 10,000 draws,
    the observed one counted among them (Phipson and Smyth 2010). `needed` is the number of groups with which a
    paired t test at 0.05, two-sided, shows a true difference of `detect` with 80 % power, the mean differences of
    groups being spread as here; at least 6, since fewer cannot bring the permutation test to 0.05.

    Where two systems score alike on every item, the p-value is 1 and the interval [0, 0]. That describes these
    items, and resampling can say no more: of other concepts, a share of up to 3 / groups may still differ (Hanley and
    Lippman-Hand 1983). The same holds of any difference that is one and the same in every group.

    Parameters
    ----------
    first, second : the score of each item.
    groups : the concept (or module) of each item: what is resampled, and flipped.
    detect : the size of difference that `needed` is about; above 0.
    seed : of the resampling and the permutations.

    Raises
    ------
    InputError
        if the two are not of the same items, an item has no group or no finite score, there are no items, or
        `detect` is not above 0.
    """
    if not detect > 0:
        raise InputError(f"detect: must be above 0, not {detect}")
    items = _same_items(first, second, groups)
    differences = np.array([first[item] - second[item] for item in items], dtype=np.float64)
    if not np.isfinite(differences).all():
        item = items[int(np.argmin(np.isfinite(differences)))]
        raise InputError(f"item {item!r}: its scores must be finite; they are {first[item]} and {second[item]}")
    _, owner = np.unique(np.array([groups[item] for item in items]), return_inverse=True)
    sums = np.bincount(owner, differences).astype(np.float64)
    counts = np.bincount(owner).astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn = resampled_sums(np.column_stack([sums, counts]), rng)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return Difference(
        value=float(differences.mean()),
        low=float(low),
        high=float(high),
        p=_p_value(sums, rng),
        n=len(items),
        groups=len(sums),
        needed=_groups_needed(sums / counts, detect),
    )


def _same_items(first: Mapping[str, float], second: Mapping[str, float], groups: Mapping[str, str]) -> list[str]:
    """The items, in an order that does not hang on that of the mappings."""
    unpaired = sorted(first.keys() ^ second.keys())
    if unpaired:
        where = "first" if unpaired[0] in first else "second"
        raise InputError(
            f"the two are not of the same items: {len(unpaired)} are in only one of them, "
            f"such as {unpaired[0]!r} in the {where}"
        )
    if not first:
        raise InputError("there are no items to compare")
    homeless = sorted(first.keys() - groups.keys())
    if homeless:
        raise InputError(f"there is no group for {len(homeless)} of {len(first)} items, such as {homeless[0]!r}")
    return sorted(first)


def _p_value(sums: NDArray[np.float64], rng: np.random.Generator) -> float:
    # A group whose sum is 0 is the same with either sign.
    sums = sums[sums != 0]
    # Sums that are equal but for rounding count as equal.
    bar = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()
    if 2 ** len(sums) <= _EXACT_UP_TO:
        flips = np.arange(2 ** len(sums))[:, np.newaxis] >> np.arange(len(sums)) & 1
        return float(np.mean(np.abs((1 - 2 * flips) @ sums) >= bar))
    at_once = max(1, _CELLS_AT_ONCE // len(sums))
    extreme = 0
    for start in range(0, PERMUTATIONS, at_once):
        flips = rng.integers(2, size=(min(at_once, PERMUTATIONS - start), len(sums)))
        extreme += int(np.sum(np.abs((1 - 2 * flips) @ sums) >= bar))
    return (extreme + 1) / (PERMUTATIONS + 1)


def _groups_needed(means: NDArray[np.float64], detect: float) -> int | None:
    if np.ptp(means) < 1e-12:
        return None
    # Beyond these bounds the solver finds no number; there the fewest groups do, or trillions do not.
    effect = min(max(detect / float(means.std(ddof=1)), 1e-6), 2.0)
    needed: float = TTestPower().solve_power(effect_size=effect, power=_POWER, alpha=_ALPHA, alternative="two-sided")
    return max(_FEWEST_GROUPS, math.ceil(needed))


def _mean(values: Mapping[str, float]) -> float:
    return math.fsum(values.values()) / len(values)


def _asked(run: Run) -> str:
    """What tells the items of a run from those of another, in words."""
    given = {name: run.result.provenance.get(name) for name in ("dataset", "study", "seed")}
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    return ", ".join([*named, f"{run.result.metrics[run.main].n} items"] if run.main is not None else named)
