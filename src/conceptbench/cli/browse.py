"""The command that shows a concept store: browse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conceptbench.cli.console import out


def browse(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="The folder of a concept store.")],
    model: Annotated[str | None, typer.Option(help="Show this model's concepts only.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the page; 0 for any.")] = 7861,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Show a store's concepts on a page of this machine: words, contexts, labels, neighbours, merge tree."""
    from conceptbench.benchmark.store import ConceptStore
    from conceptbench.leaderboard.browse import serve

    def on_ready(address: str) -> None:
        out.print(address, highlight=False, soft_wrap=True)
        out.print("Ctrl-C stops the page.")
        if open_browser:
            typer.launch(address)

    serve(ConceptStore.open(folder), model, port, on_ready)
