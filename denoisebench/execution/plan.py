"""What a run will do: every cell of an experiment, what is stored of it and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from denoisebench.core.text import counted
from denoisebench.evaluation.fit import fit_text
from denoisebench.execution.keeping import Keeper
from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.experiment.preparation import FitToEachImage, NetworkToTrain, NothingToPrepare, TrainedNetwork
from denoisebench.results.store import Store, StoredCell, collection_paused


@dataclass(frozen=True)
class Planned:
    """What a run will do for one cell.

    Parameters
    ----------
    cell : Cell
        The cell.
    stored : StoredCell
        What is stored of it.
    missing : Sequence[tuple[str, int]]
        (image, repeat) pairs to compute, or whose pictures are to be made again.
    """

    cell: Cell
    stored: StoredCell
    missing: Sequence[tuple[str, int]]

    @property
    def state(self) -> str:
        """One phrase: stored, skipped, or what is to be computed, and with which network."""
        cell = self.cell
        if cell.skip:
            return f"skipped: {cell.skip}"
        if not self.missing:
            return "stored"
        images = f"{len(self.missing)} of {counted(len(cell.wanted), 'image')}"
        if all(pair in self.stored.rows for pair in self.missing):
            images += ", to keep them"
        match cell.preparation:
            case TrainedNetwork(weights=weights):
                return f"{images}, trained network {weights.path.stem}"
            case FitToEachImage(method, recipe):
                return f"{images}, {fit_text(method, recipe)}"
            case NetworkToTrain(job):
                return f"{images}, training {job.recipe.text}, seed {job.recipe.seed}"
            case NothingToPrepare():
                return images


def plan(experiment: Experiment, store: Store) -> list[Planned]:
    """Every cell of an experiment and what is missing of it; computes nothing."""
    planned, keeper = [], Keeper(experiment, store.folder)
    with collection_paused():
        for cell in experiment.cells():
            stored = StoredCell(dict(cell.identity)) if cell.skip else store.read(cell.identity)
            planned.append(Planned(cell, stored, [] if cell.skip else keeper.missing(cell, stored)))
    return planned
