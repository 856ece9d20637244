"""What commands print: plans, tables, ledgers, and where to go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from denoisebench.core.printing import document, line, message
from denoisebench.core.text import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from denoisebench.audit.measure import Audit
    from denoisebench.commands.options import TableOptions
    from denoisebench.experiment.cells import Experiment
    from denoisebench.experiment.file import ExperimentFile
    from denoisebench.reports.layout import Layout
    from denoisebench.results.store import Store, StoredCell


@contextmanager
def resumable(saved: str) -> Iterator[None]:
    """Say where an interrupted command goes on, instead of showing a traceback.

    Parameters
    ----------
    saved : str
        What is where, such as "The checkpoint is in FOLDER".
    """
    try:
        yield
    except KeyboardInterrupt:
        message(f"Stopped. {saved}; the same command goes on there.")
        raise typer.Exit(130) from None


def say_all(sentences: Iterable[str]) -> None:
    """Print sentences on standard error, one a line."""
    for sentence in sentences:
        message(sentence)


def show_page(path: Path, opened: bool) -> None:
    """Say where a page is, and show it in a browser if asked to."""
    path = path.resolve()
    line(path)
    if opened:
        import webbrowser

        if not webbrowser.open(path.as_uri()):
            message(f"No browser was found; open {path} in one.")


def print_plan(experiment: Experiment, out: Path) -> None:
    from tabulate import tabulate

    from denoisebench.execution.forecast import plan_lines
    from denoisebench.results.store import Store

    heads, rows, notes = plan_lines(experiment, Store.look(out))
    form = "simple" if sys.stdout.isatty() else "github"
    shown = [[one_line(text) for text in row] for row in rows]
    document(tabulate(shown, heads, tablefmt=form, disable_numparse=True, colalign=["left"] * 3 + ["right"] * 3))
    document("\n" + "\n".join(map(one_line, notes)))


def layout_of(options: TableOptions) -> Layout:
    """The layout that options of the command line describe.

    Raises
    ------
    UserErrors
        Each of them that is wrong.
    """
    from denoisebench.core.errors import Mistakes
    from denoisebench.plugins.lookup import split_list
    from denoisebench.reports.latex import page_of
    from denoisebench.reports.layout import Layout, split_label
    from denoisebench.reports.writers import format_of

    mistakes = Mistakes()
    layout = mistakes.read(
        Layout(), Layout, None if options.columns is None else split_list(options.columns), options.metric,
        dict(mistakes.read(("", ""), split_label, text) for text in options.label or []), options.caption,
    )  # fmt: skip
    mistakes.read(None, page_of, options.page)
    if options.form is not None:
        mistakes.read(None, format_of, options.form)
    mistakes.check()
    return layout


def print_paper_table(
    asked: ExperimentFile, cells: Sequence[StoredCell], notes: list[str], store: Store, literature: bool,
    options: TableOptions, print_below: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Print a table of the paper beside what was measured and what belongs below it, then write it into the folder.

    In this order, as a folder that cannot be written to can be read all the same.
    """
    from denoisebench.core.ownfiles import write_own
    from denoisebench.reports.paper import paper_table

    assert asked.paper is not None
    layout = layout_of(options)
    table = paper_table.paper_table(asked.paper, asked.title, cells, notes, literature)
    table = table if options.whole else paper_table.measured_part(table)
    stem = f"paper-table{table.number}"
    forms = {"md": "markdown", "tex": "latex", "csv": "csv"}
    contents = {
        f"{stem}.{ending}": paper_table.text_of(table, form, layout, options.page).encode()
        for ending, form in forms.items()
    }
    alone = options.form is None and cells and not options.whole and not any(e.measured for e in table.entries)
    if alone:
        line(f"Nothing that was measured stands in table {table.number} of the paper, which --whole prints. By itself:")
        line("")
        print_table(cells, notes, replace(options, columns=None))
    elif options.form is not None:
        document(paper_table.text_of(table, options.form, layout, options.page), end="")
    elif sys.stdout.isatty():
        show_on_terminal(paper_table.terminal(table, layout))
    else:
        document(paper_table.text_of(table, "markdown", layout), end="")
    print_below()
    say_all(write_own(store.folder, contents))
    if not alone and options.form is None:
        line("")
        line(f"Also as {stem}.md, .tex and .csv in {store.folder}")


def print_table(
    cells: Sequence[StoredCell], notes: list[str], options: TableOptions, methods: list[str] | None = None
) -> None:
    """Print the comparison table of some cells, or of those of some methods."""
    from denoisebench.reports import render
    from denoisebench.reports.layout import chosen_cells
    from denoisebench.reports.table import build_table

    layout = layout_of(options)
    table = build_table(chosen_cells(cells, layout), notes, methods)
    if options.form is not None or not sys.stdout.isatty():
        document(render.text_of(table, options.form or "markdown", layout, options.page), end="")
        return
    other = render.terminal_beside(table, layout)
    show_on_terminal(render.terminal(table, layout), *(["", other] if other else []))


def show_on_terminal(*found: RenderableType) -> None:
    """Print what rich draws."""
    from rich.console import Console

    Console(highlight=False).print(*found, sep="\n")


def print_ledgers(found: Audit, paper: bool) -> None:
    from denoisebench.reports import ledger as ledgers

    if not sys.stdout.isatty():
        document(ledgers.markdown(found, paper), end="")
        return
    from rich.console import Console

    Console().print(*ledgers.terminal(found, paper), sep="\n")
