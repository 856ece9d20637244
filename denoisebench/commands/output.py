"""What commands print: plans, tables, ledgers, and where to go on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from denoisebench.core.printing import document, line, message
from denoisebench.core.text import one_line

if TYPE_CHECKING:
    from denoisebench.audit.measure import Audit
    from denoisebench.experiment.cells import Experiment
    from denoisebench.experiment.file import ExperimentFile
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


def print_plan(experiment: Experiment, out: Path) -> None:
    from tabulate import tabulate

    from denoisebench.execution.forecast import plan_lines
    from denoisebench.results.store import Store

    heads, rows, notes = plan_lines(experiment, Store.look(out))
    form = "simple" if sys.stdout.isatty() else "github"
    shown = [[one_line(text) for text in row] for row in rows]
    document(tabulate(shown, heads, tablefmt=form, disable_numparse=True, colalign=["left"] * 3 + ["right"] * 3))
    document("\n" + "\n".join(map(one_line, notes)))


def print_paper_table(
    asked: ExperimentFile, cells: Sequence[StoredCell], notes: list[str], store: Store, literature: bool
) -> None:
    from denoisebench.core.ownfiles import write_own
    from denoisebench.reports.paper import paper_table

    assert asked.paper is not None
    table = paper_table.paper_table(asked.paper, asked.title, cells, notes, literature)
    stem = f"paper-table{table.number}"
    forms = {"md": paper_table.markdown, "tex": paper_table.latex, "csv": paper_table.csv_text}
    contents = {f"{stem}.{ending}": form(table).encode() for ending, form in forms.items()}
    say_all(write_own(store.folder, contents))
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(paper_table.terminal(table))
    else:
        document(paper_table.markdown(table), end="")
    line("")
    line(f"Also as {stem}.md, .tex and .csv in {store.folder}")


def print_table(cells: Sequence[StoredCell], notes: list[str]) -> None:
    from denoisebench.reports import render
    from denoisebench.reports.table import build_table

    table = build_table(cells, notes)
    if sys.stdout.isatty():
        from rich.console import Console

        console, other = Console(), render.terminal_beside(table)
        console.print(render.terminal(table), *([other] if other else []))
    else:
        document(render.markdown(table), end="")


def print_ledgers(found: Audit, paper: bool) -> None:
    from denoisebench.reports import ledger as ledgers

    if not sys.stdout.isatty():
        document(ledgers.markdown(found, paper), end="")
        return
    from rich.console import Console

    Console().print(*ledgers.terminal(found, paper), sep="\n")
