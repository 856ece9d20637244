"""The files of a results folder: scores.csv, table.md, table.tex, made from everything stored in it."""

from __future__ import annotations

from denoisebench.core.files import write_text
from denoisebench.core.systemfiles import own_entries
from denoisebench.reports.render import latex, markdown, scores_csv
from denoisebench.reports.table import Table, build_table
from denoisebench.results.store import Store, collection_paused
from denoisebench.results.summary import current


def outdated(store: Store) -> bool:
    """Whether a cell was written after the reports, as after an interruption, or there are no reports."""
    reports = [store.folder / name for name in ("scores.csv", "table.md", "table.tex")]
    if not all(path.is_file() for path in reports):
        return True
    written = min(path.stat().st_mtime_ns for path in reports)
    return any(path.stat().st_mtime_ns > written for path in own_entries(store.cells, "*.json"))


def flaws(store: Store) -> list[str]:
    """What is to be said below a table of the files that a store has just read."""
    return [f"WARNING: {text}" for text in store.damaged]


def write_reports(store: Store) -> Table:
    """Make the reports of a results folder anew from its cells."""
    with collection_paused():
        cells = sorted(store.all(), key=lambda cell: str(cell.about["written"]))
        table = build_table(cells, flaws(store))
        write_text(store.folder / "scores.csv", scores_csv(current(cells)[0]))
        write_text(store.folder / "table.md", markdown(table))
        write_text(store.folder / "table.tex", latex(table))
    return table
