"""The command line: it parses, calls a function, and prints."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from conceptbench.runtime.errors import ConceptBenchError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.benchmark.store import ConceptStore


class _Stopped(ConceptBenchError):
    exit_code = 130


class _Group(TyperGroup):
    """Turns an interrupt into a message of ours before typer makes an "Aborted!" of it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Stopped("stopped. What was done is kept: give the same command again to go on.") from None


app = typer.Typer(
    name="conceptbench",
    cls=_Group,
    help="Latent concepts of language models: find them, name them, and keep them as a dataset.\n\n"
    "New here? Run `conceptbench doctor`, then `conceptbench demo`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_list = typer.Typer(no_args_is_help=True, help="Show what there is: tasks, modules, prompts, annotators.")
app.add_typer(_list, name="list")
_eval = typer.Typer(no_args_is_help=True, help="Score a system on a task.")
app.add_typer(_eval, name="eval")

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Prompt = Annotated[str, typer.Option(help="A prompt's name (see `list prompts`) or your own .toml file.")]
BaseUrl = Annotated[str | None, typer.Option(help="Server of an openai: annotator.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests under way at once.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds a request may take.")]
Price = Annotated[
    tuple[float, float] | None,
    typer.Option(help="USD per million tokens in and out, to count the cost.", metavar="IN OUT"),
]

_EXAMPLES = 12


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the store and the report.")] = Path(
        "conceptbench-demo"
    ),
    as_json: Json = False,
) -> None:
    """Do the main job on packaged text and models, offline, in a few minutes.

    Clusters the word vectors of all layers of MiniLM over 300 news articles, has SmolLM2 name the clusters, and
    writes a report page.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from conceptbench.demo import demo as run

    with Bars(err) as progress:
        store, report = run(folder, progress=progress)
    if as_json:
        _print_json({**_summary(store), "report": str(report)})
        return
    _show_store(store)
    out.print()
    out.print("Read the report in a browser:", str(report.resolve()), highlight=False, soft_wrap=True)
    out.print("Then, with text of your own (a sentence a line):", highlight=False)
    out.print(
        "  conceptbench build --corpus FILE --layers 3,6 -k 200 --annotator local:smollm2 --out my-store",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def build(
    corpus: Annotated[
        str,
        typer.Option(
            metavar="CORPUS",
            help="A text file (a sentence a line); .jsonl, .csv or .parquet with --text-column; "
            "hf:ID[:CONFIG[:SPLIT]]; or sample:news.",
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", help="The store's folder; run again to go on with it.")],
    model: Annotated[str, typer.Option(help="minilm, smollm2, a folder or a Hub id.")] = "minilm",
    layers: Annotated[str, typer.Option(help="all, or numbers such as 0,3,6 or 2-5; 0 is the embeddings.")] = "all",
    k: Annotated[int, typer.Option("-k", help="Concepts a layer.")] = 600,
    annotator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYSTEM",
            help="Who names the concepts: lexical, local:MODEL, openai:MODEL, file:PATH, python:MODULE:CLASS. "
            "Repeat for several; the first one's labels are the concepts' own. [default: lexical]",
            show_default=False,
        ),
    ] = None,
    prompt: Prompt = "few-shot",
    contexts: Annotated[int | None, typer.Option(min=0, help="Sentences shown with the words.")] = None,
    unit: Annotated[str | None, typer.Option(help="types: each word once; tokens: as often as it occurs.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Where a tabular corpus has its text.")] = None,
    min_count: Annotated[int, typer.Option(help="Leave out words seen less often.")] = 5,
    max_count: Annotated[int, typer.Option(help="Keep at most so many occurrences of a word.")] = 20,
    pooling: Annotated[str, typer.Option(help="Sub-words of a word: last, first or mean.")] = "last",
    max_length: Annotated[int, typer.Option(help="Sub-words of a sentence at most.")] = 512,
    clustering: Annotated[str, typer.Option(help="ward (with a merge tree) or kmeans.")] = "ward",
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    recut: Annotated[bool, typer.Option("--recut", help="Cut an existing store's trees at another -k.")] = False,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    price: Price = None,
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU if there is one.")] = None,
    as_json: Json = False,
) -> None:
    """Make a concept store: word vectors, clusters, names.

    The key of an `openai:` annotator is read from OPENAI_API_KEY. A run that was stopped goes on where it was when
    the same command is given again.

    Example: `conceptbench build --corpus sample:news --layers 3,6 -k 200 --annotator local:smollm2 --out news-store`
    """
    from conceptbench.builders.build import build as run

    with Bars(err) as progress:
        store = run(
            corpus=corpus,
            model=model,
            out=folder,
            layers=layers,
            k=k,
            annotator=annotator or ["lexical"],
            prompt=prompt,
            contexts=contexts,
            unit=unit,  # type: ignore[arg-type]  # checked by build
            text_column=text_column,
            min_count=min_count,
            max_count=max_count,
            pooling=pooling,  # type: ignore[arg-type]  # checked by build
            max_length=max_length,
            clustering=clustering,  # type: ignore[arg-type]  # checked by build
            seed=seed,
            recut=recut,
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            price=price,
            device=device,
            progress=progress,
        )
    _print_store(store, as_json)


@app.command("import-tcn")
def import_tcn(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the published TCN files.")],
    folder: Annotated[Path, typer.Option("--out", metavar="STORE", help="The store's folder, new or empty.")],
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


@_eval.command("annotation")
def eval_annotation(
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
        _print_json(result.to_json())
        return
    table = Table(title=f"{result.task}: {result.system}", title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for column in ("value", "95 % interval", "n"):
        table.add_column(column, justify="right")
    for name, metric in sorted(result.metrics.items()):
        table.add_row(name, f"{metric.value:.3f}", f"{metric.low:.3f} to {metric.high:.3f}", str(metric.n))
    out.print(table)
    out.print(f"Written: {target}/result.json", highlight=False, markup=False, soft_wrap=True)


@_list.command("tasks")
def list_tasks(as_json: Json = False) -> None:
    """Show what can be scored."""
    from conceptbench.catalogue import tasks

    _show_rows(tasks(), as_json, "No task is in this version yet.")


@_list.command("modules")
def list_modules(as_json: Json = False) -> None:
    """Show the text modules with known answers."""
    from conceptbench.catalogue import modules

    _show_rows(modules(), as_json, "No text module is in this version yet.")


@_list.command("prompts")
def list_prompts(as_json: Json = False) -> None:
    """Show the prompts that ask for a concept's name."""
    from conceptbench.catalogue import prompts

    _show_rows(prompts(), as_json)


