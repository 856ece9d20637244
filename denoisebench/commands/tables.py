"""Tables of the paper and of results folders: ``denoisebench table``, ``paper``, ``report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from denoisebench.commands.compare import differences, only_methods, show
from denoisebench.commands.grouping import GroupedCommand, grouped
from denoisebench.commands.making import load_plugins, make_filter
from denoisebench.commands.options import (
    LimitedExecution,
    Literature,
    OutputOptions,
    PageOptions,
    ProtocolOptions,
    RunSelection,
    RunTraining,
    SourceOptions,
    TableOptions,
)
from denoisebench.commands.output import layout_of, print_paper_table, print_table, say_all, show_on_terminal, show_page
from denoisebench.commands.run import experiment_file, measure, read_config
from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.printing import document, line

if TYPE_CHECKING:
    from denoisebench.reports.layout import Layout
    from denoisebench.results.store import Store, StoredCell

OnlyMethods = Annotated[
    str | None, typer.Option("--methods", help="Only these methods, in this order.", rich_help_panel="Table")
]


def read_table(context: typer.Context, value: str) -> str:
    """Make the options of a published table's experiment file the defaults of the command line."""
    from denoisebench.experiment.file import table_file

    read_config(context, table_file(value))
    return value


class TableCommand(GroupedCommand):
    """A command whose options have no defaults of their own where the experiment file of the table has them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, group by group."""
        from denoisebench.experiment.file import TABLES, table_file

        of_tables = {name for number in TABLES for name in experiment_file(table_file(str(number))).options}
        for parameter in self.params:
            if parameter.name in of_tables:
                parameter.show_default = "the table's"  # type: ignore[attr-defined]
        super().format_options(ctx, formatter)


@grouped
def table(
    which: Annotated[str, typer.Argument(help="1 to 8.", metavar="N", is_eager=True, callback=read_table)],
    selection: RunSelection,
    protocol: ProtocolOptions,
    training: RunTraining,
    execution: LimitedExecution,
    sources: SourceOptions,
    output: OutputOptions,
    shown: TableOptions,
) -> None:
    """Measure a table of the Blind2Unblind paper.

    It is printed beside the published values. Takes the options of run: what is not given is as in the paper's table.

    What is stored is not computed again, trained networks are used where they fit, and cells that were not measured
    stay blank: --methods, --noise, --datasets and --repeats choose a part, --plan shows what would be computed.
    """
    from denoisebench.experiment.file import table_file

    measure(selection, protocol, training, execution, sources, output, shown, experiment_file(table_file(which)))


@grouped
def paper(
    which: Annotated[str, typer.Argument(help="1 to 8.", metavar="N")],
    shown: TableOptions,
    methods: OnlyMethods = None,
) -> None:
    """Print a table of the Blind2Unblind paper as published.

    Best bold, second underlined; nothing is measured.
    """
    from denoisebench.plugins.lookup import split_list
    from denoisebench.reports.paper.printed import only, printed_table, terminal, text_of

    layout = layout_of(shown)
    found = printed_table(which)
    if methods:
        found = only(found, split_list(methods))
    if shown.form is None and sys.stdout.isatty():
        show_on_terminal(terminal(found, layout))
    else:
        document(text_of(found, shown.form or "markdown", layout, shown.page), end="")


@grouped
def report(
    folder: Annotated[Path, typer.Argument(help="A results folder.")],
    shown: TableOptions,
    page: PageOptions,
    sources: SourceOptions,
    methods: OnlyMethods = None,
    published: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="N",
            help="Set it beside this table of the paper (1 to 8).",
            rich_help_panel="Table",
        ),
    ] = None,
    literature: Literature = False,
    versus: Annotated[
        str | None,
        typer.Option(
            help="Add paired differences of every method to this one, with intervals.", rich_help_panel="Table"
        ),
    ] = None,
) -> None:
    """Print the tables of a results folder, or make its page.

    scores.csv, table.md and table.tex are made anew from what is stored.
    """
    from denoisebench.experiment.file import table_file
    from denoisebench.plugins.lookup import split_list
    from denoisebench.reports.files import shortcomings, write_reports
    from denoisebench.results.store import Store

    layout = layout_of(shown)
    if literature and not published:
        raise UserError("--literature goes with a table of the paper: give --table N as well.")
    csv = shown.form == "csv"
    if csv and versus and not page.html:
        raise UserError(
            "--format csv prints one table, so --versus does not go with it: the differences alone are printed by "
            f"denoisebench compare {folder} --reference {versus} --format csv."
        )
    _check_page(page)
    asked = experiment_file(table_file(published)) if published else None
    store = Store(folder, create=False)
    cells = store.all()
    if page.html and not cells:
        _page(store, cells, versus, layout, page, sources)
        raise typer.Exit(1 if store.damaged else 0)
    if not cells:
        raise UserError(" ".join([f"Folder {folder} holds no finished results.", *shortcomings(store)]))
    cells.sort(key=lambda cell: str(cell.about["written"]))
    names = split_list(methods) if methods else None
    with store.naming_damaged():
        printed = differences(cells, [*(names or [])], versus, shown.form, shown.page) if versus and not csv else ""
        notes = shortcomings(store)

        def print_below() -> None:
            if printed:
                line("")
                show(printed)

        if asked is None:
            print_table(cells, notes, shown, names)
            print_below()
        else:
            chosen = only_methods(cells, names)
            print_paper_table(asked, chosen, notes, store, literature, shown, print_below)
    # After what was asked for: a folder that cannot be written to can be read all the same.
    say_all(write_reports(store)[1])
    if page.html:
        line("")
        wanted = only_methods(cells, None if names is None else [*names, *([versus] if versus else [])])
        keys = {cell.key for cell in wanted}
        of_page = [cell for cell in cells if cell.about["baseline"] or cell.key in keys]
        _page(store, of_page, versus, layout, page, sources)
    if store.damaged:
        raise typer.Exit(1)


def _check_page(page: PageOptions) -> None:
    """Options of a page that is not asked for."""
    asked_of_page = {
        "--open": page.opened,
        "--images": page.images is not None,
        "--datasets": page.datasets is not None,
    }
    for name, given in asked_of_page.items():
        if given and not page.html:
            raise UserError(f"{name} is about the page that --html makes: give --html as well.")


def _page(
    store: Store,
    cells: list[StoredCell],
    versus: str | None,
    layout: Layout,
    options: PageOptions,
    sources: SourceOptions,
) -> None:
    """Write the page of a results folder, say where it is, and show it if asked to."""
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.reports.page.build import NAME, write_page
    from denoisebench.reports.page.pictures import make_albums
    from denoisebench.reports.statistics import groups_of

    keep_freed_memory()
    load_plugins(sources.plugin)
    mistakes = Mistakes()
    choice = make_filter(None, None, options.datasets, options.weights, None, sources, mistakes)
    mistakes.check()
    albums = None if options.images == 0 else make_albums(store.folder, groups_of(cells), choice, options.images)
    say_all(write_page(store, cells, versus, albums, layout))
    show_page(store.folder / NAME, options.opened)
