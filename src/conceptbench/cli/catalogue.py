"""The commands that show what is available: list, doctor."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import Json, out, print_json, show_rows

group = typer.Typer(no_args_is_help=True, help="Show what there is: tasks, modules, presets, prompts and others.")


@group.command("tasks")
def list_tasks(as_json: Json = False) -> None:
    """Show the tasks that systems can be scored on."""
    from conceptbench.catalogue import tasks

    show_rows(tasks(), as_json)


@group.command("modules")
def list_modules(as_json: Json = False) -> None:
    """Show the families of text modules: those with known answers, and those inside models."""
    from conceptbench.catalogue import modules

    show_rows(modules(), as_json)


@group.command("studies")
def list_studies(as_json: Json = False) -> None:
    """Show the studies of `eval TASK --study`."""
    from conceptbench.catalogue import studies

    show_rows(studies(), as_json)


@group.command("prompts")
def list_prompts(as_json: Json = False) -> None:
    """Show the prompts that ask for a concept's name."""
    from conceptbench.catalogue import prompts

    show_rows(prompts(), as_json)


@group.command("presets")
def list_presets(as_json: Json = False) -> None:
    """Show the concept datasets of `build --preset`."""
    from conceptbench.catalogue import presets

    show_rows(presets(), as_json)


@group.command("annotators")
def list_annotators(as_json: Json = False) -> None:
    """Show the kinds of annotators that can name concepts."""
    from conceptbench.catalogue import annotators

    show_rows(annotators(), as_json)


def doctor(
    base_url: Annotated[str | None, typer.Option(help="Also try this OpenAI-compatible server.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what is installed and reachable, what is missing, and the command that mends it."""
    from conceptbench.doctor import examine

    findings = examine(base_url)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("", "what", "finding"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            mark = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[red]broken[/]"}[finding.state]
            remedy = f"\n→ {finding.remedy}" if finding.remedy else ""
            table.add_row(mark, finding.what, f"{finding.detail}{remedy}")
        out.print(table)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
