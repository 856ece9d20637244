"""Rows on their way to disk: when a cell is written, and by whom."""

from __future__ import annotations

import time
from typing import Any

from denoisebench.core.files import write_text
from denoisebench.core.text import file_part
from denoisebench.execution.cellprogress import CellProgress
from denoisebench.execution.claims import Claims
from denoisebench.execution.tasks import Failed
from denoisebench.protocol.protocol import Row
from denoisebench.results.store import Store, StoredCell

# A cell is saved after every image, unless writing it, so many seconds per row, would take more than this part of the
# time; then as often as that allows, and at least every so many seconds. (Not by the clock: on a busy machine a write
# takes long now and then, and the images after it would be lost with the process.)
ROW_SECONDS, SAVE_SHARE, SAVE_SECONDS = 1e-5, 0.2, 1.0


class RowSaver:
    """Writes the rows of cells that this run has claimed, and those only.

    Parameters
    ----------
    store : Store
        The results folder.
    claims : Claims
        Of this run on that folder.
    """

    def __init__(self, store: Store, claims: Claims) -> None:
        self._store, self._claims = store, claims
        self._saved: dict[int, float] = {}
        self._unsaved: set[int] = set()

    def add(self, work: CellProgress, row: Row) -> bool:
        """Take a row, and save its cell when it is time; see `save`."""
        work.stored.rows[row.image, row.repeat] = row
        work.computed += 1
        self._unsaved.add(work.number)
        due = min(SAVE_SECONDS, len(work.stored.rows) * ROW_SECONDS / SAVE_SHARE)
        return time.monotonic() - self._saved.get(work.number, 0.0) <= due or self.save(work)

    def save(self, work: CellProgress) -> bool:
        """Write what is new of a cell; False where another run has taken the cell over meanwhile."""
        if work.number not in self._unsaved:
            return True
        if not self._claims.ours(work.stored.key):
            return False
        work.sort()
        self._store.write(work.stored)
        self._saved[work.number] = time.monotonic()
        self._unsaved.discard(work.number)
        return True

    def finish(self, work: CellProgress) -> bool:
        """Write a cell of which nothing more will come; see `save`."""
        if work.computed:
            self._unsaved.add(work.number)
        return self.save(work)

    def reason(self, event: Failed, method: str, key: str) -> str:
        """Why a task failed, in one sentence; the traceback of an error that nobody foresaw is left in the folder."""
        if not event.trace:
            return event.reason
        path = self._store.folder / f"error-{file_part(method)}-{key}.txt"
        write_text(path, event.trace)
        return f"{event.reason} (traceback in {path})"


def note_machine(stored: StoredCell, machine: dict[str, Any]) -> None:
    """Record what rows were computed on; where several machines worked on a cell, all of them."""
    first = stored.about.get("machine")
    if not first:
        stored.about["machine"] = machine
    elif machine != first and machine not in stored.about.get("machines", []):
        stored.about["machines"] = [*(stored.about.get("machines") or [first]), machine]
