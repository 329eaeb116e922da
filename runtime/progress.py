"""Progress of long work: one bar a stage on standard error, or silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

_WIDE = 75

Advance = Callable[[int], None]
"""Called with the number of steps done since the last call."""


class Progress(Protocol):
    """What long functions take to report on their stages."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Advance]:
        """Open a stage of `total` steps (None: not known); leaving it closes the bar."""
        ...

    def note(self, text: str) -> None:
        """Show the user one line of text."""
        ...


class Silent:
    """Progress that shows nothing: the default of every function."""

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """Open a stage that shows nothing."""
        yield lambda _steps: None

    def note(self, text: str) -> None:
        """Say nothing."""


class Bars:
    """Progress as rich bars, one a stage, each left standing with its time."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
        ]
        if self._console.width >= _WIDE:
            columns[2:] = [MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(compact=True)]
        self._bars = RichProgress(*columns, console=self._console)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars.tasks:
            self._bars.stop()

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        """Open a bar; it is filled when the stage ends without an error."""
        self._bars.start()
        task = self._bars.add_task(name, total=total)
        yield lambda steps: self._bars.advance(task, steps)
        done = self._bars.tasks[task].completed
        self._bars.update(task, completed=total if total is not None else done, total=total or done)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, highlight=False, markup=False)
