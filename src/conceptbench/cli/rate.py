"""The command with which people rate labels: rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from conceptbench.cli.console import Json, err, escaped, out, print_json
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.eval.rating.study import Plan, Study, Summary


def rate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A concept store, or a result folder of `eval annotation`.")
    ],
    raters: Annotated[
        list[str] | None,
        typer.Option(
            "--rater",
            metavar="NAME",
            help="Let this person rate; for several, repeat the option or give names such as ben,cleo.",
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("--plan", metavar="N", help="Draw N labels to be rated.")] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="file:PATH", help="With --plan: labels to compare with (CSV with concept, label)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --plan: the seed of the draw.")] = 0,
    import_file: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Add the ratings of a CSV file.")
    ] = None,
    export_file: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write all ratings to one CSV file.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --rater: the port of the page; 0 for any.")] = 7860,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="With --rater: open the page in a browser.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Have people rate labels, on a page of this machine, and sum their ratings up.

    Plan a study, let people rate, then read the numbers: `rate DIR --plan 150`, `rate DIR --rater anna`, `rate DIR`.
    Every answer is saved at once to `DIR/ratings`; the page continues where a rater stopped.
    """
    from conceptbench.eval.rating.study import open_study, plan, summary

    modes = {"--rater": raters, "--plan": n, "--import": import_file, "--export": export_file}
    chosen_modes = [name for name, value in modes.items() if value is not None]
    if len(chosen_modes) > 1:
        raise InputError(f"{' and '.join(chosen_modes)} do different things: give one of them")
    if against is not None and n is None:
        raise InputError("--against is set by the plan: give it together with --plan")
    with Bars(err) as progress:
        study = open_study(folder, progress=progress) if raters else open_study(folder, contexts=0)
    if raters:
        _serve(study, [name.strip() for names in raters for name in names.split(",")], port, open_browser)
    elif n is not None:
        _show_plan(study, plan(study, n, seed, against), as_json)
    elif import_file is not None:
        _import(study, import_file, as_json)
    elif export_file is not None:
        _export(study, export_file, as_json)
    else:
        _show_summary(study, summary(study), as_json)


def _serve(study: Study, raters: Sequence[str], port: int, open_browser: bool) -> None:
    from conceptbench.eval.rating.page import serve

    def on_ready(addresses: list[str]) -> None:
        for address in addresses:
            out.print(address, highlight=False, soft_wrap=True)
        plan = "" if study.plan else " (all that there are; --plan N draws some)"
        out.print(f"{len(study.to_rate):,} labels to rate{plan}. Ctrl-C stops the page; answers are saved as given.")
        if open_browser:
            typer.launch(addresses[0])

    serve(study, raters, port, on_ready)


def _show_plan(study: Study, plan: Plan, as_json: bool) -> None:
    from dataclasses import asdict

    from conceptbench.eval.rating.study import SECONDS, half_width

    n = len(plan.items)
    minutes = round(n * SECONDS / 60)
    if as_json:
        print_json({**asdict(plan), "minutes": minutes, "half_width": half_width(n)})
        return
    table = Table(title="Labels by stratum", title_justify="left", box=None, pad_edge=False)
    table.add_column("stratum", overflow="fold")
    for column in ("labels", "drawn"):
        table.add_column(column, justify="right")
    for stratum in plan.strata:
        table.add_row(escaped(stratum.name), str(stratum.labels), str(stratum.drawn))
    table.add_row("all", str(sum(stratum.labels for stratum in plan.strata)), str(n), style="bold")
    out.print(table)
    compared = sum(item.other is not None for item in plan.items)
    if compared:
        out.print(f"{compared} of them have another label to be compared with.")
    out.print(
        f"A rater takes about {minutes} minutes ({SECONDS} s a label). With an acceptance of 90 %, expect a 95 % "
        f"interval of about ± {100 * half_width(n):.1f} points."
    )
    out.print(f"Next: conceptbench rate {study.folder} --rater NAME", highlight=False, markup=False, soft_wrap=True)


def _show_summary(study: Study, summary: Summary, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        print_json({"folder": str(study.folder), "planned": study.plan is not None, **asdict(summary)})
        return
    if not summary.done:
        out.print(f"{summary.items:,} labels to rate, no rating yet.")
        out.print(f"Next: conceptbench rate {study.folder} --rater NAME", highlight=False, markup=False, soft_wrap=True)
        return
    table = Table(title="Raters", title_justify="left", box=None, pad_edge=False)
    table.add_column("rater", overflow="fold")
    table.add_column("done", justify="right")
    for rater, done in summary.done.items():
        table.add_row(escaped(rater), f"{done} of {summary.items}")
    out.print(table)
    out.print()
    table = Table(title="Ratings", title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for column in ("value", "95 % interval", "n"):
        table.add_column(column, justify="right")
    for name, metric in summary.metrics.items():
        table.add_row(name, f"{metric.value:.3f}", f"{metric.low:.3f} to {metric.high:.3f}", str(metric.n))
    out.print(table)
    for name, why in summary.undefined.items():
        out.print(f"{name}: {why}", highlight=False, markup=False)
    _tell_left_out(summary.left_out)


def _tell_left_out(ratings: int) -> None:
    if ratings:
        out.print(f"Left out: {ratings} ratings of labels that have changed since, or that are not in the plan.")


def _import(study: Study, file: Path, as_json: bool) -> None:
    from conceptbench.eval.rating.log import add_ratings

    added, left_out = add_ratings(study, file)
    if as_json:
        print_json({"added": added, "left_out": left_out})
        return
    out.print(f"{added} ratings added to {study.ratings_folder}.", markup=False, soft_wrap=True)
    _tell_left_out(left_out)


def _export(study: Study, file: Path, as_json: bool) -> None:
    from conceptbench.eval.rating.ratings import write_ratings

    ratings, left_out = study.ratings()
    write_ratings(file, ratings)
    if as_json:
        print_json({"written": len(ratings), "left_out": left_out})
        return
    out.print(f"{len(ratings)} ratings written to {file}.", markup=False, soft_wrap=True)
    _tell_left_out(left_out)
