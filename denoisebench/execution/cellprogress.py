"""What a run keeps of each cell and each training while it works on it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from denoisebench.core.progress import Bar
from denoisebench.execution.plan import Planned
from denoisebench.execution.tasks import CellOrder
from denoisebench.training.job import TrainingJob

# So long the first fit of a cell runs before its duration is foretold.
ETA_SECONDS = 3.0
Pair = tuple[str, int]


class CellProgress:
    """One cell on its way: what is missing of it and what came of it.

    Parameters
    ----------
    number, of : int
        Place of the cell among all cells of the run.
    entry : Planned
        The cell, and what was stored of it when the run began.
    """

    def __init__(self, number: int, of: int, entry: Planned) -> None:
        self.number, self.of, self.cell, self.stored = number, of, entry.cell, entry.stored
        self.missing: deque[Pair] = deque(entry.missing)
        self.total = len(self.missing)
        self.computed = self.made_again = 0
        self.failure = ""

    @property
    def done(self) -> int:
        """Images that were denoised: for a new score, or only to keep their pictures."""
        return self.computed + self.made_again

    @property
    def over(self) -> bool:
        """Whether nothing is left to hand out."""
        return not self.missing or bool(self.failure)

    def sort(self) -> None:
        """Put rows into the order of the test set, whatever order they came in."""
        places = {image: place for place, image in enumerate(self.cell.dataset.images)}
        self.stored.rows = dict(sorted(self.stored.rows.items(), key=lambda i: (i[0][1], places.get(i[0][0], -1))))


class FitForecast:
    """How long fits will take, from the first steps of the first one."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._said = False

    def seconds(self, fraction: float) -> float | None:
        """Seconds per image, once, when enough is known."""
        now = time.monotonic()
        # The first step also pays for what every process does once.
        first = self._first = self._first or (now, fraction)
        if self._said or not first[1] < fraction < 1 or now - first[0] < ETA_SECONDS:
            return None
        self._said = True
        return (now - first[0]) / (fraction - first[1])


@dataclass(eq=False)
class OpenCell:
    """A cell whose images are handed out: it is claimed, and its network is there.

    Parameters
    ----------
    progress : CellProgress
        The cell.
    order : CellOrder
        What its tasks have in common.
    bar : Bar
        Its progress bar.
    """

    progress: CellProgress
    order: CellOrder
    bar: Bar
    in_hand: int = 0
    tries: dict[Pair | None, int] = field(default_factory=dict)
    fits: FitForecast = field(default_factory=FitForecast)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to hand out or to wait for."""
        return not self.in_hand and self.progress.over


@dataclass
class TrainingProgress:
    """One training on its way.

    Parameters
    ----------
    job : TrainingJob
        The training.
    running : bool
        Whether an executor has it.
    failure : str
        Why it came to nothing, or ''.
    tries : int
        How often its process was lost.
    """

    job: TrainingJob
    running: bool = False
    failure: str = ""
    tries: int = 0

    @property
    def title(self) -> str:
        """One phrase for messages."""
        return f"{self.job.method.text} on {self.job.noise.id}"
