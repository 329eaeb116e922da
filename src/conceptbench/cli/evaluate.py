"""The commands that score: eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import BaseUrl, Concurrency, Json, Price, Prompt, Timeout, err, out, print_json
from conceptbench.runtime.progress import Bars

group = typer.Typer(no_args_is_help=True, help="Score a system on a task.")


@group.command("annotation")
def annotation(
    annotator: Annotated[
        str,
        typer.Option(metavar="SYSTEM", help="Who names: lexical, local:MODEL, openai:MODEL, python:MODULE:CLASS."),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/annotation-SYSTEM]", show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Concepts, drawn by the seed; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of the items: another one gives fresh word lists.")] = 0,
    split: Annotated[str, typer.Option(help="test, or dev to try prompts on.")] = "test",
    prompt: Prompt = "few-shot",
    base_url: BaseUrl = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    price: Price = None,
    as_json: Json = False,
) -> None:
    """Have a system name word lists whose right name is known, and score its labels.

    Lists are drawn from the gold lexicon at purities of 100, 90 and 75 %. Writes `result.json` and `records.parquet`.
    """
    from conceptbench.benchmark.schema import slug
    from conceptbench.eval.annotation import evaluate_annotation

    target = folder or Path("results") / f"annotation-{slug(annotator)}"
    with Bars(err) as progress:
        result = evaluate_annotation(
            annotator=annotator,
            out=target,
            limit=limit,
            seed=seed,
            split=split,  # type: ignore[arg-type]  # checked by evaluate_annotation
            prompt=prompt,
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            price=price,
            progress=progress,
        )
    if as_json:
        print_json(result.to_json())
        return
    table = Table(title=f"{result.task}: {result.system}", title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for column in ("value", "95 % interval", "n"):
        table.add_column(column, justify="right")
    for name, metric in sorted(result.metrics.items()):
        table.add_row(name, f"{metric.value:.3f}", f"{metric.low:.3f} to {metric.high:.3f}", str(metric.n))
    out.print(table)
    out.print(f"Written: {target}/result.json", highlight=False, markup=False, soft_wrap=True)
