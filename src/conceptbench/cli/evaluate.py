"""The commands that score: `eval`, with a command for each task, made from the task's description."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from conceptbench.cli.console import Json, err, escaped, out, print_json
from conceptbench.runtime.errors import ConceptBenchError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.eval.result import Metric, MetricKey, Result
    from conceptbench.eval.task import Task


class _Tasks(TyperGroup):
    """Makes the command of a task when it is asked for, so that the other commands do not wait for it."""

    def list_commands(self, ctx: Any) -> list[str]:
        from conceptbench.eval.tasks import task_names

        return task_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from conceptbench.eval.tasks import task_names, task_of

        return _command(task_of(cmd_name)) if cmd_name in task_names() else None


group = typer.Typer(cls=_Tasks, no_args_is_help=True, help="Score a system on a task.")


@group.callback()
def _eval() -> None:
    """Score a system on a task."""


def _command(task: Task) -> Any:
    """Make the command line of a task from its options."""
    from conceptbench.cli.options import command_of, keyword, stated

    def run(out: Path | None, as_json: bool, **values: Any) -> None:
        _run(task, stated(task.options, values), out, as_json)

    run.__doc__ = task.help
    folder = typer.Option(help="The folder of the result.", show_default=f"results/{task.name}-SYSTEM")
    more = [keyword("out", Annotated[Path | None, folder], None), keyword("as_json", Json, False)]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    app.command(task.name, context_settings={"help_option_names": ["-h", "--help"]})(
        command_of(run, task.options, more)
    )
    return typer.main.get_command(app)


def _run(task: Task, options: dict[str, Any], folder: Path | None, as_json: bool) -> None:
    from conceptbench.eval.run import default_folder, evaluate
    from conceptbench.runtime.options import read_options

    target = folder or default_folder(task, read_options(task.options, options))
    with Bars(err) as progress:
        result = evaluate(task.name, out=target, progress=progress, **options)
    _show(task, result, target, as_json)


def _show(task: Task, result: Result, target: Path, as_json: bool) -> None:
    """Print a result: the headline metrics, those of a study's conditions, and why some are absent."""
    if as_json:
        print_json(result.to_json())
    else:
        out.print(headline([result]))
        for table in (_study(task, result), _groups(task, result)):
            if table is not None:
                out.print()
                out.print(table)
        undefined = result.provenance["undefined"].items()
        for line in (
            *result.provenance.get("findings", ()),
            *(f"{name}: not given. {why}" for name, why in undefined),
            *task.remarks(result.provenance),
        ):
            out.print(line, highlight=False, markup=False)
        out.print(
            f"Written: {target}/result.json. Read it with: conceptbench report {target}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    failed = result.metrics.get("failed")
    if failed is not None and failed.value > 0 and not result.system.startswith(("file:", "python:")):
        raise ConceptBenchError(
            f"{failed.value:.0%} of the items could not be asked and count as wrong. What was answered is kept: give "
            "the same command again to ask the others."
        )


def headline(results: Sequence[Result]) -> Table:
    """Make a table of the headline metrics of one or more systems on the same task."""
    from conceptbench.eval.tasks import task_of

    task = task_of(results[0].task)
    table = Table(title=task.name, title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for result in results:
        table.add_column(f"{escaped(result.system)}\nvalue (95 % interval), n", justify="right", overflow="fold")
    for name in task.descriptions:
        metrics = [result.metrics.get(name) for result in results]
        if any(metrics):
            table.add_row(name, *("" if metric is None else f"{_cell(metric)}, {metric.n:,}" for metric in metrics))
    return table


def _study(task: Task, result: Result) -> Table | None:
    """Make a table of a study: a row a condition, or a group where the study is read by group."""
    study = task.studies.get(str(result.provenance.get("study")))
    if study is None:
        return None
    keys = [task.key(text) for text in result.metrics]
    if study.by_group:
        rows = sorted({key.group for key in keys if key.group and not key.condition and "=" not in key.group})
    else:
        rows = list(dict.fromkeys(key.condition for key in keys if key.condition))
    return _by(f"study: {result.provenance['study']}", task, result, rows, study.metrics, by_group=study.by_group)


def _groups(task: Task, result: Result) -> Table | None:
    """Make a table of breakdowns: a row a group, a column a metric."""
    keys = [task.key(text) for text in result.metrics]
    rows = list(dict.fromkeys(key.group for key in keys if key.name in task.compared and key.group))
    return _by("", task, result, rows, task.compared, by_group=True)


def _by(
    title: str, task: Task, result: Result, rows: Sequence[str], names: Sequence[str], *, by_group: bool
) -> Table | None:
    from conceptbench.eval.result import MetricKey

    def key(name: str, row: str) -> MetricKey:
        return MetricKey(name, group=row) if by_group else MetricKey(name, row)

    columns = [
        name
        for name in task.descriptions
        if name in names and any(str(key(name, row)) in result.metrics for row in rows)
    ]
    if not rows or not columns:
        return None
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        metrics = [result.metrics.get(str(key(name, row))) for name in columns]
        table.add_row(escaped(row), *("" if metric is None else _cell(metric) for metric in metrics))
    return table


def _cell(metric: Metric) -> str:
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"
