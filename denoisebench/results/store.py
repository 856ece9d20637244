"""The store: one file per cell, content-addressed by everything that decides its rows, written atomically."""

from __future__ import annotations

import gc
import math
import os
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError, UserErrors
from denoisebench.core.files import (
    CannotWrite,
    Damaged,
    clear_stale,
    make_folder,
    sealed,
    set_aside,
    temporary_beside,
    unsealed,
    write_text,
)
from denoisebench.core.provenance import full_digest
from denoisebench.core.schema import ABOUT, IDENTITY, flaw
from denoisebench.core.systemfiles import own_entries
from denoisebench.protocol.protocol import Row, row_of

FORMAT = 2
_LEFT_OUT = "It is left out."
_WITH_OUT = "Where the command has --out, that says which."
# The types that a value of a row may have in JSON, where 20.0 may have become 20; type() tells True from 1.
_ROW_TYPES = {
    name: frozenset(
        number
        for option in typing.get_args(kind) or (kind,)
        for number in ((int, float) if option is float else (option,))
    )
    for name, kind in typing.get_type_hints(Row).items()
}
# Beyond these nothing was measured, and sums overflow.
_ROW_BOUNDS: Mapping[str, tuple[float, float]] = {
    "repeat": (0, 2**53), "psnr": (-1e4, 1e4), "ssim": (-10, 10), "seconds": (0, 1e12), "level": (0, 1e12),
    "steps": (0, 2**53), "tile": (0, 2**53), "estimate": (0, 1e12), "multiply_adds": (0, 1e15),
    "memory": (0, 2**53),
}  # fmt: skip
# The bounds that apply, by names and types of a row that were found right before: rows differ in their values mostly.
_KNOWN: dict[tuple[Any, ...], Sequence[tuple[str, float, float]]] = {}


@dataclass
class StoredCell:
    """What is known of one cell.

    Parameters
    ----------
    identity : dict[str, Any]
        Everything that decides the rows, never changed once made; the key is its hash.
    about : dict[str, Any]
        What only explains them: label, told, training, warnings, machine.
    rows : dict[tuple[str, int], Row]
        By (image, repeat).
    """

    identity: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    rows: dict[tuple[str, int], Row] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Content address."""
        return full_digest(self.identity)[:16]

    @cached_property
    def protocol_digest(self) -> str:
        """Of the protocol that was stored, not the fingerprint that stands beside it."""
        return full_digest(self.identity["protocol"])


class Store:
    """A results folder: ``cells/KEY.json``, ``models/``, and the tables made from them.

    Parameters
    ----------
    folder : Path
        Where it is.
    create : bool
        Make the folder if it does not exist; otherwise only read from one that does.

    Raises
    ------
    UserError
        The folder cannot be made or written to, or there are no results to read.
    """

    def __init__(self, folder: Path, create: bool = True) -> None:
        self.folder = folder
        self._writable = create
        #: What `read` moved away, and what the last `all` left out; a sentence each.
        self.moved: list[str] = []
        self.damaged: list[str] = []
        if not create:
            if not self.cells.is_dir():
                other = folder / "reference-free.md"
                there = f" Estimates without clean images are in {other}." if other.is_file() else ""
                raise UserError(f"Folder {folder} holds no results (no cells/ in it).{there}")
            return
        try:
            make_folder(self.cells)
            probe = temporary_beside(self.cells / "probe")
            probe.touch(exist_ok=False)
            probe.unlink()
        except CannotWrite as error:
            raise CannotWrite(f"{error} {_WITH_OUT}") from None
        except OSError as error:
            raise UserError(
                f"Cannot write results to {folder} ({error.strerror}). Make it writable, or choose another. {_WITH_OUT}"
            ) from None
        for place in (self.folder, self.cells, self.models, self.folder / "claims", self.folder / "fits"):
            clear_stale(place)

    @classmethod
    def look(cls, folder: Path) -> Store:
        """A results folder as it is, there or not: nothing is made, moved or removed."""
        store = cls.__new__(cls)
        store.folder, store._writable, store.moved, store.damaged = folder, False, [], []
        return store

    @property
    def cells(self) -> Path:
        """Folder of the cell files."""
        return self.folder / "cells"

    @property
    def models(self) -> Path:
        """Folder of the trained networks."""
        return self.folder / "models"

    def read(self, identity: Mapping[str, Any]) -> StoredCell:
        """The cell of that identity, empty if it was never written or its file is damaged.

        A damaged file is moved into ``cells/damaged/``, unless this folder is only looked at; `moved` says so.
        """
        cell = StoredCell(dict(identity))
        path = self.cells / f"{cell.key}.json"
        if not os.path.lexists(path):
            return cell
        try:
            return _cell_of(path, _content(path), cell)
        except Damaged as error:
            if not self._writable:
                self.moved.append(f"{error} It is computed again.")
                return cell
            self.moved.append(f"{error} Moved into {set_aside(path).parent}; it is computed again.")
            return cell

    def write(self, cell: StoredCell) -> None:
        """Write a cell whole; a crash leaves the previous file.

        Raises
        ------
        CannotWrite
            The disk is full, ...
        """
        data = {
            "identity": cell.identity,
            "about": cell.about,
            "rows": [_finite(row._asdict()) for row in cell.rows.values()],
        }
        write_text(self.cells / f"{cell.key}.json", sealed(data, FORMAT))

    def note_failure(self, title: str, reason: str) -> None:
        """Keep why a cell failed, for reports, until it does not fail any more; '' for that."""
        key = full_digest({"title": title})[:16]
        path = self._failed / f"{key}.json"
        if reason:
            make_folder(path.parent)
            write_text(path, sealed({"title": title, "reason": reason}, FORMAT))
        else:
            path.unlink(missing_ok=True)

    def failures(self) -> list[str]:
        """A sentence for every cell that failed when it was computed last."""
        found = []
        for path in own_entries(self._failed, "*.json") if self._failed.is_dir() else ():
            with suppress(Damaged, KeyError):  # no result is lost with it
                data = unsealed(path, (FORMAT,))
                found.append(f"FAILED: {data['title']}: {str(data['reason']).removesuffix('.')}.")
        return sorted(found)

    @property
    def _failed(self) -> Path:
        return self.folder / "failed"

    def files(self) -> list[Path]:
        """The cell files, sorted, without those of other programs (``._x`` of macOS)."""
        return list(own_entries(self.cells, "*.json"))

    def all(self, without: Collection[str] = ()) -> list[StoredCell]:
        """Every intact cell with at least one row, without those of some keys; `damaged` names the other files."""
        self.damaged = []
        cells = []
        with collection_paused():
            for path in self.files():
                if path.stem in without:
                    continue
                try:
                    cell = _cell_of(path, _content(path))
                    _check_reportable(path, cell)
                except Damaged as error:
                    self.damaged.append(f"{error} {_LEFT_OUT}")
                    continue
                if cell.rows:
                    cells.append(cell)
        return cells

    def intact(self) -> list[StoredCell]:
        """What `all` returns, where nothing may be left out.

        Raises
        ------
        UserError
            A file is damaged.
        """
        cells = self.all()
        if self.damaged:
            flaws = " ".join(text.removesuffix(f" {_LEFT_OUT}") for text in self.damaged)
            raise UserError(f"{flaws} Run what made it again, which computes it anew, or remove the file.")
        return cells

    @contextmanager
    def naming_damaged(self) -> Iterator[None]:
        """Add to a mistake, such as an unknown method, what the last `all` left out: that may be what was meant."""
        try:
            yield
        except UserError as error:
            if not self.damaged:
                raise
            raise UserErrors([error, *map(UserError, self.damaged)]) from error


@contextmanager
def collection_paused() -> Iterator[None]:
    """Without the search for cyclic garbage, which finds none in cells and takes a third of the time to read many."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _content(path: Path) -> dict[str, Any]:
    """The JSON of a cell file, its checksum compared; raises `Damaged`."""
    data = unsealed(path, (FORMAT,))
    if data.keys() != {"format", "identity", "about", "rows"}:
        raise Damaged(f"{path} is damaged: it has the parts {', '.join(sorted(data))}.")
    return data


