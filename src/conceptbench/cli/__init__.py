"""The command line: it parses, calls a function, and prints."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from conceptbench.cli import board, browse, catalogue, evaluate, explain, make, publish, rate, report
from conceptbench.cli.console import err, escaped, out
from conceptbench.runtime.errors import ConceptBenchError

_HELP = {"help_option_names": ["-h", "--help"]}


class _Stopped(ConceptBenchError):
    exit_code = 130


class _Group(TyperGroup):
    """Makes `build` when it is run, since its options take time to read, and turns an interrupt into a message."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] == "build":
            command = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="markdown")
            command.command("build", context_settings=_HELP)(make.build_command())
            return "build", typer.main.get_command(command), args[1:]
        return super().resolve_command(ctx, args)

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
    context_settings=_HELP,
)
app.command()(make.demo)
app.command("build", help=make.build.__doc__)(lambda: None)
app.command("import-tcn")(make.import_tcn)
app.command()(publish.publish)
app.command()(browse.browse)
app.command()(rate.rate)
app.command()(report.report)
app.command()(report.compare)
app.command()(explain.explain)
app.command()(board.submit)
app.add_typer(board.group, name="board")
app.add_typer(evaluate.group, name="eval")
app.add_typer(catalogue.group, name="list")
app.command()(catalogue.doctor)


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
    err.print(f"[bold red]error:[/] {escaped(text)}", highlight=False, soft_wrap=True)
