"""The command that explains one module, or a prototype classifier's decisions: explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from conceptbench.cli.console import BaseUrl, Json, err, escaped, out, print_json
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.eval.methods.protolm.naming import Said

_EXAMPLES = 3


def explain(
    module: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE",
            help="text:TARGET (closeness to a text), neuron:MODEL:LAYER:NUMBER, prototype:CLASSIFIER:NUMBER, or "
            "python:MODULE:FUNCTION.",
        ),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="The corpus that the n-grams are taken from, in any form that `build` takes.")
    ] = None,
    helper: Annotated[
        str | None,
        typer.Option(
            metavar="SYSTEM", help="The language model that writes the explanations: local:MODEL or openai:MODEL."
        ),
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(
            help="Explain the decisions of this classifier, the folder `classifier` of a run of `eval prototypes`."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Explain the classifier's decision on this text; give the option twice for a pair of sentences."
        ),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="The column that holds the text of a tabular corpus.")] = None,
    max_ngrams: Annotated[int | None, typer.Option(help="Draw at most this many n-grams, by the seed.")] = None,
    summaries: Annotated[int, typer.Option(help="The number of candidate explanations to ask for.")] = 5,
    strings: Annotated[
        int, typer.Option(help="The number of strings that fit each candidate, and of strings that do not.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="The seed of all random draws.")] = 0,
    base_url: BaseUrl = None,
    as_json: Json = False,
) -> None:
    """Explain in words: a function from text to a number, or a decision of a prototype classifier.

    Of a function, the strongest n-grams are summarised, and each summary is tested on strings that fit it and strings
    that do not. Of a classifier, the prototypes behind its decision on a text are shown with their names and nearest
    training texts; without a text, all its prototypes.

    Example: `conceptbench explain --module neuron:minilm:6:17 --corpus sample:news --helper local:smollm2`

    Example: `conceptbench explain --classifier results/prototypes-films/classifier --text "A dull film."`
    """
    if classifier is not None:
        if module is not None or corpus is not None or helper is not None:
            raise InputError("--classifier: it takes --text alone; leave --module, --corpus and --helper out")
        _explain_decision(classifier, text or (), as_json)
        return
    if module is None or corpus is None or helper is None:
        raise InputError("give --module, --corpus and --helper; or --classifier and --text")
    from conceptbench.eval.methods.explain import explain as run

    with Bars(err) as progress:
        explanation = run(
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
        print_json({"best": explanation.best, **asdict(explanation)})
        return
    table = Table(title=escaped(module), title_justify="left", box=None, pad_edge=False)
    table.add_column("explanation", overflow="fold", style="bold")
    for column in ("score", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for candidate in explanation.candidates:
        if candidate.score is None or candidate.low is None or candidate.high is None or candidate.p is None:
            table.add_row(escaped(candidate.text), "", "too few strings", "")
        else:
            row = (f"{candidate.score:.2f}", f"{candidate.low:.2f} to {candidate.high:.2f}", f"{candidate.p:.4f}")
            table.add_row(escaped(candidate.text), *row)
    out.print(table)
    out.print(f"Strongest n-grams: {', '.join(explanation.top_ngrams[:12])}", highlight=False, markup=False)
    out.print(
        "The score is in standard deviations of the module; p allows for the choice of the best.", highlight=False
    )


def _explain_decision(folder: Path, text: Sequence[str], as_json: bool) -> None:
    from conceptbench.eval.methods.protolm.explaining import explain as decide
    from conceptbench.eval.methods.protolm.model import PrototypeClassifier
    from conceptbench.eval.methods.protolm.naming import read_said

    if len(text) > 2 or any(not part.strip() for part in text):
        raise InputError("--text: give one text, or two for a pair of sentences, none of them empty")
    opened = PrototypeClassifier.from_pretrained(folder)
    prototypes = read_said(folder, opened.head.owner.numel())
    if not text:
        _show_prototypes(prototypes, as_json)
        return
    sample = text[0] if len(text) == 1 else (text[0], text[1])
    decision = decide(opened, [sample], [prototype.nearest for prototype in prototypes])[0]
    if as_json:
        names = {number: prototype.name for number, prototype in enumerate(prototypes)}
        content: dict[str, Any] = asdict(decision)
        content["reasons"] = [
            {
                **asdict(reason),
                "name": names[reason.prototype],
                "examples": [example._asdict() for example in reason.examples],
            }
            for reason in decision.reasons
        ]
        print_json(content)
        return
    named = {number: prototype.name for number, prototype in enumerate(prototypes) if prototype.name is not None}
    out.print(decision.to_text(named, _EXAMPLES), highlight=False, markup=False)


def _show_prototypes(prototypes: Sequence[Said], as_json: bool) -> None:
    """Print a table of a classifier's prototypes."""
    if as_json:
        print_json(
            [
                {**asdict(prototype), "nearest": [example._asdict() for example in prototype.nearest]}
                for prototype in prototypes
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("class")
    table.add_column("name (SASC score, p)", overflow="fold")
    table.add_column("nearest training texts", overflow="fold", ratio=1)
    for number, prototype in enumerate(prototypes):
        name = "" if prototype.name is None else escaped(prototype.name)
        if prototype.score is not None and prototype.p is not None:
            name += f" ({prototype.score:.2f}, {prototype.p:.4f})"
        nearest = "\n".join(
            f"{example.similarity:.2f} {escaped(example.shown())}" for example in prototype.nearest[:_EXAMPLES]
        )
        table.add_row(f"{number}" if prototype.used else f"[dim]{number}[/]", escaped(prototype.label), name, nearest)
    out.print(table)
    unused = sum(not prototype.used for prototype in prototypes)
    if unused:
        out.print(f"{unused} prototypes in grey are the first reason of no decision on the training texts.")
