"""The files of a results folder: scores.csv, table.md, table.tex, made from everything stored in it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection

from denoisebench.core.files import file_sha256, read_text
from denoisebench.core.ownfiles import is_fresh, is_own, keep_own, write_own
from denoisebench.core.text import counted
from denoisebench.reports.render import latex, markdown, scores_csv
from denoisebench.reports.table import Table, build_table
from denoisebench.results.store import Store, collection_paused
from denoisebench.results.summary import current

REPORTS = ("scores.csv", "table.md", "table.tex")


def source_digest(store: Store) -> str:
    """SHA-256 over the names and contents of all cell files, and over what failed."""
    digest = hashlib.sha256()
    for path in store.files():
        content = file_sha256(path) if path.is_file() else "no file"
        digest.update(f"{path.name} {content}\n".encode(errors="surrogateescape"))
    for failure in store.failures():
        digest.update(failure.encode(errors="surrogateescape"))
    return digest.hexdigest()


def outdated(store: Store) -> bool:
    """Whether the reports are not those of the stored cells: after an interruption, a merge, a change by hand."""
    return not is_fresh(store.folder, REPORTS, source_digest(store))


def flaws(store: Store) -> list[str]:
    """What is to be said below a table of the files that a store has just read."""
    return [f"WARNING: {text}" for text in store.damaged]


def shortcomings(store: Store) -> list[str]:
    """`flaws`, and what failed when it was computed last: what a whole table of the folder lacks, and why."""
    return [*flaws(store), *store.failures()]


def write_reports(store: Store) -> tuple[Table, list[str]]:
    """Make the reports of a results folder anew from its cells.

    Returns
    -------
    tuple[Table, list[str]]
        The table, and a sentence for every file of the user's own that has another name now.
    """
    with collection_paused():
        # Before the cells are read: what changes meanwhile makes the reports outdated.
        source = source_digest(store)
        cells = sorted(store.all(), key=lambda cell: str(cell.about["written"]))
        table = build_table(cells, shortcomings(store))
        kept = _keep_scores(store, {cell.key for cell in cells})
        texts = (scores_csv(current(cells)[0]), markdown(table), latex(table))
        said = kept + write_own(store.folder, dict(zip(REPORTS, map(str.encode, texts), strict=True)), source)
    return table, said


def _keep_scores(store: Store, cells: Collection[str]) -> list[str]:
    """Keep a scores.csv with scores of cells that are damaged now: theirs may be all that is left of them."""
    path = store.folder / REPORTS[0]
    if not store.damaged or not is_own(path):
        return []
    listed = {line.get("cell") for line in csv.DictReader(io.StringIO(read_text(path), newline=""))}
    lost = listed.difference(cells, [None])
    if not lost:
        return []
    what = f"{counted(len(lost), 'result')} whose {'file is' if len(lost) == 1 else 'files are'} damaged or gone"
    return [f"{path} has the scores of {what}; it is now {keep_own(path)}."]
