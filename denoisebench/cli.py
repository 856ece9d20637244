"""The command line: reads arguments, calls the rooms below, turns mistakes into one sentence and exit code 2."""

from __future__ import annotations

import atexit
import contextlib
import io
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from denoisebench import __version__
from denoisebench.commands import audit, compare, data, figures, methods, own, run, tables, train, weights
from denoisebench.commands.grouping import GroupedCommand
from denoisebench.core.errors import UserError, UserErrors
from denoisebench.core.interrupts import raised_interrupts
from denoisebench.core.printing import line, lost_output, message, prepare_streams


class _Root(TyperGroup):
    """The commands; one that is stopped by Ctrl-C says so, where typer ends without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with raised_interrupts():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            message("Stopped.")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Root,
    help="Compare self-supervised image denoisers on identical noisy images under one declared protocol.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

# Commands that leave nothing behind but what they print.
_PRINTED = ("version", "paper", "list", "cite", "check-method", "diagnose", "rank")


def _show_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(cls=GroupedCommand)
def version() -> None:
    """Print the version."""
    line(f"denoisebench {__version__}")


for _name, _command in (
    ("run", run.run),
    ("table", tables.table),
    ("paper", tables.paper),
    ("report", tables.report),
    ("compare", compare.compare),
    ("denoise", own.denoise),
    ("diagnose", own.diagnose),
    ("rank", own.rank),
    ("audit", audit.audit),
    ("train", train.train),
    ("submit", train.submit),
    ("list", methods.list_command),
    ("cite", methods.cite),
    ("new-method", methods.new_method),
    ("check-method", methods.check_method),
):
    app.command(_name, cls=tables.TableCommand if _name == "table" else GroupedCommand)(_command)
app.add_typer(figures.app, name="figure")
app.add_typer(data.data_app, name="data")
app.add_typer(weights.weights_app, name="weights")


def main() -> None:
    """Read the command line, do what it says, and end the process with the code of that."""
    # Once everything is done and said, Ctrl-C has nothing to stop.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    prepare_streams()
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        for mistake in error.errors if isinstance(error, UserErrors) else (error,):
            message(f"Error: {mistake}")
        code = 2
    except Exception as error:
        # A mistake on the command line, of a class that typer carries under names that change.
        show = getattr(error, "show", None)
        if show is None:
            raise
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            show()
        for text in [*shown.getvalue().splitlines(), *(f"Error: {text}" for text in getattr(error, "__notes__", ()))]:
            message(text)
        code = getattr(error, "exit_code", 2)
    code = _truthful(code)
    if code:
        raise SystemExit(code)


def _truthful(code: object) -> object:
    """The exit code, unless what was asked for was only to be printed and could not be."""
    lost = lost_output()
    sys.stderr.flush()
    if not lost:
        return code
    if sys.argv[1:2] and sys.argv[1] in _PRINTED and not code:
        message(f"Error: Standard output cannot be written to ({lost}).")
        return 1
    message(f"Standard output cannot be written to ({lost}); everything else was done.")
    return code
