"""The networks that cells of a run wait for: which are trained, and which are still to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from denoisebench.execution.cellprogress import TrainingProgress
from denoisebench.training.job import TrainingJob
from denoisebench.training.records import record_of


class Trainings:
    """One `TrainingProgress` for each training, however many cells wait for it.

    Parameters
    ----------
    models : Path
        Folder of the trained networks.
    say : callable
        Is told why a record cannot be used.
    """

    def __init__(self, models: Path, say: Callable[[str], None]) -> None:
        self._models, self._say = models, say
        self._known: dict[str, TrainingProgress] = {}
        self._records: dict[str, dict[str, Any]] = {}

    def of(self, job: TrainingJob) -> TrainingProgress:
        """The progress of a training."""
        return self._known.setdefault(job.key, TrainingProgress(job))

    def record(self, job: TrainingJob) -> dict[str, Any] | None:
        """The record of a finished training, or None."""
        found = self._records.get(job.key) or record_of(job, self._models, self._say)
        if found is not None:
            self._records[job.key] = found
        return found

    def ready(self, training: TrainingProgress) -> bool:
        """Whether the network is there."""
        return not training.running and self.record(training.job) is not None

    def due(self, training: TrainingProgress) -> bool:
        """Whether the network is still to be trained, and nobody is at it."""
        return not (training.running or training.failure or self.ready(training))
