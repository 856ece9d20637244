"""Which pictures a run keeps, and which of them are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.protocol.metrics import SCORINGS
from denoisebench.results.pictures import CLEAN, FOLDER, NOISY, RESULT, Place
from denoisebench.results.store import StoredCell

Pair = tuple[str, int]


class Keeper:
    """Knows what is to be kept of every scored image, and writes it.

    Parameters
    ----------
    experiment : Experiment
        Says whether images are kept, how many and in which format.
    results : Path
        The results folder.

    Raises
    ------
    UserError
        Images of a test set cannot be kept in that format.
    """

    def __init__(self, experiment: Experiment, results: Path) -> None:
        self._root, self._saving = results / FOLDER, experiment.saving
        self._kept: dict[str, frozenset[str]] = {}
        self._forms: dict[str, str] = {}
        # Clean and noisy images are left to the noisy input where it is among the methods: no other runs for them.
        self._apart = any(method.info.baseline for method in experiment.methods)
        if self._saving is not None:
            for dataset in experiment.datasets:
                self._forms[dataset.name] = self._saving.form_of(SCORINGS[dataset.scoring], dataset.channels)
                self._kept[dataset.name] = frozenset(dataset.images[: self._saving.count])

    def absent(self, cell: Cell, key: str, pair: Pair) -> tuple[str, ...]:
        """The kinds of pictures to be kept of a scored image that are not there."""
        if pair[0] not in self._kept.get(cell.dataset.name, ()):
            return ()
        # What the noisy input becomes by itself is the noisy image.
        shared = (CLEAN, NOISY) if cell.method.info.baseline or not self._apart else ()
        own = () if cell.method.info.baseline else (RESULT,)
        return self._place(cell, key, pair).absent([*shared, *own], self.form(cell))

    def missing(self, cell: Cell, stored: StoredCell) -> list[Pair]:
        """The images of a cell that have no score, or a picture that is to be kept and is not there."""
        return [pair for pair in cell.wanted if pair not in stored.rows or self.absent(cell, stored.key, pair)]

    def form(self, cell: Cell) -> str:
        """The format of a cell's pictures; '' where none are kept."""
        return self._forms.get(cell.dataset.name, "")

    def write(self, cell: Cell, key: str, pair: Pair, pictures: Mapping[str, bytes]) -> None:
        """Write pictures that an executor has made; raises `CannotWrite`."""
        if pictures:
            self._place(cell, key, pair).write(pictures, self.form(cell))

    def _place(self, cell: Cell, key: str, pair: Pair) -> Place:
        return Place(self._root, cell.protocol.described(), cell.method.text, key, *pair)