@_list.command("annotators")
def list_annotators(as_json: Json = False) -> None:
    """Show who can name concepts."""
    from conceptbench.catalogue import annotators

    _show_rows(annotators(), as_json)


@app.command()
def doctor(
    base_url: Annotated[str | None, typer.Option(help="Also try this OpenAI-compatible server.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what is installed and reachable, what is missing, and the command that mends it."""
    from conceptbench.doctor import examine

    findings = examine(base_url)
    if as_json:
        _print_json([vars(finding) for finding in findings])
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


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        import conceptbench

        out.print(conceptbench.__version__, highlight=False)
        raise typer.Exit


def main() -> None:
    """Run the command line; every error is a message and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except ConceptBenchError as error:
        _complain(str(error))
        code = error.exit_code
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if os.environ.get("CONCEPTBENCH_DEBUG"):
            raise
        _complain(
            f"internal error: {type(error).__name__}: {error}. This is a bug: please report it with the traceback "
            "that CONCEPTBENCH_DEBUG=1 shows."
        )
        code = 1
    sys.exit(code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(text: str) -> None:
    err.print(f"[bold red]error:[/] {_escaped(text)}", highlight=False, soft_wrap=True)


def _print_store(store: ConceptStore, as_json: bool) -> None:
    if as_json:
        _print_json(_summary(store))
        return
    _show_store(store)
    out.print(
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
        table.add_row(_escaped(row["concept"]), _escaped(row["label"] or "—"), _escaped(words))
    out.print(table)
    summary = _summary(store)
    total = sum(row["concepts"] for row in summary["layers"])
    labelled = sum(row["labelled"] for row in summary["layers"])
    seconds = ", ".join(f"{stage} {spent:,.0f} s" for stage, spent in summary["seconds"].items())
    out.print(
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


def _show_rows(rows: list[dict[str, str]], as_json: bool, empty: str = "") -> None:
    if as_json:
        _print_json(rows)
        return
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False)
    columns = [column for column in rows[0] if column != "sha256"]
    for column in columns:
        table.add_column(column, overflow="fold", style="bold" if column == columns[0] else None)
    for row in rows:
        table.add_row(*(_escaped(row[column]) for column in columns))
    out.print(table)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
