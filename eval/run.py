"""Running any task by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from conceptbench.eval.annotation import evaluate_annotation
from conceptbench.eval.result import Result
from conceptbench.runtime.errors import InputError

TASKS: Final[dict[str, Callable[..., Result]]] = {"annotation": evaluate_annotation}


def evaluate(task: str, **options: Any) -> Result:
    """Run a task; the options are those of its own function, such as `evaluate_annotation`.

    Raises
    ------
    InputError
        if there is no such task, or it takes no such option.
    """
    if task not in TASKS:
        raise InputError(f"task {task!r}: there is no such task; there are {', '.join(TASKS)}")
    return TASKS[task](**options)
