"""The commands that make a store: demo, build, import-tcn."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from conceptbench.cli.console import Json, err, escaped, print_json
from conceptbench.cli.console import out as console
from conceptbench.cli.evaluate import headline
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.benchmark.store import ConceptStore

_EXAMPLES = 12


def demo(
    folder: Annotated[Path, typer.Option("--out", help="The folder for the store, the results and the pages.")] = Path(
        "conceptbench-demo"
    ),
    as_json: Json = False,
) -> None:
    """Do the main job on packaged text and models, offline, in a few minutes.

    Clusters the word vectors of all layers of MiniLM over 300 news articles, has SmolLM2 name the clusters, scores
    SmolLM2 and a rule without a model as annotators, and writes a page on the concepts and a report.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from conceptbench.demo import demo as run

    with Bars(err) as progress:
        outputs = run(folder, progress=progress)
    if as_json:
        results = [result.to_json() for result in outputs.results]
        print_json(
            {
                **_summary(outputs.store),
                "concepts": str(outputs.concepts),
                "results": results,
                "report": str(outputs.report),
            }
        )
        return
    _show_store(outputs.store)
    console.print()
    console.print(headline(outputs.results))
    for what, path in (("The concepts", outputs.concepts), ("The report", outputs.report)):
        console.print(f"{what}: {path.resolve()}", highlight=False, markup=False, soft_wrap=True)
    console.print("Then, with text of your own (a sentence a line), and an annotator of your own:", highlight=False)
    for command in (
        "build --corpus FILE --layers 3,6 -k 200 --annotator local:smollm2 --out my-store",
        "eval annotation --annotator openai:MODEL --limit 100",
    ):
        console.print(f"  conceptbench {command}", highlight=False, soft_wrap=True)


def build(ctx: typer.Context, out: Path, preset: str | None, as_json: bool, **values: Any) -> None:
    """Make a concept store: word vectors, clusters, names.

    The key of an `openai:` annotator is read from OPENAI_API_KEY. A run that was stopped continues when the
    same command is given again.

    Example: `conceptbench build --corpus sample:news --layers 3,6 -k 200 --annotator local:smollm2 --out news-store`
    """
    from conceptbench.builders.build import build as run
    from conceptbench.builders.presets import build_preset
    from conceptbench.cli.options import stated

    options = stated(_options(), values)
    with Bars(err) as progress:
        if preset is not None:
            # Options that are not on the command line are taken from the preset.
            sources = {name: ctx.get_parameter_source(name) for name in options}
            typed = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
            store = build_preset(preset, out, progress=progress, **{name: options[name] for name in typed})
        elif "corpus" in options:
            store = run(out=out, progress=progress, **options)
        else:
            raise InputError("give --corpus, or --preset (see `conceptbench list presets`)")
    _print_store(store, as_json)


def build_command() -> Callable[..., None]:
    """Make the command `build` from its options."""
    from conceptbench.cli.options import command_of, keyword

    folder = typer.Option(help="The folder of the store; run the same command again to continue it.")
    preset = typer.Option(
        metavar="NAME",
        help="Take every option from a preset (see `list presets`, or a .toml file), except those that are "
        "given on the command line.",
    )
    more = [
        keyword("ctx", typer.Context, inspect.Parameter.empty),
        keyword("out", Annotated[Path, folder], inspect.Parameter.empty),
        keyword("preset", Annotated[str | None, preset], None),
        keyword("as_json", Json, False),
    ]
    return command_of(build, _options(), more, optional=["corpus"])


def _options() -> type:
    from conceptbench.builders.options import BuildOptions

    return BuildOptions


def import_tcn(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the published TCN files.")],
    folder: Annotated[Path, typer.Option("--out", metavar="STORE", help="The folder of the store, new or empty.")],
    as_json: Json = False,
) -> None:
    """Read the published TCN files into a store.

    DIR holds a folder a model, in it `sentences.json` and a folder a layer (`layer0`, `layer1`, …) with
    `clusters-600.txt` and `annotations.json`; DIR may also be one model's folder.
    """
    from conceptbench.builders.tcn import import_tcn as run

    with Bars(err) as progress:
        store = run(source, folder, progress=progress)
    _print_store(store, as_json)


def _print_store(store: ConceptStore, as_json: bool) -> None:
    if as_json:
        print_json(_summary(store))
        return
    _show_store(store)
    console.print(
        f"\nIn Python: conceptbench.load_concepts({str(store.path)!r})", highlight=False, markup=False, soft_wrap=True
    )


def _summary(store: ConceptStore) -> dict[str, Any]:
    layers = []
    for model in store.models:
        for layer in store.layers(model):
            labels = store.concepts(model, layer)["label"]
            layers.append(
                {"model": model, "layer": layer, "concepts": len(labels), "labelled": len(labels) - labels.null_count}
            )
    manifest = {name: store.manifest[name] for name in ("corpus", "seconds", "usage")}
    return {"store": str(store.path), "layers": layers, **manifest}


def _show_store(store: ConceptStore) -> None:
    """Print the example concepts and the counts of a store."""
    table = Table(title="Some of the concepts", title_justify="left", box=None, pad_edge=False)
    table.add_column("concept", overflow="fold", style="dim")
    table.add_column("label", overflow="fold", style="bold", max_width=28)
    table.add_column("words", overflow="fold")
    for row in _examples(store):
        words = ", ".join(word["word"] for word in row["words"][:10])
        table.add_row(escaped(row["concept"]), escaped(row["label"] or "—"), escaped(words))
    console.print(table)
    summary = _summary(store)
    total = sum(row["concepts"] for row in summary["layers"])
    labelled = sum(row["labelled"] for row in summary["layers"])
    seconds = ", ".join(f"{stage} {spent:,.0f} s" for stage, spent in summary["seconds"].items())
    console.print(
        f"{total:,} concepts in {len(summary['layers'])} layers, {labelled:,} with a label ({seconds}): {store.path}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _examples(store: ConceptStore) -> list[dict[str, Any]]:
    """Draw concepts of middling size, spread over the layers."""
    layers = [(model, layer) for model in store.models for layer in store.layers(model)]
    rows = []
    for i in range(_EXAMPLES):
        model, layer = layers[i * len(layers) // _EXAMPLES]
        concepts = sorted(store.concepts(model, layer).to_pylist(), key=lambda row: len(row["words"]))
        several = [row for row in concepts if len(row["words"]) >= 3] or concepts
        rows.append(several[(i * 7919) % len(several)])
    return rows
