"""The commands of the leaderboard: `submit`, and `board` with verify, build, serve, split, items and schema."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer
from rich.table import Table

from conceptbench.cli.console import Json, err, escaped, out, print_json
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Bars

if TYPE_CHECKING:
    from conceptbench.leaderboard.split import Split
    from conceptbench.leaderboard.submit import Parcel
    from conceptbench.leaderboard.verify import Verdict

_LARGEST_FORM = 1 << 18
_PORT = 7861

_FORM_OPTIONS: Final = (
    ("name", "The system's name on the board.", "the name in the result"),
    ("variant", "What tells this entry from others of its system, such as a prompt.", ""),
    ("model_link", "The address of the model's page.", ""),
    ("code_link", "The address of the code.", ""),
    ("seeds", "All seeds that were run, such as 0,1,2.", "that of the result"),
    ("notes", "Anything else that readers of the board should know.", ""),
)
"""The fields of the form that have an option: the name, the help text, and the default in words."""

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A board's folder, with submissions/<system>/<task>/<date>/ in it.")
]
Again = Annotated[
    bool, typer.Option("--again", help="Verify every submission, even one that has a verdict and did not change.")
]

group = typer.Typer(no_args_is_help=True, help="Keep a leaderboard: verify submissions, rank them, show the page.")


def submit(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A result's folder, or its file.")],
    board: Annotated[
        str, typer.Option(metavar="BOARD", help="The board's dataset repo on the Hub, ORG/NAME; or a board's folder.")
    ],
    model_repo: Annotated[
        str | None,
        typer.Option(metavar="ORG/NAME", help="Also add the result to the card of this model on the Hub."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/NAME",
            help="With --model-repo: the benchmark's dataset repo.",
            show_default="the repo of --board",
        ),
    ] = None,
    form: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The form, as JSON (see `board schema`); options given here replace its fields."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and show what would be sent, without using the network.")
    ] = False,
    as_json: Json = False,
    **fields: Any,
) -> None:
    """Submit a result to a leaderboard, as a pull request on the Hub.

    The result is checked as the board will check it, and everything that is to be sent is shown. Then the pull requests
    are opened: the submission to the board's repo and, with --model-repo, an entry in .eval_results/ to the model's.
    If BOARD is a local folder, the submission is written into its submissions/ instead.
    """
    from conceptbench.leaderboard.settings import open_board
    from conceptbench.leaderboard.submit import fetch_datasets, is_local, pack, parcel_json, put, send

    local = is_local(board)
    with err.status("Checking the result"):
        datasets = open_board(board).datasets if local else {} if dry_run else fetch_datasets(board, _note)
        filled = _form(form, fields)
        parcel = pack(result, board=board, model_repo=model_repo, dataset=dataset, form=filled, datasets=datasets)
    if not as_json:
        _show_parcel(parcel, local=local)
    opened = [] if dry_run else [str(put(parcel, board))] if local else send(parcel, _note)
    if as_json:
        print_json({**parcel_json(parcel), "opened": opened})
        return
    for address in opened:
        out.print(f"{'Written' if local else 'Opened'}: {address}", highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        out.print("Nothing was sent. Leave --dry-run out to open the pull requests.")


def _add_form_options(command: Callable[..., None]) -> None:
    """Put an option for each field of the form into a command's signature, after its option `form`."""
    hints = get_type_hints(command, include_extras=True)
    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        parameters.append(parameter.replace(annotation=hints[parameter.name]))
        if parameter.name == "form":
            parameters += [
                inspect.Parameter(
                    name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=None,
                    annotation=Annotated[str | None, typer.Option(help=text, show_default=default or False)],
                )
                for name, text, default in _FORM_OPTIONS
            ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


_add_form_options(submit)


@group.command("verify")
def verify(folder: Folder, again: Again = False, as_json: Json = False) -> None:
    """Check every submission: names, sizes, digests, items, and all metrics, which are computed again.

    Verdicts are written to DIR/verdicts. The exit code is 1 if a submission is rejected.
    """
    from conceptbench.leaderboard.verify import verify as run

    with Bars(err) as progress:
        verdicts = [checked.verdict for checked in run(folder, again=again, progress=progress)]
    rejected = [verdict for verdict in verdicts if not verdict.accepted]
    if as_json:
        fields = ("submission", "verdict", "reason")
        print_json([{field: getattr(verdict, field) for field in fields} for verdict in verdicts])
    else:
        _show_verdicts(verdicts)
    if rejected:
        raise typer.Exit(1)


@group.command("build")
def build(
    folder: Folder,
    target: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder that the board is written to.")],
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Verify all submissions, rank the accepted ones, and write the board: JSON, CSV, Markdown, and a page.

    Rejected submissions are listed on the board with the reason.
    """
    from conceptbench.leaderboard.board import build_board

    with Bars(err) as progress:
        written = build_board(folder, target, again=again, progress=progress)
    names = ("index.html", "board.json", "leaderboard.csv", "leaderboard.md")
    if as_json:
        print_json([str(written / name) for name in names])
        return
    for name in names:
        out.print(f"Written: {written / name}", highlight=False, markup=False, soft_wrap=True)


@group.command("serve")
def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `board build --out DIR` wrote.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the page; 0 for any.")] = _PORT,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a board's page to the browsers of this machine."""
    from conceptbench.leaderboard.page import serve as run

    if not (folder / "index.html").is_file():
        raise InputError(f"{folder} has no index.html: write it with `conceptbench board build BOARD --out {folder}`")

    def on_ready(address: str) -> None:
        out.print(f"{address}  (Ctrl-C stops it)", highlight=False, soft_wrap=True)
        if open_browser:
            typer.launch(address)

    run(folder, port, on_ready)


@group.command("schema")
def schema() -> None:
    """Print the JSON schema of a submission's form."""
    from conceptbench.leaderboard.form import form_schema

    sys.stdout.write(form_schema())


@group.command("items")
def items(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result of a run of your own on the dataset.")],
    name: Annotated[
        str | None,
        typer.Option(help="The dataset's name on the board.", show_default="the name in the result"),
    ] = None,
) -> None:
    """Print the lines of board.toml with which the board accepts submissions of a run's dataset.

    Gold word lists and drawn modules need no such lines, because they are drawn again. Add the lines of other datasets
    only after a run of your own.
    """
    from conceptbench.eval.result import RECORDS_FILE
    from conceptbench.eval.run import open_run
    from conceptbench.leaderboard.items import items_digest
    from conceptbench.leaderboard.records import read_untrusted
    from conceptbench.leaderboard.settings import dataset_entry

    run = open_run(result)
    digest = items_digest(run.result.task, read_untrusted(run.folder / RECORDS_FILE, run.result.task))
    sys.stdout.write(dataset_entry(name or str(run.result.provenance["dataset"]), run.result.task, digest))


@group.command("split")
def split(
    folder: Folder,
    draw: Annotated[
        Path | None, typer.Option("--draw", metavar="FILE", help="Draw a seed into this secret file, outside DIR.")
    ] = None,
    publish: Annotated[
        Path | None, typer.Option("--publish", metavar="FILE", help="Publish the seed of this secret file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a private split of gold items, or publish the seed of one; list the splits if neither is asked for.

    The board commits to the seed (its SHA-256 with a salt) when it is drawn, and publishes it afterwards.
    """
    from dataclasses import asdict

    from conceptbench.leaderboard.settings import open_board
    from conceptbench.leaderboard.split import draw_split, publish_split, read_splits

    root = open_board(folder).root
    if draw is not None and publish is not None:
        raise InputError("--draw and --publish do different things: give one of them")
    if draw is not None:
        changed = draw_split(root, draw)
        lines = [
            f"Drawn: commitment {changed.commitment}; the seed is in {draw}, keep it.",
            "Run systems on it with `conceptbench eval annotation --seed SEED`.",
        ]
    elif publish is not None:
        changed = publish_split(root, publish)
        lines = [f"Published: seed {changed.seed} for commitment {changed.commitment}."]
    else:
        splits = read_splits(root)
        if as_json:
            print_json([asdict(each) for each in splits])
        else:
            _show_splits(splits)
        return
    if as_json:
        print_json(asdict(changed))
        return
    for line in lines:
        out.print(line, highlight=False, soft_wrap=True)


def _note(text: str) -> None:
    err.print(text, highlight=False, markup=False)


def _form(path: Path | None, options: Mapping[str, str | None]) -> dict[str, Any]:
    """Give the fields of the form: those of the file, replaced by the options that were given."""
    fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "seeds" in fields:
        fields["seeds"] = _seeds(fields["seeds"])
    if path is None:
        return fields
    from conceptbench.leaderboard.documents import read_object

    return read_object(path, _LARGEST_FORM) | fields


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds {text}: give whole numbers with commas between, such as 0,1,2") from error


def _show_parcel(parcel: Parcel, *, local: bool) -> None:
    for note in parcel.notes:
        out.print(f"Note: {note}.", highlight=False, markup=False)
    for request in parcel.pull_requests:
        where = f"Into {request.repo}" if local else f"Pull request to the {request.repo_type} {request.repo}"
        out.print(f"{where}: {request.title}", highlight=False, markup=False)
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(overflow="fold")
        table.add_column(justify="right")
        for file in request.files:
            table.add_row(f"  {escaped(file.path)}", f"{len(file.content):,} bytes")
        out.print(table)
        for file in request.files:
            if file.path.endswith((".yaml", "form.json")):
                out.print(file.content.decode(), highlight=False, markup=False, soft_wrap=True)


def _show_splits(splits: Sequence[Split]) -> None:
    if not splits:
        out.print("No private split was drawn yet: --draw FILE draws one.")
    for each in splits:
        seed = "not published yet" if each.seed is None else f"seed {each.seed}"
        out.print(f"{each.date}  {each.commitment}  {seed}", highlight=False, soft_wrap=True)


def _show_verdicts(verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        out.print("There is no submission yet.")
        return
    for verdict in verdicts:
        style = "green" if verdict.accepted else "bold red"
        reason = f": {escaped(verdict.reason)}" if verdict.reason else ""
        out.print(
            f"[{style}]{verdict.verdict}[/] {escaped(verdict.submission)}{reason}", highlight=False, soft_wrap=True
        )
    count = sum(verdict.accepted for verdict in verdicts)
    out.print(f"{count} of {len(verdicts)} accepted.", highlight=False)
