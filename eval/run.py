"""The pipeline of every task: options, records, scores, result; and an opened run, which reads its records once."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from conceptbench.benchmark.schema import slug
from conceptbench.eval.result import Metric, Result, package_version, read_result, write_result
from conceptbench.eval.rows import read_records, write_records
from conceptbench.eval.task import Example, ItemScores, Provenance, Scores, Task
from conceptbench.eval.tasks import task_of
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.options import read_options, recorded_options
from conceptbench.runtime.progress import Progress, Silent

TOLERANCE: Final = 1e-6
"""A metric that is computed again may differ from the file's by this much."""


def evaluate(task: str, *, out: str | Path | None = None, progress: Progress | None = None, **options: Any) -> Result:
    """Run a task on a system, and write the result.

    Parameters
    ----------
    task : the name of a task, see `conceptbench list tasks`.
    out : the folder that gets `result.json` and `records.parquet`; by default `results/<task>-<system>`. A run that
        was stopped goes on where it was when it is started again in its folder.
    progress : shows how far the run is.
    options : those of the task, see docs/tasks.md or `conceptbench eval <task> --help`.

    Returns
    -------
    the result, as in the file.

    Raises
    ------
    InputError
        if there is no such task, or an option is wrong.
    ConceptBenchError
        if the system cannot be asked.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = evaluate("annotation", annotator="lexical", limit=2, purities=[1.0], out=folder)
    >>> result.metrics["gold_match"].n
    2
    """
    description = task_of(task)
    given: Any = read_options(description.options, options)
    folder = Path(out) if out is not None else default_folder(description, given)
    progress = progress or Silent()
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    collected = description.collect(given, folder, progress)
    digest = write_records(folder, collected.records)
    provenance: dict[str, Any] = {
        **recorded_options(given),
        "conceptbench": package_version(),
        "dataset": collected.dataset,
        "dataset_sha256": collected.dataset_sha256,
        "started": started.isoformat(timespec="seconds"),
        "cost_usd": None,
        "tokens": {"in": 0, "out": 0},
        **collected.facts,
    }
    scores = description.score(description.rows(collected.records), provenance, progress)
    result = Result(
        task=description.name,
        task_version=description.version,
        system=collected.system + (f"/{scores.variant}" if scores.variant else ""),
        metrics={str(key): metric for key, metric in scores.metrics.items()},
        provenance=provenance
        | dict(scores.facts)
        | ({"findings": list(scores.findings)} if scores.findings else {})
        | {
            "undefined": {**collected.undefined, **scores.undefined},
            "seconds": round(time.perf_counter() - clock, 3),
        },
        records_sha256=digest,
    )
    write_result(folder, result)
    collected.finish()
    return result


def default_folder(task: Task, options: Any) -> Path:
    """Give the folder of a run that was given none: `results/<task>-<system>`."""
    return Path("results") / f"{task.name}-{slug(task.folder_name(options))}"


@dataclass(frozen=True)
class Run:
    """A result with its task and the folder of its records, which are read once and scored once."""

    folder: Path
    result: Result
    task: Task
    progress: Progress = field(default_factory=Silent, compare=False)

    @cached_property
    def records(self) -> pa.Table:
        """The table of records."""
        return read_records(self.folder, self.task.schema(), self.task.name)

    @cached_property
    def rows(self) -> Any:
        """The records as the task's typed rows."""
        return self.task.rows(self.records)

    @cached_property
    def scores(self) -> Scores:
        """The scores, computed again from the records."""
        return self.task.score(self.rows, self.provenance, self.progress)

    @cached_property
    def examples(self) -> Sequence[Example]:
        """Some items to look at."""
        return self.task.examples(self.rows, self.scores, self.provenance)

    @cached_property
    def profiles(self) -> Mapping[str, Mapping[str, float]]:
        """The main metric of single items by layer; empty where the task has none."""
        return self.task.profiles(self.rows, self.scores) if self.task.profiles is not None else {}

    @property
    def provenance(self) -> Provenance:
        """That of the result."""
        return self.result.provenance

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics, computed again from the records, by their keys in result files."""
        return {str(key): metric for key, metric in self.scores.metrics.items()}

    @property
    def item_scores(self) -> ItemScores:
        """The values of single items, computed again from the records."""
        return self.scores.items

    @property
    def main(self) -> str | None:
        """The metric by which systems are ranked: the first of the task's that the result has."""
        return next((name for name in self.task.ranked_by if name in self.result.metrics), None)

    def same_items(self, other: Run) -> bool:
        """Whether both were asked the same."""
        digests = [run.provenance.get("dataset_sha256") for run in (self, other)]
        return digests[0] is not None and digests[0] == digests[1]

    def check_metrics(self) -> None:
        """Compute the metrics again from the records.

        Raises
        ------
        ConceptBenchError
            if they are not those of the result file.
        """
        stated, computed = self.result.metrics, self.metrics
        differing = [
            name for name in {**stated, **computed} if not same_metric(stated.get(name), computed.get(name), TOLERANCE)
        ]
        if differing:
            name = differing[0]
            more = f" (and {len(differing) - 1} more metrics differ)" if len(differing) > 1 else ""
            raise ConceptBenchError(
                f"{self.folder}: metric {name!r} is {exact(stated.get(name))} in the result file, but "
                f"{exact(computed.get(name))} by its records{more}. The file was changed since the run, or the code "
                "was; run the evaluation again"
            )


def open_run(path: str | Path, progress: Progress | None = None) -> Run:
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
    return Run(file if file.is_dir() else file.parent, result, task, progress or Silent())


def same_metric(stated: Metric | None, computed: Metric | None, within: float) -> bool:
    """Tell whether two metrics are of as many items and equal within a tolerance; not where one is absent."""
    if stated is None or computed is None:
        return False
    pairs = ((stated.value, computed.value), (stated.low, computed.low), (stated.high, computed.high))
    return stated.n == computed.n and all(abs(first - second) <= within for first, second in pairs)


def exact(metric: Metric | None) -> str:
    """Write a metric with all digits that tell it from another."""
    return "absent" if metric is None else f"{metric.value:.9g} ({metric.low:.9g} to {metric.high:.9g}, n {metric.n})"
