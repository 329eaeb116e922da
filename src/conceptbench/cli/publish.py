"""The command that publishes a store to the Hub."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import Json, err, escaped, out, print_json
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.builders.publish import Publication

_STATES = {"new": "to send", "changed": "to send, changed", "there": "there already", "gone": "to delete"}
_DONE = {"new": "sent", "changed": "sent, changed", "there": "unchanged", "gone": "deleted"}


def publish(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")],
    repo: Annotated[
        str, typer.Option(metavar="ORG/NAME", help="The dataset on the Hub; it is made if it does not exist.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make the dataset private.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="TAG", help="Tag the commit, for example v1.0.")] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="The licence in the card, such as cc-by-4.0. [default: that in the store's README.md]",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing; this needs no token.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="The seconds for which the Hub may be silent.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Publish a store as a dataset on the Hub: card, tables, manifest, and the gold items as a benchmark.

    All files are sent in one commit. Only files that differ from those on the Hub are sent, and the same command
    continues after an interruption. The token is that of `hf auth login`, or in HF_TOKEN; it needs the right to write.

    Example: `conceptbench publish my-store --repo my-org/news-concepts --license cc-by-4.0 --revision v1.0`
    """
    from conceptbench.builders.publish import publish as run

    with Bars(err) as progress:
        done = run(
            store,
            repo,
            private=private,
            revision=revision,
            licence=licence,
            dry_run=dry_run,
            timeout=timeout,
            progress=progress,
        )
    if as_json:
        print_json({**asdict(done), "sent": done.sent, "dry_run": dry_run})
        return
    _show(done, dry_run=dry_run)


def _show(done: Publication, *, dry_run: bool) -> None:
    states = _STATES if dry_run else _DONE
    if dry_run:
        table = Table(box=None, pad_edge=False)
        table.add_column("file", overflow="fold")
        table.add_column("bytes", justify="right")
        table.add_column("")
        for change in done.changes:
            table.add_row(escaped(change.path), f"{change.size:,}", states[change.state])
        out.print(table)
    counts: Counter[str] = Counter(change.state for change in done.changes)
    parts = [f"{counts[state]:,} {name}" for state, name in states.items() if counts[state]]
    lines = [f"{len(done.changes):,} files: {', '.join(parts)} ({done.sent:,} bytes)"]
    if dry_run:
        lines.append("Nothing was sent: leave out --dry-run to publish.")
    else:
        lines.append(f"{done.url} at commit {done.commit}" + (f", tag {done.revision}" if done.revision else ""))
        lines.append(f"In Python: conceptbench.load_concepts({done.repo!r}, revision={done.revision or done.commit!r})")
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
