"""How far a whole run is: cells weighted by what they are foretold to take, so that what is left can be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from denoisebench.core.errors import UserError
from denoisebench.execution.cellprogress import CellProgress
from denoisebench.execution.forecast import REFERENCE, Cost, estimate
from denoisebench.execution.plan import Planned
from denoisebench.experiment.cells import Experiment
from denoisebench.results.store import Store


def foretold(planned: Sequence[Planned], experiment: Experiment, store: Store) -> Sequence[Cost]:
    """What every planned cell is foretold to cost; nothing is known where a training set is not here."""
    jobs = [entry.cell.job for entry in planned if entry.cell.job is not None and entry.missing]
    try:
        sets = {job.data["name"]: experiment.training_data(job.data["name"]) for job in jobs}
        counts = {name: sum(map(data.captures, data.images)) or len(data.images) for name, data in sets.items()}
    except UserError:
        return [Cost(len(entry.missing), False, 0, None, "never timed") for entry in planned]
    return estimate(planned, store, counts)


def in_all(costs: Sequence[Cost]) -> tuple[float, bool] | None:
    """Seconds of all cells, and whether some are those of another machine; None where some were never timed."""
    seconds = [cost.seconds for cost in costs]
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return None
    return sum(known), any(REFERENCE in cost.source for cost in costs)


class Whole:
    """The finished part of a run.

    Parameters
    ----------
    works : Sequence[CellProgress]
        The cells that are computed.
    costs : Sequence[Cost]
        What each is foretold to cost.
    """

    def __init__(self, works: Sequence[CellProgress], costs: Sequence[Cost]) -> None:
        self._works = list(works)
        timed = [(cost.seconds - cost.training) / cost.images for cost in costs if cost.seconds and cost.images]
        # What was never timed takes as long as other images do.
        usual = sum(timed) / len(timed) if timed else 1.0
        self._weights = [
            (cost.training, cost.images * usual if cost.seconds is None else cost.seconds - cost.training)
            for cost in costs
        ]
        self.images = sum(work.total for work in works)

    @property
    def done(self) -> int:
        """Images that were denoised."""
        return sum(work.done for work in self._works)

    def fraction(self, trainings: Mapping[str, float], inside: Mapping[int, float]) -> float:
        """The finished part.

        Parameters
        ----------
        trainings : Mapping[str, float]
            How far each training is, by its key.
        inside : Mapping[int, float]
            How far the image at hand is, by the number of its cell.
        """
        finished = total = 0.0
        for work, (training, denoising) in zip(self._works, self._weights, strict=True):
            total += training + denoising
            if work.failure or work.ended:
                finished += training + denoising
                continue
            key = work.cell.job.key if work.cell.job else ""
            finished += training * (1.0 if work.done else trainings.get(key, 0.0))
            finished += denoising * min(1.0, (work.done + inside.get(work.number, 0.0)) / max(1, work.total))
        return finished / total if total else 1.0
