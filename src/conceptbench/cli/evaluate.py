"""The commands that score: `eval`, with a command for each task, made from the task's description."""

from __future__ import annotations

import inspect
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
    from conceptbench.eval.options import OptionField
    from conceptbench.eval.result import Metric, MetricKey, Result
    from conceptbench.eval.task import Task

_FOLDER = "out"
_JSON = "as_json"


class _Tasks(TyperGroup):
    """Makes the command of a task when it is asked for, so that the other commands do not wait for it."""

    def list_commands(self, ctx: Any) -> list[str]:
        from conceptbench.eval.tasks import task_names

        return task_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from conceptbench.eval.tasks import task_names, task_of

        return _command(task_of(cmd_name)) if cmd_name in task_names() else None


group = typer.Typer(cls=_Tasks, no_args_is_help=True, help="Score a system on a task.", rich_markup_mode="markdown")


@group.callback()
def _group() -> None:
    """Score a system on a task."""


def _command(task: Task) -> Any:
    """Make the command line of a task from its options."""
    from conceptbench.eval.options import option_fields

    def command(**given: Any) -> None:
        folder, as_json = given.pop(_FOLDER), given.pop(_JSON)
        _run(task, given, folder, as_json)

    folder = Annotated[
        Path | None,
        typer.Option(help="The folder of the result.", show_default=f"results/{task.name}-SYSTEM"),
    ]
    parameters = [
        *(_parameter(field) for field in option_fields(task.options) if not field.option.hidden),
        _keyword(_FOLDER, folder, None),
        _keyword(_JSON, Json, False),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = task.help
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    app.command(task.name, context_settings={"help_option_names": ["-h", "--help"]})(command)
    return typer.main.get_command(app)


def _parameter(field: OptionField) -> inspect.Parameter:
    """Make a parameter of the command line of an option; ranges and choices are checked with the options."""
    names = [field.flag, *([field.option.short] if field.option.short else [])]
    notes = [field.option.help, *([f"{field.range.capitalize()}."] if field.range else [])]
    option = typer.Option(
        *names,
        help=" ".join(notes),
        metavar=field.option.metavar or ("|".join(map(str, field.choices)) if field.choices else None),
        show_default=field.option.default
        or not (field.default is None or field.default is False or field.default == ()),
        rich_help_panel=field.option.panel or None,
    )
    kind, default = _typed(field)
    return _keyword(field.name, Annotated[kind, option], inspect.Parameter.empty if field.required else default)


def _typed(field: OptionField) -> tuple[Any, Any]:
    """Give the type and the default of an option on the command line."""
    if field.several == "commas":
        text = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in field.default or ())
        return (str | None, text or None) if field.default is None or not text else (str, text)
    if field.several == "repeated":
        return list[str] | None, None
    kind = str if field.choices else field.kind
    return (kind if field.required or field.default is not None else kind | None), field.default


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _run(task: Task, given: dict[str, Any], folder: Path | None, as_json: bool) -> None:
    from conceptbench.eval.options import option_fields, read_options
    from conceptbench.eval.run import default_folder, evaluate

    absent = {field.name for field in option_fields(task.options) if given.get(field.name) is None}
    options = {name: value for name, value in given.items() if name not in absent}
    target = folder or default_folder(task, read_options(task.options, options))
    with Bars(err) as progress:
        result = evaluate(task.name, out=target, progress=progress, **options)
    _show(task, result, target, as_json)


def _show(task: Task, result: Result, target: Path, as_json: bool) -> None:
    """Print a result: the headline metrics, those of a study's conditions, and why some are absent."""
    if as_json:
        print_json(result.to_json())
    else:
        out.print(headline(task, [result]))
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


def headline(task: Task, results: Sequence[Result]) -> Table:
    """Make a table of the headline metrics of one or more systems on the same task."""
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
