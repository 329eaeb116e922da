"""The commands that score: eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import (
    BaseUrl,
    Concurrency,
    Json,
    Price,
    Prompt,
    Timeout,
    err,
    escaped,
    out,
    print_json,
)
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.eval.result import Metric, Result

_STUDY_COLUMNS = (
    *("gold_match", "discrimination", "identification", "acceptance", "unparsable"),
    *("alignment", "alignment_null", "alignment_gain", "alignment_significant", "coverage_gain", "ami"),
    *("store_auroc", "null_auroc", "store_auroc_gain"),
)

group = typer.Typer(no_args_is_help=True, help="Score a system on a task.")


@group.command("annotation")
def annotation(
    annotator: Annotated[
        str,
        typer.Option(
            metavar="SYSTEM",
            help="Who names: lexical, local:MODEL, openai:MODEL, file:LABELS (or a store's folder), "
            "python:MODULE:CLASS.",
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/annotation-SYSTEM]", show_default=False),
    ] = None,
    store: Annotated[
        list[Path] | None,
        typer.Option(help="Score on a concept store instead of gold items; twice for --study corpus."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Concepts, drawn by the seed; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of the items: another one gives fresh word lists.")] = 0,
    split: Annotated[str, typer.Option(help="Of gold items: test, or dev to try prompts on.")] = "test",
    study: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Ask under several conditions: prompt, contexts, unit, k, corpus, refusals, language "
            "(see `list studies`).",
        ),
    ] = None,
    prompt: Prompt = "few-shot",
    contexts: Annotated[int | None, typer.Option(min=0, help="Sentences shown with the words.")] = None,
    unit: Annotated[str | None, typer.Option(help="types: each word once; tokens: as often as it occurs.")] = None,
    judges: Annotated[
        str, typer.Option(metavar="SYSTEM,…", help="Language models that rate the labels, on planted controls too.")
    ] = "",
    judge_base_url: Annotated[
        str | None, typer.Option(help="Server of openai: judges, if another than --base-url.")
    ] = None,
    allow_self_judging: Annotated[
        bool, typer.Option("--allow-self-judging", help="Let a model judge its own labels.")
    ] = False,
    controls: Annotated[int, typer.Option(min=2, help="Planted controls of each type, for the judges.")] = 30,
    against: Annotated[
        str | None, typer.Option(metavar="LABELS", help="Labels to compare with: gold, or file:LABELS.")
    ] = None,
    ratings: Annotated[
        Path | None, typer.Option(help="People's ratings of these labels: a CSV file or a folder of them.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Tells words apart by the label. [default: minilm; smollm2 for concepts of MiniLM]",
            show_default=False,
        ),
    ] = None,
    bertscore: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Also give BERTScore against the gold name, by this encoder.")
    ] = None,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    price: Price = None,
    as_json: Json = False,
) -> None:
    """Have a system name concepts, and score its labels.

    Concepts are word lists of a gold lexicon, whose right name is known, at purities of 100, 90 and 75 %; or those of
    a store. Writes `result.json` and `records.parquet`; `report` makes a page of them, `rate` lets people rate them.

    Example: `conceptbench eval annotation --annotator local:smollm2 --limit 100`
    """
    from conceptbench.benchmark.schema import slug
    from conceptbench.eval.annotation import evaluate_annotation

    name = annotator.rstrip("/").rpartition("/")[2] if annotator.startswith(("file:", "local:")) else annotator
    target = folder or Path("results") / f"annotation-{slug(name)}"
    with Bars(err) as progress:
        result = evaluate_annotation(
            annotator=annotator,
            out=target,
            store=store or None,
            limit=limit,
            seed=seed,
            split=split,  # type: ignore[arg-type]  # checked by evaluate_annotation
            study=study,
            prompt=prompt,
            contexts=contexts,
            unit=unit,  # type: ignore[arg-type]  # checked by evaluate_annotation
            judges=_listed(judges),
            judge_base_url=judge_base_url,
            allow_self_judging=allow_self_judging,
            controls=controls,
            against=against,
            ratings=ratings,
            encoder=encoder,
            bertscore=bertscore,
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            price=price,
            progress=progress,
        )
    _show(result, target, as_json)


@group.command("explanation")
def explanation(
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/explanation-SYSTEM]", show_default=False),
    ] = None,
    helper: Annotated[
        str | None,
        typer.Option(
            metavar="SYSTEM", help="The LLM that summarises and writes test strings: local:MODEL, openai:MODEL."
        ),
    ] = None,
    explainer: Annotated[str, typer.Option(help="sasc; ngram, tfidf (baselines); or python:MODULE:CLASS.")] = "sasc",
    modules: Annotated[
        Path | None,
        typer.Option(help="A file of modules, corpora beside it; else they are drawn from the gold lexicon."),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY,…",
            help="Of drawn modules (see `list modules`); by default all but neuron, factor, probe and voxel.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Modules drawn of each family.")] = 5,
    model: Annotated[
        str | None,
        typer.Option(help="Of neuron, factor and probe. [default: minilm]", show_default=False),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Of that model. [default: half its depth]", show_default=False)
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="What neuron, factor, probe and voxel are learned and explained from, as in `build`. "
            "[default: the gold lexicon]",
            show_default=False,
        ),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Where a tabular corpus has its text.")] = None,
    responses: Annotated[
        Path | None,
        typer.Option(help="Recorded voxels (.npz, .h5) instead of made-up ones: the best predicted are explained."),
    ] = None,
    settings: Annotated[str, typer.Option(metavar="SETTING,…", help="default, restricted, noisy.")] = "default",
    repeats: Annotated[int, typer.Option(help="Runs of each module and setting.")] = 1,
    strings: Annotated[int, typer.Option(help="Test strings of either sort for an explanation.")] = 10,
    max_ngrams: Annotated[int | None, typer.Option(help="N-grams of each corpus, drawn by the seed.")] = None,
    limit: Annotated[int | None, typer.Option(help="Modules, in their order.")] = None,
    seed: Annotated[int, typer.Option(help="Of modules and every draw.")] = 0,
    records: Annotated[
        Path | None, typer.Option(help="Score published runs instead; --modules names the file of their answers.")
    ] = None,
    plain_patterns: Annotated[
        bool, typer.Option("--plain-patterns", help="Match by the pattern alone, without the guard.")
    ] = False,
    encoder: Annotated[str, typer.Option(help="Of modules that embed texts.")] = "minilm",
    bertscore: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Also give BERTScore against the answer's keyword and sentence."),
    ] = None,
    judges: Annotated[
        str,
        typer.Option(
            metavar="SYSTEM,…",
            help="Language models that say whether explanations are equivalent to the true ones; on controls too.",
        ),
    ] = "",
    judge_base_url: Annotated[
        str | None, typer.Option(help="Server of openai: judges, if another than --base-url.")
    ] = None,
    allow_self_judging: Annotated[
        bool, typer.Option("--allow-self-judging", help="Let the helper's model judge its own explanations.")
    ] = False,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    price: Price = None,
    as_json: Json = False,
) -> None:
    """Have text modules explained, most with known answers, and score the explanations.

    Example: `conceptbench eval explanation --helper local:smollm2 --limit 6`
    """
    from conceptbench.benchmark.schema import slug
    from conceptbench.eval.explanation import evaluate_explanation

    name = records.stem if records is not None else helper if explainer == "sasc" and helper else explainer
    target = folder or Path("results") / f"explanation-{slug(name)}"
    options = {} if families is None else {"families": [family.strip() for family in families.split(",")]}
    with Bars(err) as progress:
        result = evaluate_explanation(
            out=target,
            helper=helper,
            explainer=explainer,
            modules=modules,
            count=count,
            settings=[setting.strip() for setting in settings.split(",")],
            repeats=repeats,
            strings=strings,
            max_ngrams=max_ngrams,
            limit=limit,
            seed=seed,
            records=records,
            plain_patterns=plain_patterns,
            encoder=encoder,
            bertscore=bertscore,
            judges=_listed(judges),
            judge_base_url=judge_base_url,
            allow_self_judging=allow_self_judging,
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            price=price,
            model=model,
            layer=layer,
            corpus=corpus,
            text_column=text_column,
            responses=responses,
            progress=progress,
            **options,
        )
    _show(result, target, as_json)


@group.command("probing")
def probing(
    store: Annotated[Path, typer.Option(help="The concept store, with its vectors.")],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/probing-STORE]", show_default=False),
    ] = None,
    layers: Annotated[str, typer.Option(help="all, a list such as 0,3,6, or a range such as 2-5.")] = "all",
    model: Annotated[
        str | None,
        typer.Option(help="Of a store of several; its folder, where the store's name of it does not load."),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="Where gold concepts are looked for, as in `build`. [default: the gold lexicon's sentences]",
            show_default=False,
        ),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Where a tabular corpus has its text.")] = None,
    study: Annotated[str | None, typer.Option(metavar="STUDY", help="k: cut the trees at other K too.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Concepts, drawn by the seed: of each split of the lexicon, of each layer.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of splits, negatives, controls and the permutation.")] = 0,
    c: Annotated[float, typer.Option(help="Inverse strength of the probes' penalty.")] = 1.0,
    l1_ratio: Annotated[float, typer.Option(help="Share of the l1 penalty, 0 to 1.")] = 0.0,
    device: Annotated[str | None, typer.Option(help="Torch device. [default: a GPU if there is one]")] = None,
    as_json: Json = False,
) -> None:
    """Probe an encoder's layers for gold concepts in another corpus, and for the concepts of a store.

    Example: `conceptbench eval probing --store concepts --layers 0,3,6`
    """
    from conceptbench.benchmark.schema import slug
    from conceptbench.eval.probing.collect import evaluate_probing

    target = folder or Path("results") / f"probing-{slug(store.resolve().name)}"
    with Bars(err) as progress:
        result = evaluate_probing(
            store=store,
            out=target,
            layers=layers,
            model=model,
            corpus=corpus,
            text_column=text_column,
            study=study,
            limit=limit,
            seed=seed,
            c=c,
            l1_ratio=l1_ratio,
            device=device,
            progress=progress,
        )
    _show(result, target, as_json)
    if not as_json:
        for name, counts in result.provenance["skipped"].items():
            out.print(f"{name}: {_counted(counts)}", highlight=False, markup=False)


def _counted(counts: Mapping[str, int]) -> str:
    """Say how many concepts were probed, and how many were not and why."""
    skipped = [f"{count:,} {reason}" for reason, count in counts.items() if reason != "probed" and count]
    return f"{counts['probed']:,} probed" + (f"; skipped: {', '.join(skipped)}" if skipped else "")


@group.command("neurons")
def neurons(
    store: Annotated[Path, typer.Option(help="The concept store; it must have its vectors.")],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/neurons-STORE]", show_default=False),
    ] = None,
    layers: Annotated[str, typer.Option(help="all, or numbers such as 0,3,6 or 2-5.")] = "all",
    model: Annotated[str | None, typer.Option(help="Of the store's models, if there are several.")] = None,
    method: Annotated[
        str,
        typer.Option(
            help="The ranking of the ablation's headline: probeless, weights, average_precision. All are recorded."
        ),
    ] = "probeless",
    pairs: Annotated[
        str, typer.Option(metavar="SOURCE,…", help="Of super- and sub-concepts; the headline is of the first.")
    ] = "tree,labels,lexicon",
    fraction: Annotated[float, typer.Option(help="Of the neurons that count as top.")] = 0.1,
    controls: Annotated[int, typer.Option(min=1, help="Unrelated concepts that each pair is held against.")] = 99,
    ablated: Annotated[int, typer.Option(min=1, help="Concepts of each layer whose neurons are ablated.")] = 60,
    study: Annotated[
        str | None, typer.Option(metavar="STUDY", help="k: also align the concepts of other cuts of the tree.")
    ] = None,
    ks: Annotated[
        str | None,
        typer.Option(
            metavar="K,…", help="Of --study k. [default: 1/4, 1/2, 1 and 2 times the store's]", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Pairs of each source and layer, and ablated concepts, drawn by the seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    device: Annotated[str | None, typer.Option(help="For probes. [default: a GPU if any]", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Tell which neurons carry a store's concepts: shared with wider concepts, needed by probes, stable.

    Example: `conceptbench eval neurons --store store --layers 0,3,6`
    """
    from conceptbench.eval.neurons import evaluate_neurons

    target = folder or Path("results") / f"neurons-{store.resolve().name}"
    with Bars(err) as progress:
        result = evaluate_neurons(
            store=store,
            out=target,
            layers=layers,
            model=model,
            method=method,  # type: ignore[arg-type]  # checked by evaluate_neurons
            pairs=_listed(pairs),  # type: ignore[arg-type]  # checked by evaluate_neurons
            fraction=fraction,
            controls=controls,
            ablated=ablated,
            study=study,
            ks=None if ks is None else _numbers(ks, "--ks"),
            limit=limit,
            seed=seed,
            device=device,
            progress=progress,
        )
    _show(result, target, as_json)


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in _listed(text)]
    except ValueError as error:
        raise InputError(f"{option} {text}: give whole numbers, such as 50,100,200") from error


