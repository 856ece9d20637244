"""The store: one file per cell, content-addressed by everything that decides its rows, written atomically."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from denoisebench.errors import UserError
from denoisebench.evaluation import Row, row_of
from denoisebench.provenance import full_digest
from denoisebench.training import write_text

FORMAT = 1


@dataclass
class StoredCell:
    """What is known of one cell.

    Parameters
    ----------
    identity : everything that decides the rows; the key is its hash
    about : what only explains them: label, told, training, warnings, machine
    rows : by (image, repeat)
    """

    identity: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    rows: dict[tuple[str, int], Row] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Content address."""
        return full_digest(self.identity)[:16]


class Store:
    """A results folder: ``cells/KEY.json``, ``models/``, and the tables made from them.

    Parameters
    ----------
    folder : made if it does not exist

    Raises
    ------
    UserError
        The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, create: bool = True) -> None:
        self.folder = folder
        if not create:
            if not self.cells.is_dir():
                raise UserError(f"Folder {folder} holds no results (no cells/ in it).")
            return
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            probe = self.cells / f".write-test-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"Cannot write results to {folder} ({error.strerror}). Choose a writable folder with --out."
            ) from None

    @property
    def cells(self) -> Path:
        """Folder of the cell files."""
        return self.folder / "cells"

    @property
    def models(self) -> Path:
        """Folder of the trained networks."""
        return self.folder / "models"

    def read(self, identity: Mapping[str, Any]) -> StoredCell:
        """The cell of that identity, empty if it was never written."""
        cell = StoredCell(dict(identity))
        path = self.cells / f"{cell.key}.json"
        return _parse(path) if path.is_file() else cell

    def write(self, cell: StoredCell) -> None:
        """Write a cell whole; a crash leaves the previous file."""
        data = {
            "format": FORMAT,
            "identity": cell.identity,
            "about": cell.about,
            "rows": [_finite(asdict(row)) for row in cell.rows.values()],
        }
        write_text(self.cells / f"{cell.key}.json", json.dumps(data, indent=1))

    def all(self) -> Iterator[StoredCell]:
        """Every stored cell with at least one row."""
        for path in sorted(self.cells.glob("*.json")):
            cell = _parse(path)
            if cell.rows:
                yield cell


def _parse(path: Path) -> StoredCell:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows: Iterable[Row] = (row_of({**row, "psnr": float(row["psnr"])}) for row in data["rows"])
        return StoredCell(data["identity"], data["about"], {(row.image, row.repeat): row for row in rows})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"Result file {path} is damaged ({error}). Move it away; its cell will be computed again."
        ) from None


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    # JSON has no infinity; a perfect result is stored as text.
    return {**row, "psnr": "inf"} if math.isinf(row["psnr"]) else row
