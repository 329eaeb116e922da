"""The commands that read results: report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import Json, err, escaped, out, print_json
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.eval.compare import Comparison

_WIDE = 90


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT", help="The folders of results, or their files.")],
    target: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="A file ending in .html or .md, or a folder for report.html and report.md. [default: here]",
            show_default=False,
        ),
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute every metric again from the records, and stop if one differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a report on results, as a page that opens without a network and as Markdown.

    It ranks the systems, says which cannot be told apart, and shows every metric with its interval and by kind, purity,
    layer and size, some examples, how reliable the judges are, and the provenance of all of it.
    """
    from conceptbench.eval.report.write import report as run

    with Bars(err) as progress:
        written = run(results, out=target, recompute=recompute, progress=progress)
    if as_json:
        print_json([str(path) for path in written])
        return
    for path in written:
        out.print(f"Written: {path}", highlight=False, markup=False, soft_wrap=True)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RESULT", help="The folder of a result, or its file.")],
    second: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The folder of another result on the same items, or its file.")
    ],
    detect: Annotated[
        float, typer.Option(min=0.001, help="Also say how many concepts would show a difference of this size.")
    ] = 0.05,
    as_json: Json = False,
) -> None:
    """Compare two runs that were asked the same items, item by item.

    The interval and the p-value are of first minus second, over concepts; see docs/results.md.
    """
    from conceptbench.eval.compare import compare_results

    with Bars(err) as progress:
        comparison = compare_results(first, second, detect=detect, progress=progress)
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(comparison), "verdict": comparison.verdict})
        return
    _show_comparison(comparison)


def _show_comparison(comparison: Comparison) -> None:
    narrow = out.width < _WIDE
    for position, system in (("first", comparison.first), ("second", comparison.second)):
        out.print(f"{position}: {system}", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, collapse_padding=narrow)
    table.add_column("metric", overflow="fold")
    for column in ("first", "second", "difference", "p", "needed"):
        table.add_column(column, justify="right")
    for name, difference in comparison.differences.items():
        first_mean, second_mean = comparison.means[name]
        interval = f"{difference.low:+.3f} to {difference.high:+.3f}"
        table.add_row(
            escaped(name.replace("_", "_\n", 1) if narrow else name),
            f"{first_mean:.3f}",
            f"{second_mean:.3f}",
            (f"{difference.value:+.3f}\n{interval}" if narrow else f"{difference.value:+.3f} ({interval})").replace(
                "-", "−"
            ),
            "< 0.001" if difference.p < 0.001 else f"{difference.p:.3f}",
            "—" if difference.needed is None else f"{difference.needed:,}",
        )
    out.print(table)
    out.print()
    if comparison.unpaired:
        names = ", ".join(comparison.unpaired)
        out.print(f"Not compared, since they are of other items in each: {names}.", highlight=False)
    groups = next((difference.groups for difference in comparison.differences.values()), 0)
    out.print(
        f"needed: the concepts with which four runs in five show a true difference of {comparison.detect:g}; here are "
        f"{groups:,}.",
        highlight=False,
    )
    out.print(comparison.verdict, highlight=False, markup=False, style="bold")
