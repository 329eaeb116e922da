"""What a task is: one description, from which everything that is done with the task follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from conceptbench.eval.result import Metric, MetricKey

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from conceptbench.runtime.progress import Progress

Provenance = Mapping[str, Any]
"""The provenance of a result file: every option as it was used, and what else the numbers depend on."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric means.

    Attributes
    ----------
    name : in result files.
    description : a sentence that can be read alone.
    unit : of the value, such as `share`, `AUROC` or `standard deviations`.
    higher_is_better : None where neither direction is better.
    by_encoder : whether an encoder computes it, so that its last digits depend on the machine.
    """

    name: str
    description: str
    unit: str = "share"
    higher_is_better: bool | None = True
    by_encoder: bool = False


@dataclass(frozen=True)
class Study:
    """A study: the same run under several conditions.

    Attributes
    ----------
    summary : what it compares.
    metrics : those that tables of the study show.
    needs : what the study takes beside its name, such as `one store`.
    by_group : whether its tables have a row for each group of a breakdown instead of one for each condition.
    """

    summary: str
    metrics: tuple[str, ...] = ()
    needs: str = ""
    by_group: bool = False


@dataclass(frozen=True)
class CurvePlot:
    """A plot that reports draw: `metrics` as lines over the numbers of the breakdown or study `by`."""

    caption: str
    by: str
    metrics: Sequence[str]


@dataclass(frozen=True)
class ItemScores:
    """The values behind a run's metrics: by metric, the value of each item; and the group (concept) of each item."""

    values: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class Example:
    """One item to look at: what was shown, what was answered, what was expected; `good` is None where unknown."""

    item: str
    shown: str
    answer: str
    expected: str
    good: bool | None
    condition: str = ""


@dataclass(frozen=True)
class Scores:
    """The numbers of a run, computed from its records.

    Attributes
    ----------
    metrics : with their breakdowns.
    items : the values of single items.
    undefined : why a metric is absent, by its name.
    findings : what tests show, in sentences.
    facts : what scoring adds to the provenance, such as the layer that the headline is of.
    variant : what scoring adds to the system's name, such as that layer.
    """

    metrics: Mapping[MetricKey, Metric]
    items: ItemScores = field(default_factory=lambda: ItemScores({}, {}))
    undefined: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""


@dataclass(frozen=True)
class Collected:
    """What a task collects from a system, before anything is scored.

    Attributes
    ----------
    system : the name of what was measured.
    dataset, dataset_sha256 : what it was asked, in words and as a digest: runs with the same digest can be compared.
    records : a table of the task's schema.
    facts : what the provenance records beside the options; a fact of an option's name stands for the option.
    undefined : why a metric will be absent, where that cannot be seen from the records.
    finish : is called when the result has been written, to remove what was kept for an interrupted run.
    """

    system: str
    dataset: str
    dataset_sha256: str
    records: pa.Table
    facts: Mapping[str, Any] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[], None] = lambda: None


def all_rows(records: pa.Table) -> pa.Table:
    """Give the records as they are."""
    return records


def no_check(_records: pa.Table, _provenance: Provenance) -> None:
    """Find nothing wrong."""


def no_redraw(_records: pa.Table, _provenance: Provenance) -> bool:
    """Draw nothing: the package has no dataset of its own for the task."""
    return False


@dataclass(frozen=True)
class PanelRanking:
    """A second ranking of a task, by what a board's own judges accept.

    Attributes
    ----------
    metric : the metric that they are ranked by.
    prompt : the name of the judges' prompt in the provenance.
    sha256 : gives the digest of that prompt in this version.
    """

    metric: str
    prompt: str
    sha256: Callable[[], str]