def _cell_of(path: Path, data: Mapping[str, Any], wanted: StoredCell | None = None) -> StoredCell:
    """The cell of a file's content, if it is complete, of the right types and of the identity in the file's name.

    The cell that is ``wanted`` tells that identity without another hash.
    """

    def need(holds: bool, what: str) -> None:
        if not holds:
            raise Damaged(f"{path} is damaged: {what}.")

    identity, about, rows = data["identity"], data["about"], data["rows"]
    need(isinstance(identity, dict) and isinstance(about, dict) and isinstance(rows, list), "its parts are no objects")
    cell = StoredCell(identity, about)
    if wanted is not None and wanted.identity == identity:
        cell.key = wanted.key
    need(cell.key == path.stem, f"it is the result of another cell, whose file is called {cell.key}.json")
    for values in rows:
        row = _row_of(values)
        if row is None:
            raise Damaged(f"{path} is damaged: row {len(cell.rows) + 1} is no score.")
        cell.rows[row.image, row.repeat] = row
    need(len(cell.rows) == len(rows), "it has several rows of one image")
    return cell


def report_flaw(cell: StoredCell) -> str:
    """Why a report cannot show a cell, whose rows may be used all the same; '' if it can."""
    return flaw(cell.identity, IDENTITY, "its identity") or flaw(cell.about, ABOUT, "its about")


def _check_reportable(path: Path, cell: StoredCell) -> None:
    """Raise `Damaged` unless what a report says of a cell is there."""
    found = report_flaw(cell)
    if found:
        raise Damaged(f"{path} is damaged: {found}.")


def _row_of(values: Any) -> Row | None:
    """A row, or None if a value is missing, unknown, or of a wrong type."""
    if not isinstance(values, dict):
        return None
    if values.get("psnr") == "inf":
        values = {**values, "psnr": math.inf}
    kind = (*values, *map(type, values.values()))
    bounds = _KNOWN.get(kind)
    if bounds is None:
        if any(type(value) not in _ROW_TYPES.get(name, ()) for name, value in values.items()):
            return None
        there = (name for name, value in values.items() if name in _ROW_BOUNDS and value is not None)
        bounds = _KNOWN[kind] = [(name, *_ROW_BOUNDS[name]) for name in there]
    for name, low, high in bounds:
        # Only the text "inf" makes an infinite number.
        if not (low <= values[name] <= high or values[name] == math.inf):
            return None
    try:
        return row_of(values)
    except TypeError:
        return None


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    # JSON has no infinity; a perfect result is stored as text.
    return {**row, "psnr": "inf"} if math.isinf(row["psnr"]) else row
