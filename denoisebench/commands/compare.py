"""``denoisebench compare``: methods of a results folder against a reference, on the same noisy images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.printing import document

if TYPE_CHECKING:
    from rich.console import RenderableType

    from denoisebench.results.store import Store, StoredCell

    Printed = str | list[RenderableType]

Results = Annotated[Path, typer.Argument(help="A results folder.", metavar="RESULTS")]
Noise = Annotated[str | None, typer.Option("--noise", help="Only these noises, e.g. gauss25,poisson30.")]
Datasets = Annotated[str | None, typer.Option("--datasets", help="Only these test sets, by name.")]


def compare(
    results: Results,
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            help="Two or more, as in the table; with --reference one, or none for all.", metavar="METHOD..."
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="What the others are compared with; the first METHOD if not given.")
    ] = None,
    noise: Noise = None,
    datasets: Datasets = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="md, latex, csv, html or typst; what suits the terminal if none is given."),
    ] = None,
    page: Annotated[str, typer.Option(help="LaTeX and Typst: page, column, wide or landscape.")] = "page",
) -> None:
    """Compare methods on the same noisy images.

    Mean differences with 95 % intervals, images won, and a test that is corrected for the number of methods.
    """
    from denoisebench.commands.output import say_all
    from denoisebench.reports.files import flaws

    names = list(methods or [])
    if reference is None:
        if len(names) < 2:
            raise UserError("Name two methods to compare, or a reference for all others: --reference b2u.")
        reference, *names = names
    store, cells = stored_cells(results, noise, datasets)
    with store.naming_damaged():
        text = differences(cells, names, reference, form, page)
    show(text)
    say_all(flaws(store))
    if store.damaged:
        raise typer.Exit(1)


def stored_cells(
    results: Path, noise: str | None = None, datasets: str | None = None
) -> tuple[Store, list[StoredCell]]:
    """The finished cells of a results folder, in the order they were written.

    Parameters
    ----------
    noise, datasets : str, optional
        Comma-separated ids; only these.

    Raises
    ------
    UserError
        The folder holds none, or none of these.
    """
    from denoisebench.results.store import Store

    store = Store(results, create=False)
    cells = sorted(store.all(), key=lambda cell: str(cell.about["written"]))
    if not cells:
        raise UserError(" ".join([f"Folder {results} holds no finished results.", *store.damaged]))
    with store.naming_damaged():
        for part, kind, text in (("noise", "noise", noise), ("dataset", "data set", datasets)):
            asked = [name.strip() for name in text.split(",") if name.strip()] if text else []
            have = {str(cell.identity["protocol"][part]) for cell in cells}
            for name in asked:
                if name not in have:
                    raise unknown(f"{kind} of this run", name, have)
            cells = [cell for cell in cells if not asked or cell.identity["protocol"][part] in asked]
        if not cells:
            raise UserError(f"Folder {results} holds no results of that noise on that data set.")
    return store, cells


def only_methods(cells: list[StoredCell], names: list[str] | None) -> list[StoredCell]:
    """The cells of the methods that are asked for."""
    from denoisebench.results.summary import line_of, lines_named

    if names is None:
        return cells
    lines = list(dict.fromkeys(line_of(cell) for cell in cells))
    wanted = {line for name in names for line in lines_named(lines, name)}
    return [cell for cell in cells if line_of(cell) in wanted]


def differences(
    cells: Sequence[StoredCell], names: Sequence[str], reference: str, form: str | None = None, page: str = "page"
) -> Printed:
    """Every named method minus the reference, ready to be printed.

    Parameters
    ----------
    names, reference : Sequence[str] or str
        See `denoisebench.reports.statistics.against`.
    form : str | None
        One of `denoisebench.reports.writers.FORMATS`, or None for what suits the output.
    page : str
        One of `denoisebench.reports.latex.PAGES`.
    """
    from denoisebench.reports import versus, writers
    from denoisebench.reports.latex import page_of
    from denoisebench.reports.screen import Screen
    from denoisebench.reports.statistics import against, groups_of

    form = None if form is None else writers.format_of(form)
    page_of(page)
    groups = groups_of(cells)
    found = against(groups, names, reference)
    if form == "csv":
        return versus.csv_text(found)
    grids = versus.grids(found, groups)
    if form is None and sys.stdout.isatty():
        return [Screen(one) for one in grids]
    return "\n".join(writers.write(one, form or "markdown", page) for one in grids)


def show(printed: Printed) -> None:
    """Print what `differences` made."""
    if isinstance(printed, str):
        document(printed, end="")
        return
    from rich.console import Console

    console = Console(highlight=False)
    for number, one in enumerate(printed):
        console.print(*([""] if number else []), one, sep="\n")
