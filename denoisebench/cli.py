"""The command line: reads arguments, calls the rooms below, turns mistakes into one sentence and exit code 2."""

from __future__ import annotations

import atexit
import contextlib
import io
import signal

import typer

from denoisebench import __version__
from denoisebench.commands import audit, data, methods, run, tables, train, weights
from denoisebench.core.errors import UserError
from denoisebench.core.printing import line, message, prepare_streams

app = typer.Typer(
    help="Compare self-supervised image denoisers on identical noisy images under one declared protocol.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    pass


@app.command()
def version() -> None:
    """Print the version."""
    line(f"denoisebench {__version__}")


app.command()(run.run)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(tables.table)
app.command()(tables.paper)
app.command()(tables.report)
app.command()(audit.audit)
app.command()(train.train)
app.command()(train.submit)
app.command("list")(methods.list_command)
app.command("new-method")(methods.new_method)
app.command("check-method")(methods.check_method)
app.add_typer(data.data_app, name="data")
app.add_typer(weights.weights_app, name="weights")


def main() -> None:
    """Entry point of the `denoisebench` command."""
    # Once everything is done and said, Ctrl-C has nothing to stop.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    prepare_streams()
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        message(f"Error: {error}")
        code = 2
    except typer.Abort:
        message("Stopped. The same command goes on where it was.")
        code = 130
    except Exception as error:
        # A mistake on the command line, of a class that typer carries under names that change.
        show = getattr(error, "show", None)
        if show is None:
            raise
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            show()
        for text in shown.getvalue().splitlines():
            message(text)
        code = getattr(error, "exit_code", 2)
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
