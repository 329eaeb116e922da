"""What a report consists of: systems, and sections of blocks with tables and plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath

from conceptbench.eval.report import numbers
from conceptbench.eval.report.plots import Curves, Plot
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.run import Run
from conceptbench.eval.task import Task
from conceptbench.runtime.errors import InputError


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and a note in small print below.

    `heat`, from 0 to 1, shades the cell of a heat map, where the note appears when it is pointed at.
    """

    text: str
    note: str = ""
    heat: float | None = None


@dataclass(frozen=True)
class Table:
    """A table; `words` for one of texts instead of numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    words: bool = False


@dataclass(frozen=True)
class Block:
    """A part of a section: sentences, plots, curves, a table, and tables that are folded away."""

    title: str
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    table: Table | None = None
    folded: Sequence[Table] = ()
    curves: Sequence[Curves] = ()


@dataclass(frozen=True)
class Section:
    """The results of runs of one task, ranked by one metric."""

    title: str
    summary: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class System:
    """A run, the name that tells it from the others, and the metrics of its result file.

    `series` is its position in the ranking, from 0: it gives the colour and shape in plots.
    """

    name: str
    run: Run
    metrics: Mapping[MetricKey, Metric]
    series: int = 0

    @property
    def task(self) -> Task:
        """The task that it was scored on."""
        return self.run.task

    @property
    def undefined(self) -> Mapping[str, str]:
        """Why a metric is absent, by its name."""
        reasons: Mapping[str, str] = self.run.provenance.get("undefined", {})
        return reasons


def named_systems(runs: Sequence[Run]) -> list[System]:
    """Name runs by system, and by what tells their folders apart where there are several of a system.

    Raises
    ------
    InputError
        if a run is there twice.
    """
    folders = [run.folder.resolve() for run in runs]
    systems = []
    for run, folder in zip(runs, folders, strict=True):
        if folders.count(folder) > 1:
            raise InputError(f"{run.folder}: was given twice")
        name = run.result.system
        namesakes = [path for path, other_run in zip(folders, runs, strict=True) if other_run.result.system == name]
        if len(namesakes) > 1:
            name += f" ({folder.relative_to(commonpath(namesakes)).as_posix()})"
        systems.append(System(name, run, {run.task.key(text): metric for text, metric in run.result.metrics.items()}))
    return systems


def keys_of(systems: Sequence[System]) -> list[MetricKey]:
    """Give the keys of all metrics that some system has."""
    return list(dict.fromkeys(key for system in systems for key in system.metrics))


def measured(systems: Sequence[System], key: MetricKey) -> list[tuple[System, Metric]]:
    """Give the systems that have a metric, with it."""
    return [(system, system.metrics[key]) for system in systems if key in system.metrics]


def in_task_order(systems: Sequence[System], names: Iterable[str]) -> list[str]:
    """Put names of metrics in the order of the task; those that it does not know are last."""
    known, present = systems[0].task.descriptions, set(names)
    return [name for name in known if name in present] + sorted(present - known.keys())


def metric_cell(metric: Metric | None, why_absent: str = "") -> Cell:
    """Make a cell of a metric: its value, and below it its interval; or a dash, and why it is absent."""
    return Cell("—", why_absent) if metric is None else Cell(numbers.value(metric), numbers.interval_and_n(metric))


def metric_table(corner: str, rows: Sequence[tuple[Cell, MetricKey]], systems: Sequence[System]) -> Table:
    """Make a table with a column a system.

    Parameters
    ----------
    corner : the head of the first column.
    rows : the label of each row, and its metric; for a headline metric that is absent, the cell has the reason.
    """

    def cell(system: System, key: MetricKey) -> Cell:
        return metric_cell(system.metrics.get(key), system.undefined.get(key.name, "") if key.headline else "")

    return Table(
        [corner, *(system.name for system in systems)],
        [[label, *(cell(system, key) for system in systems)] for label, key in rows],
    )


def folded_table(
    caption: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, System, Sequence[MetricKey]]]
) -> Table:
    """Make a table that is folded away, with a row a system.

    Parameters
    ----------
    corner, columns : the head of the labels' column, and of those of the metrics.
    rows : a label, a system, and the metric of each column.
    """
    return Table(
        [corner, "system", *columns],
        [
            [Cell(label), Cell(system.name), *(metric_cell(system.metrics.get(key)) for key in keys)]
            for label, system, keys in rows
        ],
        caption,
    )
