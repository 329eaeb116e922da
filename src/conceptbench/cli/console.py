"""The consoles, options and tables that several commands share."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Prompt = Annotated[str, typer.Option(help="The name of a prompt (see `list prompts`), or the path of a .toml file.")]
BaseUrl = Annotated[str | None, typer.Option(help="The address of the OpenAI-compatible server of an openai: system.")]
Concurrency = Annotated[int, typer.Option(min=1, help="The number of requests that are under way at once.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="The seconds that a request may take.")]
Price = Annotated[
    tuple[float, float] | None,
    typer.Option(help="USD per million tokens in and out, to count the cost.", metavar="IN OUT"),
]


def show_rows(rows: list[dict[str, str]], as_json: bool) -> None:
    """Print rows as a table, or as JSON."""
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    columns = [column for column in rows[0] if column != "sha256"]
    for column in columns:
        table.add_column(column, overflow="fold", style="bold" if column == columns[0] else None)
    for row in rows:
        table.add_row(*(escaped(row[column]) for column in columns))
    out.print(table)


def print_json(value: Any) -> None:
    """Print a value as JSON, on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def escaped(text: str) -> str:
    """Keep rich from reading brackets in a text as its markup."""
    return escape(text)
