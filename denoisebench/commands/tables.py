"""Tables of the paper and of results folders: ``denoisebench table``, ``paper``, ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denoisebench.commands.options import Literature
from denoisebench.commands.output import print_paper_table, print_table, say_all
from denoisebench.commands.run import published_experiment
from denoisebench.core.errors import UserError
from denoisebench.core.printing import document


def table(context: typer.Context, which: Annotated[str, typer.Argument(help="1 to 8.", metavar="N")]) -> None:
    """Measure a table of the Blind2Unblind paper and print it beside the published values; takes the options of run.

    What is stored is not computed again, trained networks are used where they fit, and cells that were not measured
    stay blank: --methods, --noise, --datasets and --repeats choose a part, --plan shows what would be computed.
    """
    from denoisebench.experiment.file import table_file

    code = context.find_root().command(
        ["run", "--config", str(table_file(which)), *context.args], standalone_mode=False
    )
    if code:
        raise typer.Exit(code)


def paper(
    which: Annotated[str, typer.Argument(help="1 to 8.", metavar="N")],
    form: Annotated[str, typer.Option("--format", help="markdown, latex or csv.")] = "markdown",
) -> None:
    """Print a table of the Blind2Unblind paper as it is published, best bold, second underlined; measures nothing."""
    from denoisebench.reports.paper.printed import printed_table, text_of

    document(text_of(printed_table(which), form), end="")


def report(
    folder: Annotated[Path, typer.Argument(help="A results folder.")],
    published: Annotated[
        str | None, typer.Option("--table", metavar="N", help="Set it beside this table of the paper (1 to 8).")
    ] = None,
    literature: Literature = False,
) -> None:
    """Make scores.csv, table.md and table.tex of a results folder anew, and print the table."""
    from denoisebench.experiment.file import table_file
    from denoisebench.reports.files import flaws, write_reports
    from denoisebench.results.store import Store

    if literature and not published:
        raise UserError("--literature goes with a table of the paper: give --table N as well.")
    store = Store(folder, create=False)
    cells = store.all()
    if not cells:
        raise UserError(" ".join([f"Folder {folder} holds no finished results.", *store.damaged]))
    say_all(write_reports(store)[1])
    notes = flaws(store)
    cells.sort(key=lambda cell: str(cell.about["written"]))
    asked = published_experiment(table_file(published) if published else None)
    if asked is None:
        print_table(cells, notes)
    else:
        print_paper_table(asked, cells, notes, store, literature)
    if store.damaged:
        raise typer.Exit(1)
