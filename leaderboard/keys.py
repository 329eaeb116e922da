"""Reading the metric keys of a board, whose tasks may be unknown to this version."""

from __future__ import annotations

from functools import cache

from conceptbench.eval.result import MetricKey
from conceptbench.eval.task import Task
from conceptbench.eval.tasks import task_names, task_of


@cache
def known_task(name: str) -> Task | None:
    """Give a task by name; None if there is no such task here."""
    return task_of(name) if name in task_names() else None


def read_key(task: str, text: str) -> MetricKey:
    """Read the key of a metric of a task as it is written in a result file.

    Examples
    --------
    >>> read_key("quality", "ami/k=30/word")
    MetricKey(name='ami', condition='k=30', group='word')
    """
    known = known_task(task)
    return MetricKey.parse(text) if known is None else known.key(text)
