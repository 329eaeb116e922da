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
    from conceptbench.eval.methods.explain import Explanation
    from conceptbench.eval.methods.protolm.descriptions import PrototypeDescription
    from conceptbench.eval.methods.protolm.explaining import Decision

_EXAMPLES = 3
_NGRAMS = 12

_Module = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE",
        help="The function: text:TARGET (closeness to a text), neuron:MODEL:LAYER:NUMBER, prototype:CLASSIFIER:NUMBER, "
        "or python:MODULE:FUNCTION.",
    ),
]
_Corpus = Annotated[str | None, typer.Option(help="The texts that n-grams are taken from, named as in `build`.")]
_Helper = Annotated[
    str | None,
    typer.Option(
        metavar="SYSTEM",
        help="The language model that summarises n-grams and writes strings: local:MODEL or openai:MODEL.",
    ),
]
_Classifier = Annotated[
    Path | None,
    typer.Option(help="Instead of a module: the folder `classifier` of a run of `eval prototypes`."),
]
_Text = Annotated[
    list[str] | None,
    typer.Option(help="The text whose decision is explained. Give the option twice for a pair of sentences."),
]
_TextColumn = Annotated[str | None, typer.Option(help="The column of the text, in a tabular corpus.")]
_MaxNgrams = Annotated[int | None, typer.Option(help="N-grams at most, drawn by the seed; all by default.")]
_Summaries = Annotated[int, typer.Option(help="The number of candidate explanations to ask for.")]
_Strings = Annotated[int, typer.Option(help="Strings that fit each candidate, and as many that do not.")]
_Seed = Annotated[int, typer.Option(help="The seed of every draw.")]


def explain(
    module: _Module = None,
    corpus: _Corpus = None,
    helper: _Helper = None,
    classifier: _Classifier = None,
    text: _Text = None,
    text_column: _TextColumn = None,
    max_ngrams: _MaxNgrams = None,
    summaries: _Summaries = 5,
    strings: _Strings = 10,
    seed: _Seed = 0,
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
        _explain_classifier(classifier, text or (), as_json)
        return
    if module is None or corpus is None or helper is None:
        raise InputError("give --module, --corpus and --helper; or --classifier and --text")
    from conceptbench.eval.methods.explain import explain as explain_module

    with Bars(err) as progress:
        explanation = explain_module(
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
    _show_explanation(module, explanation, as_json)


def _show_explanation(module: str, explanation: Explanation, as_json: bool) -> None:
    """Print a table of a module's candidate explanations."""
    if as_json:
        print_json({"best": explanation.best, **asdict(explanation)})
        return
    table = Table(title=escaped(module), title_justify="left", box=None, pad_edge=False)
    table.add_column("explanation", overflow="fold", style="bold")
    for column in ("score", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for candidate in explanation.candidates:
        score, low, high, p = candidate.score, candidate.low, candidate.high, candidate.p
        if score is None or low is None or high is None or p is None:
            table.add_row(escaped(candidate.text), "", "too few strings", "")
        else:
            table.add_row(escaped(candidate.text), f"{score:.2f}", f"{low:.2f} to {high:.2f}", f"{p:.4f}")
    out.print(table)
    out.print(f"Strongest n-grams: {', '.join(explanation.top_ngrams[:_NGRAMS])}", highlight=False, markup=False)
    out.print(
        "The score is in standard deviations of the module; p allows for the choice of the best.", highlight=False
    )


def _explain_classifier(folder: Path, parts: Sequence[str], as_json: bool) -> None:
    """Explain a classifier's decision on a text, or show all its prototypes where there is none."""
    from conceptbench.eval.methods.protolm.descriptions import read_descriptions
    from conceptbench.eval.methods.protolm.explaining import explain as explain_decisions
    from conceptbench.eval.methods.protolm.model import PrototypeClassifier

    if len(parts) > 2 or any(not part.strip() for part in parts):
        raise InputError("--text: give one text, or two for a pair of sentences, none of them empty")
    classifier = PrototypeClassifier.from_pretrained(folder)
    descriptions = read_descriptions(folder, classifier.head.owner.numel())
    if not parts:
        _show_prototypes(descriptions, as_json)
        return
    text = parts[0] if len(parts) == 1 else (parts[0], parts[1])
    (decision,) = explain_decisions(classifier, [text], [description.nearest for description in descriptions])
    if as_json:
        print_json(_decision_json(decision, descriptions))
        return
    names = {
        number: description.name for number, description in enumerate(descriptions) if description.name is not None
    }
    out.print(decision.to_text(names, _EXAMPLES), highlight=False, markup=False)


def _decision_json(decision: Decision, descriptions: Sequence[PrototypeDescription]) -> dict[str, Any]:
    """Give a decision with the names of the prototypes behind it."""
    reasons = [
        {
            **asdict(reason),
            "name": descriptions[reason.prototype].name,
            "examples": [example._asdict() for example in reason.examples],
        }
        for reason in decision.reasons
    ]
    return {**asdict(decision), "reasons": reasons}


def _show_prototypes(descriptions: Sequence[PrototypeDescription], as_json: bool) -> None:
    """Print a table of a classifier's prototypes."""
    if as_json:
        print_json([description.to_json() for description in descriptions])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("class")
    table.add_column("name (SASC score, p)", overflow="fold")
    table.add_column("nearest training texts", overflow="fold", ratio=1)
    for number, description in enumerate(descriptions):
        name = "" if description.name is None else escaped(description.name)
        if description.score is not None and description.p is not None:
            name += f" ({description.score:.2f}, {description.p:.4f})"
        nearest = "\n".join(
            f"{neighbour.similarity:.2f} {escaped(neighbour.short_text())}"
            for neighbour in description.nearest[:_EXAMPLES]
        )
        label = f"{number}" if description.used else f"[dim]{number}[/]"
        table.add_row(label, escaped(description.label), name, nearest)
    out.print(table)
    unused = sum(not description.used for description in descriptions)
    if unused:
        out.print(f"{unused} prototypes in grey are the first reason of no decision on the training texts.")
