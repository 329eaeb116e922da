"""A paired comparison of two runs that were asked the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from conceptbench.eval.run import Run, open_run
from conceptbench.eval.stats.paired import Difference, paired_difference
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress, Silent

# What tells the items of a run from those of another, by its name in the provenance.
_OF_ITEMS = ("dataset", "study", "seed")


@dataclass(frozen=True)
class Comparison:
    """Two runs of a task on the same items, metric by metric, in the order of the task's metrics.

    Attributes
    ----------
    task : its name.
    first, second : the names of the systems.
    detect : the size of difference that `Difference.needed` is about.
    main : the metric by which the better one is told; None where it is not in both.
    means : the first's and the second's mean, by metric.
    differences : first minus second, by metric.
    unpaired : metrics that both have by item, but not for the same items: those of labels that a system gave, or that
        raters accepted.
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
        difference = self.differences[self.main]
        names = [f"{self.first} (first)", f"{self.second} (second)"]
        better, worse = names if difference.value > 0 else reversed(names)
        verdict = (
            f"{better} is better than {worse}"
            if difference.told_apart
            else f"{' and '.join(names)} cannot be told apart"
        )
        return f"{verdict} on {self.main}: first minus second is {difference}."


def compare_results(
    first: str | Path, second: str | Path, *, detect: float = 0.05, seed: int = 0, progress: Progress | None = None
) -> Comparison:
    """Compare two runs of a task on the same items, by every metric that is computed item by item.

    Parameters
    ----------
    first, second : folders of results, or their files.
    detect : the size of difference that `Difference.needed` is about; above 0.
    seed : of the resampling and the permutations.
    progress : shows how far the scoring of the two runs is.

    Raises
    ------
    InputError
        if a result cannot be read, or the two are not of the same task and items.
    """
    progress = progress or Silent()
    runs = open_run(first, progress), open_run(second, progress)
    task = runs[0].task
    if runs[1].task.name != task.name:
        raise InputError(
            f"{first} is of the task {task.name}, {second} of {runs[1].task.name}: only runs of one task compare"
        )
    if not runs[0].same_items(runs[1]):
        raise InputError(
            f"{first} and {second} are not of the same items: {_items_in_words(runs[0])}; {_items_in_words(runs[1])}. "
            "Evaluate both with the same options"
        )
    items = []
    with progress.stage("Scoring items", len(runs)) as advance:
        for run in runs:
            items.append(run.item_scores)
            advance(1)
    values = [scores.values for scores in items]
    shared = [name for name in task.descriptions if all(name in by_metric for by_metric in values)]
    paired = [name for name in shared if values[0][name].keys() == values[1][name].keys()]
    return Comparison(
        task=task.name,
        first=runs[0].result.system,
        second=runs[1].result.system,
        detect=detect,
        main=next((name for name in task.ranked_by if name in paired), None),
        means={name: (fmean(values[0][name].values()), fmean(values[1][name].values())) for name in paired},
        differences={
            name: paired_difference(values[0][name], values[1][name], items[0].groups, detect=detect, seed=seed)
            for name in paired
        },
        unpaired=[name for name in shared if name not in paired],
    )


def _items_in_words(run: Run) -> str:
    """Say in words what items a run was asked."""
    facts = [f"{name} {run.provenance[name]}" for name in _OF_ITEMS if run.provenance.get(name) is not None]
    if run.main is not None:
        facts.append(f"{run.result.metrics[run.main].n} items")
    return ", ".join(facts)
