"""A paired comparison of two runs that were asked the same items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conceptbench.eval.run import Run, open_run
from conceptbench.eval.stats.paired import Difference, paired_difference
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress, Silent


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
            f"{first} and {second} are not of the same items: {_items_in_words(runs[0])}; {_items_in_words(runs[1])}. "
            "Evaluate both with the same options"
        )
    scores = []
    with (progress or Silent()).stage("Scoring items", len(runs)) as advance:
        for run in runs:
            scores.append(run.item_scores)
            advance(1)
    values = [scored.values for scored in scores]
    both = [name for name in runs[0].task.descriptions if all(name in measured for measured in values)]
    paired = [name for name in both if values[0][name].keys() == values[1][name].keys()]
    return Comparison(
        task=one.task,
        first=one.system,
        second=other.system,
        detect=detect,
        main=next((name for name in runs[0].task.ranked_by if name in paired), None),
        means={name: (_mean(values[0][name]), _mean(values[1][name])) for name in paired},
        differences={
            name: paired_difference(values[0][name], values[1][name], scores[0].groups, detect=detect, seed=seed)
            for name in paired
        },
        unpaired=[name for name in both if name not in paired],
    )


def _mean(values: Mapping[str, float]) -> float:
    return math.fsum(values.values()) / len(values)


def _items_in_words(run: Run) -> str:
    """What tells the items of a run from those of another, in words."""
    given = {name: run.result.provenance.get(name) for name in ("dataset", "study", "seed")}
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    return ", ".join([*named, f"{run.result.metrics[run.main].n} items"] if run.main is not None else named)