@dataclass(frozen=True)
class BoardRules:
    """What a leaderboard has to know of a task to take submissions from strangers.

    Attributes
    ----------
    asked : columns of the records that hold what was asked: their texts are the dataset's, not the submitter's.
    unique : columns that no two rows may have in common; none where rows have no name.
    items : columns that say what was asked: a digest of them tells datasets apart.
    item_rows : gives the rows that these columns are taken from.
    check : raises an InputError where the records cannot be those of an honest run, whatever the dataset.
    redraw : draws a dataset of the package again and raises an InputError where the records are not of it; False where
        the provenance names no such dataset.
    shown : gives the rows that the board's pages show.
    hub_metric : the metric that the scorer in the benchmark's `eval.yaml` measures, where that is not the main one.
    panel : a second ranking, by a board's own judges.
    """

    asked: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    item_rows: Callable[[pa.Table], pa.Table] = all_rows
    check: Callable[[pa.Table, Provenance], None] = no_check
    redraw: Callable[[pa.Table, Provenance], bool] = no_redraw
    shown: Callable[[pa.Table], pa.Table] = all_rows
    hub_metric: str = ""
    panel: PanelRanking | None = None


class Collect(Protocol):
    """Asks or measures a system, and gives the records; raises an InputError before any work if an option is wrong."""

    def __call__(self, options: Any, folder: Path, progress: Progress) -> Collected: ...  # noqa: D102


class Score(Protocol):
    """Computes every metric from the rows and the provenance alone; no language model is asked."""

    def __call__(self, rows: Any, provenance: Provenance, progress: Progress) -> Scores: ...  # noqa: D102


class Examples(Protocol):
    """Gives some items of a run to look at, good and bad."""

    def __call__(self, rows: Any, scores: Any, provenance: Provenance) -> Sequence[Example]: ...  # noqa: D102


class Profiles(Protocol):
    """Gives the main metric of single items by layer."""

    def __call__(self, rows: Any, scores: Any) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102


@dataclass(frozen=True)
class Task:
    """The description of a task.

    Attributes
    ----------
    name, version : the version goes up when the same records would give other numbers.
    summary : what is scored, in a clause.
    help : what the command does, for its help text.
    options : the dataclass of its options, see `runtime.options`.
    schema : gives the Arrow schema of its records.
    rows : gives the records' table as the rows that `score` takes.
    metrics : in the order in which they are shown.
    collect, score, examples, profiles : what the task does; see their protocols.
    folder_name : gives the part of the default result folder's name that stands after the task's.
    ranked_by : systems are ranked by the first of these that all their results have.
    unranked : why systems are not ranked; empty where they are.
    studies : by name.
    groups : of a breakdown's group, what it is one of, where its name does not tell.
    open_breakdowns : metrics whose breakdowns reports show in the open beside the main one.
    compared : metrics whose groups the command line shows side by side.
    curves : what reports draw as lines.
    remarks : gives lines that the command line prints below a result.
    board : what a leaderboard has to know.
    """

    name: str
    version: str
    summary: str
    help: str
    options: type
    schema: Callable[[], pa.Schema]
    rows: Callable[[pa.Table], Any]
    metrics: Sequence[MetricInfo]
    collect: Collect
    score: Score
    examples: Examples
    folder_name: Callable[[Any], str]
    profiles: Profiles | None = None
    ranked_by: tuple[str, ...] = ()
    unranked: str = ""
    studies: Mapping[str, Study] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    open_breakdowns: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    curves: tuple[CurvePlot, ...] = ()
    remarks: Callable[[Provenance], Sequence[str]] = lambda _provenance: ()
    board: BoardRules = field(default_factory=BoardRules)

    @property
    def descriptions(self) -> dict[str, str]:
        """What each metric means, by its name, in the order in which they are shown."""
        return {metric.name: metric.description for metric in self.metrics}

    def metric(self, name: str) -> MetricInfo | None:
        """Give what a metric means; None for one that the task does not know."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def key(self, text: str) -> MetricKey:
        """Read a metric's key as it stands in a result file."""
        return MetricKey.parse(text, self.studies)


def deferred(target: str) -> Callable[..., Any]:
    """Give a function that is imported when it is first called.

    A task's description is read by the help of the command line, which must not wait for torch.

    Parameters
    ----------
    target : `<module>:<name>`.

    Examples
    --------
    >>> deferred("math:hypot")(3, 4)
    5.0
    """
    module, _, name = target.partition(":")

    def call(*given: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*given, **named)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"Calls `{target}`."
    return call
