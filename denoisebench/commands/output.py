"""What commands print: plans, tables, ledgers, and where to go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from denoisebench.audit.measure import Audit
    from denoisebench.experiment.cells import Experiment
    from denoisebench.experiment.file import ExperimentFile
    from denoisebench.results.store import Store


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
        print(f"Stopped. {saved}; the same command goes on there.", file=sys.stderr)
        raise typer.Exit(130) from None


def print_plan(experiment: Experiment, out: Path) -> None:
    from tabulate import tabulate

    from denoisebench.execution.forecast import plan_lines
    from denoisebench.results.store import Store

    heads, rows, notes = plan_lines(experiment, Store(out))
    print(
        tabulate(
            rows,
            heads,
            tablefmt="simple" if sys.stdout.isatty() else "github",
            disable_numparse=True,
            colalign=["left"] * 3 + ["right"] * 3,
        )
    )
    print("\n" + "\n".join(notes))


def print_paper_table(asked: ExperimentFile, cells: list, notes: list[str], store: Store, literature: bool) -> None:  # type: ignore[type-arg]
    from denoisebench.core.files import write_text
    from denoisebench.reports.paper import paper_table

    assert asked.paper is not None
    table = paper_table.paper_table(asked.paper, asked.title, cells, notes, literature)
    stem = f"paper-table{table.number}"
    for ending, text in (
        ("md", paper_table.markdown(table)),
        ("tex", paper_table.latex(table)),
        ("csv", paper_table.csv_text(table)),
    ):
        write_text(store.folder / f"{stem}.{ending}", text)
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(paper_table.terminal(table))
    else:
        print(paper_table.markdown(table), end="")
    print(f"\nAlso as {stem}.md, .tex and .csv in {store.folder}")


def print_table(cells: list, notes: list[str]) -> None:  # type: ignore[type-arg]
    from denoisebench.reports import render
    from denoisebench.reports.table import build_table

    table = build_table(cells, notes)
    if sys.stdout.isatty():
        from rich.console import Console

        console, other = Console(), render.terminal_beside(table)
        console.print(render.terminal(table), *([other] if other else []))
    else:
        print(render.markdown(table), end="")


def print_ledgers(found: Audit, paper: bool) -> None:
    from denoisebench.reports import ledger as ledgers

    if not sys.stdout.isatty():
        print(ledgers.markdown(found, paper), end="")
        return
    from rich.console import Console

    Console().print(*ledgers.terminal(found, paper), sep="\n")
