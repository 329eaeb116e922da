"""The command that explains one module: explain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import BaseUrl, Json, err, escaped, out, print_json
from conceptbench.runtime.progress import Bars


def explain(
    module: Annotated[
        str,
        typer.Option(
            metavar="MODULE",
            help="text:TARGET (closeness to a text), neuron:MODEL:LAYER:NUMBER, or python:MODULE:FUNCTION.",
        ),
    ],
    corpus: Annotated[str, typer.Option(help="Where its n-grams are taken from, as in `build`.")],
    helper: Annotated[str, typer.Option(metavar="SYSTEM", help="The LLM that helps: local:MODEL, openai:MODEL.")],
    text_column: Annotated[str | None, typer.Option(help="Where a tabular corpus has its text.")] = None,
    max_ngrams: Annotated[int | None, typer.Option(help="N-grams at most, drawn by the seed.")] = None,
    summaries: Annotated[int, typer.Option(help="Candidates to ask for.")] = 5,
    strings: Annotated[int, typer.Option(help="Strings for, and against, each candidate.")] = 10,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    base_url: BaseUrl = None,
    as_json: Json = False,
) -> None:
    """Explain a function from text to a number in words.

    Its strongest n-grams are summarised, and each summary is tested on strings that fit it and strings that do not.

    Example: `conceptbench explain --module neuron:minilm:6:17 --corpus sample:news --helper local:smollm2`
    """
    from conceptbench.eval.explanation.explain import explain as run

    with Bars(err) as progress:
        found = run(
            module,
            corpus,
            helper=helper,
            text_column=text_column,
            max_ngrams=max_ngrams,
            summaries=summaries,
            strings=strings,
            seed=seed,
            base_url=base_url,
            progress=progress,
        )
    if as_json:
        print_json({"best": found.best, **asdict(found)})
        return
    table = Table(title=escaped(module), title_justify="left", box=None, pad_edge=False)
    table.add_column("explanation", overflow="fold", style="bold")
    for column in ("score", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for one in found.candidates:
        if one.score is None or one.low is None or one.high is None or one.p is None:
            table.add_row(escaped(one.text), "", "too few strings", "")
        else:
            row = (f"{one.score:.2f}", f"{one.low:.2f} to {one.high:.2f}", f"{one.p:.4f}")
            table.add_row(escaped(one.text), *row)
    out.print(table)
    out.print(f"Strongest n-grams: {', '.join(found.top_ngrams[:12])}", highlight=False, markup=False)
    out.print(
        "The score is in standard deviations of the module; p allows for the choice of the best.", highlight=False
    )
