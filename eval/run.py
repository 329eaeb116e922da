"""The tasks: running any of them by name, and what is done with a result of any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conceptbench.benchmark.modules import FAMILIES, INNER_FAMILIES
from conceptbench.benchmark.modules.files import FILE_FAMILY
from conceptbench.eval.annotation import collect as annotation
from conceptbench.eval.annotation import examples as annotation_examples
from conceptbench.eval.annotation.metrics import MAIN, MAIN_ON_STORES, METRICS
from conceptbench.eval.explanation import collect as explanation
from conceptbench.eval.explanation import examples as explanation_examples
from conceptbench.eval.explanation.metrics import MAIN as MAIN_OF_EXPLANATION
from conceptbench.eval.explanation.metrics import MAIN_WITHOUT_ANSWERS
from conceptbench.eval.explanation.metrics import METRICS as METRICS_OF_EXPLANATION
from conceptbench.eval.neurons import collect as neurons
from conceptbench.eval.neurons import examples as neurons_examples
from conceptbench.eval.neurons import metrics as neurons_metrics
from conceptbench.eval.probing import collect as probing
from conceptbench.eval.probing import examples as probing_examples
from conceptbench.eval.probing.metrics import MAIN as MAIN_OF_PROBING
from conceptbench.eval.probing.metrics import METRICS as METRICS_OF_PROBING
from conceptbench.eval.prototypes import collect as prototypes
from conceptbench.eval.prototypes import examples as prototypes_examples
from conceptbench.eval.prototypes import metrics as prototypes_metrics
from conceptbench.eval.quality import collect as quality
from conceptbench.eval.quality import examples as quality_examples
from conceptbench.eval.quality.clusterings import METHODS as METHODS_OF_QUALITY
from conceptbench.eval.quality.metrics import MAIN as MAIN_OF_QUALITY
from conceptbench.eval.quality.metrics import METRICS as METRICS_OF_QUALITY
from conceptbench.eval.report.curves import CurvePlot
from conceptbench.eval.result import Example, ItemScores, Metric, Result
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress


@dataclass(frozen=True)
class Task:
    """What can be done with a task.

    `run` evaluates a system; the others read a run's folder and need no LLM: `recompute` gives its metrics again,
    `item_scores` the values of single items, `examples` some of them, good and bad. `metrics` says what each metric
    means, in the order to show them; systems are ranked by the first of `main` that a result has, if any. `groups` says
    of a breakdown's groups what they are, where their names do not tell. `shown` are metrics whose breakdowns reports
    show in the open beside the main one, `curves` what they draw as lines; `compared` are those whose groups the
    command line shows side by side. `profiles` gives the main metric of single
    items by layer.
    """

    version: str
    what: str
    main: Sequence[str]
    metrics: Mapping[str, str]
    run: Callable[..., Result]
    recompute: Callable[[Path, Result, Progress | None], Mapping[str, Metric]]
    item_scores: Callable[[Path, Result, Progress | None], ItemScores]
    examples: Callable[[Path, Result], Sequence[Example]]
    groups: Mapping[str, str] = field(default_factory=dict)
    shown: Sequence[str] = ()
    curves: Sequence[CurvePlot] = ()
    compared: Sequence[str] = ()
    profiles: Callable[[Path, Result], Mapping[str, Mapping[str, float]]] | None = None


TASKS: Final[dict[str, Task]] = {
    annotation.TASK: Task(
        version=annotation.TASK_VERSION,
        what="names of concepts: gold items whose right name is known, or the concepts of a store",
        main=(MAIN, MAIN_ON_STORES),
        metrics=METRICS,
        run=annotation.evaluate_annotation,
        recompute=annotation.recompute,
        item_scores=annotation.item_scores,
        examples=annotation_examples.examples,
    ),
    explanation.TASK: Task(
        version=explanation.TASK_VERSION,
        what="explanations of text modules, most with known answers",
        main=(MAIN_OF_EXPLANATION, MAIN_WITHOUT_ANSWERS),
        metrics=METRICS_OF_EXPLANATION,
        run=explanation.evaluate_explanation,
        recompute=explanation.recompute,
        item_scores=explanation.item_scores,
        examples=explanation_examples.examples,
        groups=dict.fromkeys(explanation.SETTINGS, "setting")
        | dict.fromkeys([*FAMILIES, *INNER_FAMILIES, FILE_FAMILY], "family"),
    ),
    probing.TASK: Task(
        version=probing.TASK_VERSION,
        what="linear probes: an encoder's layers, of gold concepts in a second corpus and of the concepts of a store",
        main=(MAIN_OF_PROBING,),
        metrics=METRICS_OF_PROBING,
        run=probing.evaluate_probing,
        recompute=probing.recompute,
        item_scores=probing.item_scores,
        examples=probing_examples.examples,
        profiles=probing_examples.profiles,
    ),
    neurons.TASK: Task(
        version=neurons.TASK_VERSION,
        what="neurons of concepts: shared with wider concepts, needed by probes, stable; reported, not ranked",
        main=(),
        metrics=neurons_metrics.METRICS,
        run=neurons.evaluate_neurons,
        recompute=neurons.recompute,
        item_scores=neurons.item_scores,
        examples=neurons_examples.examples,
        groups=neurons_metrics.GROUPS,
        shown=neurons_metrics.SHOWN,
        curves=neurons_metrics.CURVES,
    ),
    prototypes.TASK: Task(
        version=prototypes.TASK_VERSION,
        what="a classifier that decides by prototypes: as accurate as a linear head, and are its reasons true?",
        main=(prototypes_metrics.MAIN,),
        metrics=prototypes_metrics.METRICS,
        run=prototypes.evaluate_prototypes,
        recompute=prototypes.recompute,
        item_scores=prototypes.item_scores,
        examples=prototypes_examples.examples,
        groups=prototypes_metrics.CLASSIFIERS,
        shown=prototypes_metrics.SHOWN,
        compared=(prototypes_metrics.MAIN, *prototypes_metrics.SHOWN),
    ),
    quality.TASK: Task(
        version=quality.TASK_VERSION,
        what="the concepts of a store themselves, held against those of the gold lexicon",
        main=(MAIN_OF_QUALITY,),
        metrics=METRICS_OF_QUALITY,
        run=quality.evaluate_quality,
        recompute=quality.recompute,
        item_scores=quality.item_scores,
        examples=quality_examples.examples,
        groups=dict.fromkeys(METHODS_OF_QUALITY, "method"),
    ),
}


def evaluate(task: str, **options: Any) -> Result:
    """Run a task; the options are those of its own function, such as `evaluate_annotation`.

    Raises
    ------
    InputError
        if there is no such task.
    """
    return task_of(task).run(**options)


def task_of(name: str) -> Task:
    """Give a task by name.

    Raises
    ------
    InputError
        if there is no such task.
    """
    if name not in TASKS:
        raise InputError(f"task {name!r}: there is no such task; there are {', '.join(TASKS)}")
    return TASKS[name]
