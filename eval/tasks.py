"""Finding tasks by name: those of this package, and those that other packages add."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from conceptbench.eval.task import Task
from conceptbench.runtime.errors import ConceptBenchError, InputError

GROUP: Final = "conceptbench.tasks"
"""The entry-point group: each entry's name is that of the task, and its value gives a `Task`."""

PACKAGED: Final = {
    name: f"conceptbench.eval.{name}"
    for name in ("annotation", "explanation", "probing", "neurons", "prototypes", "quality")
}


def task_names() -> list[str]:
    """Give the names of all tasks: those of this package first.

    Examples
    --------
    >>> "annotation" in task_names()
    True
    """
    return [*PACKAGED, *sorted(_added())]


@cache
def task_of(name: str) -> Task:
    """Give a task by name; its module is imported here.

    Raises
    ------
    InputError
        if there is no such task.
    ConceptBenchError
        if the package that adds it gives something else.
    """
    if name in PACKAGED:
        task: Task = import_module(PACKAGED[name]).TASK
        return task
    added = _added()
    if name not in added:
        raise InputError(f"task {name!r}: there is no such task; there are {', '.join(task_names())}")
    try:
        loaded = added[name].load()
    except Exception as error:
        raise ConceptBenchError(
            f"task {name!r} of {_package(added[name])} cannot be imported ({type(error).__name__}: {error}): update or "
            "remove that package"
        ) from error
    if not isinstance(loaded, Task) or loaded.name != name:
        raise ConceptBenchError(
            f"task {name!r} of {_package(added[name])}: its entry point must give a Task of that name: see "
            "docs/adding-a-task.md"
        )
    return loaded


def _added() -> dict[str, EntryPoint]:
    """Find the tasks of other packages; one of this package's name does not take its place."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in PACKAGED}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value
