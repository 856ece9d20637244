"""The files of a results folder: scores.csv, table.md, table.tex, made from everything stored in it."""

from __future__ import annotations

from denoisebench.reports.render import latex, markdown, scores_csv
from denoisebench.reports.table import Table, build_table, current
from denoisebench.results import Store
from denoisebench.training import write_text


def write_reports(store: Store) -> Table:
    """Make the reports of a results folder anew from its cells."""
    cells = sorted(store.all(), key=lambda cell: str(cell.about["written"]))
    table = build_table(cells)
    write_text(store.folder / "scores.csv", scores_csv(current(cells)[0]))
    write_text(store.folder / "table.md", markdown(table))
    write_text(store.folder / "table.tex", latex(table))
    return table