@group.command("prototypes")
def prototypes(
    dataset: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="A .csv or .parquet file, a Hub dataset ID or hf:ID[:CONFIG[:SPLIT]], or sst2, sst5, qnli, mnli, "
            "wnli, rte, imdb.",
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/prototypes-DATA]", show_default=False),
    ] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Where the text is; twice for pairs of sentences.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="Where the class is: integers or strings.")] = None,
    model: Annotated[str, typer.Option(help="The encoder: minilm, a folder or a Hub id.")] = "minilm",
    tuned: Annotated[bool, typer.Option("--tuned", help="Train the encoder too, for every classifier anew.")] = False,
    count: Annotated[int, typer.Option("--prototypes", "-n", help="Prototypes a class.")] = 10,
    nearest: Annotated[int, typer.Option("--nearest", help="K: prototypes that a text is drawn to, or away from.")] = 1,
    losses: Annotated[
        str, typer.Option(metavar="L0,L1,L2", help="Weights of cross-entropy, cohesion and separation.")
    ] = "1,0.01,0.01",
    folds: Annotated[int, typer.Option(help="Of the cross-validation.")] = 5,
    repeats: Annotated[
        int, typer.Option(help="Of the cross-validation, or of training where test texts are given.")
    ] = 2,
    margin: Annotated[
        float, typer.Option(help="Of the test of non-inferiority to the linear head, as a fraction.")
    ] = 0.015,
    study: Annotated[
        str | None, typer.Option(metavar="STUDY", help="Train variants too: prototypes, nearest, losses.")
    ] = None,
    helper: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="The LLM that names prototypes: local:MODEL, openai:MODEL.")
    ] = None,
    max_ngrams: Annotated[int, typer.Option(help="N-grams that names are made from, drawn by the seed.")] = 5000,
    simulators: Annotated[
        str,
        typer.Option(
            metavar="SYSTEM,…", help="Who predicts the classifier's answers: language models, or file:simulation.csv."
        ),
    ] = "",
    asked: Annotated[int, typer.Option(help="Texts that each simulator is asked about.")] = 60,
    looked_at: Annotated[int, typer.Option(help="Texts whose tokens are deleted.")] = 200,
    limit: Annotated[int | None, typer.Option(help="Texts, drawn by the seed; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    epochs: Annotated[int, typer.Option(help="At most; training ends when the dev part gets no better.")] = 60,
    max_length: Annotated[int, typer.Option(help="Tokens read of a text.")] = 128,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 60.0,
    price: Price = None,
    device: Annotated[str | None, typer.Option(help="[default: a GPU if any]", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Train Proto-lm and a linear head on a classification task, and test whether Proto-lm's reasons are true.

    The folder also gets `classifier`, which `explain --classifier` reads.

    Example: `conceptbench eval prototypes --dataset films.csv --text-column text --label-column mood`
    """
    from conceptbench.benchmark.schema import slug
    from conceptbench.eval.methods.protolm.model import PrototypeConfig
    from conceptbench.eval.methods.protolm.training import Training
    from conceptbench.eval.prototypes import evaluate_prototypes

    cross_entropy, cohesion, separation = _weights(losses)
    named = Path(dataset).stem if Path(dataset).is_file() else dataset.removeprefix("hf:").replace(":", "-")
    target = folder or Path("results") / f"prototypes-{slug(named)}"
    with Bars(err) as progress:
        result = evaluate_prototypes(
            dataset=dataset,
            out=target,
            text_columns=text_column or (),
            label_column=label_column,
            model=model,
            config=PrototypeConfig(count, nearest, cross_entropy, cohesion, separation),
            training=Training(epochs=epochs),
            tuned=tuned,
            folds=folds,
            repeats=repeats,
            margin=margin,
            study=study,
            helper=helper,
            max_ngrams=max_ngrams,
            simulators=_listed(simulators),
            asked=asked,
            looked_at=looked_at,
            limit=limit,
            seed=seed,
            max_length=max_length,
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            price=price,
            device=device,
            progress=progress,
        )
    _show(result, target, as_json)


def _weights(text: str) -> list[float]:
    """Read the weights of the loss's three terms."""
    try:
        weights = [float(part) for part in _listed(text)]
    except ValueError:
        weights = []
    if len(weights) != 3:
        raise InputError(f"--losses {text}: give three numbers, such as 1,0.01,0.01")
    return weights


@group.command("quality")
def quality(
    store: Annotated[Path, typer.Option(help="The concept store.")],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the result. [default: results/quality-STORE]", show_default=False),
    ] = None,
    layers: Annotated[str, typer.Option(help="all, or numbers such as 0,3,6 or 2-5.")] = "all",
    model: Annotated[str | None, typer.Option(help="Of a store with several models.")] = None,
    threshold: Annotated[
        float, typer.Option(help="Share of a cluster's tokens that must belong to a gold concept.")
    ] = 0.95,
    methods: Annotated[
        str,
        typer.Option(
            metavar="METHOD,…",
            help="ward, kmeans, leaders, at equal K; the last two need vectors. [default: the store's own]",
            show_default=False,
        ),
    ] = "",
    study: Annotated[
        str | None, typer.Option(metavar="STUDY", help="k: cut the merge trees at other numbers of clusters too.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Clusters, drawn by the seed; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of k-means, shuffles and intervals.")] = 0,
    as_json: Json = False,
) -> None:
    """Hold the concepts of a store against those of the gold lexicon.

    Example: `conceptbench eval quality --store mystore --study k`
    """
    from conceptbench.eval.quality import evaluate_quality

    target = folder or Path("results") / f"quality-{store.resolve().name}"
    with Bars(err) as progress:
        result = evaluate_quality(
            store=store,
            out=target,
            layers=layers,
            model=model,
            threshold=threshold,
            methods=_listed(methods),
            study=study,
            limit=limit,
            seed=seed,
            progress=progress,
        )
    _show(result, target, as_json)


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _show(result: Result, target: Path, as_json: bool) -> None:
    """Print a result: the headline metrics, those of a study's conditions, and why some are absent."""
    from conceptbench.eval.run import task_of

    if as_json:
        print_json(result.to_json())
    else:
        out.print(headline([result]))
        task = task_of(result.task)
        for table in (_by_condition(result, list(task.metrics)), _by_group(result, task.compared)):
            if table is not None:
                out.print()
                out.print(table)
        for text in result.provenance.get("findings", ()):
            out.print(text, highlight=False, markup=False)
        for name, why in result.provenance["undefined"].items():
            out.print(f"{name}: not given. {why}", highlight=False, markup=False)
        out.print(
            f"Written: {target}/result.json. Read it with: conceptbench report {target}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    failed = result.metrics.get("failed")
    if failed is not None and failed.value > 0 and not result.system.startswith(("file:", "python:")):
        raise ConceptBenchError(
            f"{failed.value:.0%} of the items could not be asked and count as wrong. What was answered is kept: give "
            "the same command again to ask the others."
        )


def headline(results: Sequence[Result]) -> Table:
    """Make a table of the headline metrics of one or more systems on the same task."""
    from conceptbench.eval.run import task_of

    table = Table(title=results[0].task, title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for result in results:
        table.add_column(f"{escaped(result.system)}\nvalue (95 % interval), n", justify="right", overflow="fold")
    for name in task_of(results[0].task).metrics:
        metrics = [result.metrics.get(name) for result in results]
        if any(metrics):
            table.add_row(name, *("" if metric is None else f"{_cell(metric)}, {metric.n:,}" for metric in metrics))
    return table


def _by_condition(result: Result, names: Sequence[str]) -> Table | None:
    """Make a table of a study: a row a condition (of refusals: a kind), a column a metric."""
    from conceptbench.eval.annotation.studies import condition_names

    rows = condition_names(result.metrics)
    wanted: Sequence[str] = _STUDY_COLUMNS
    if result.provenance["study"] == "refusals":
        wanted = ("refused_first", "recovered", "refused", "gold_match")
        rows = sorted({name.partition("/")[2] for name in result.metrics if name.startswith("gold_match/")})
        rows = [row for row in rows if "=" not in row]
    shown = [name for name in names if name in wanted and any(f"{name}/{row}" in result.metrics for row in rows)]
    if not rows or not shown:
        return None
    table = Table(title=f"study: {result.provenance['study']}", title_justify="left", box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in shown:
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        metrics = [result.metrics.get(f"{name}/{row}") for name in shown]
        table.add_row(escaped(row), *("" if metric is None else _cell(metric) for metric in metrics))
    return table


def _by_group(result: Result, names: Sequence[str]) -> Table | None:
    """Make a table of breakdowns: a row a group, a column a metric."""
    groups = dict.fromkeys(
        key.partition("/")[2] for key in result.metrics if "/" in key and key.partition("/")[0] in names
    )
    if not groups:
        return None
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for group in groups:
        metrics = [result.metrics.get(f"{name}/{group}") for name in names]
        table.add_row(escaped(group), *("" if metric is None else _cell(metric) for metric in metrics))
    return table


def _cell(metric: Metric) -> str:
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"
