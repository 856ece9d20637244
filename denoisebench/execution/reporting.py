"""What a run says while it works: what begins, how far it is, how long it will take, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING, Any

from denoisebench.core.limits import at_image
from denoisebench.core.progress import Bar, Progress, Quiet, duration
from denoisebench.core.text import counted
from denoisebench.execution.cellprogress import CellProgress, OpenCell, TrainingProgress
from denoisebench.execution.tasks import Advance, Done
from denoisebench.execution.whole import Whole
from denoisebench.protocol.metrics import finite
from denoisebench.protocol.protocol import Row
from denoisebench.results.pictures import ROUNDING
from denoisebench.training.job import own_seconds

if TYPE_CHECKING:
    from denoisebench.core.locks import Owner
    from denoisebench.execution.executors import Executor


class Reporter:
    """Prints messages and bars of a run, and sums up what its time went into.

    Parameters
    ----------
    progress : Progress
        Where lines and bars go.
    executor : Executor
        Whose number of processes is told.
    """

    def __init__(self, progress: Progress, executor: Executor) -> None:
        self._progress, self._executor = progress, executor
        self.say = progress.say
        self._busy = self._method = self._metrics = 0.0
        self._whole: Whole | None = None
        self._bar: Bar | None = None
        self._trainings: dict[str, float] = {}
        self._inside: dict[int, float] = {}

    @contextmanager
    def run(self, whole: Whole) -> Iterator[None]:
        """Show how far the whole run is, above the bars of its parts where there is room for several."""
        self._whole, self._bar = whole, Bar(self._progress, "run")
        try:
            yield
        finally:
            self._bar.close()
            self._whole = self._bar = None

    @property
    def _parts(self) -> Progress:
        """Where bars of cells and trainings go."""
        return self._progress if self._whole is None or self._progress.several else Quiet()

    def _show_whole(self, text: str) -> None:
        if self._whole is None or self._bar is None:
            return
        fraction = self._whole.fraction(self._trainings, self._inside)
        if fraction < 1:  # what comes then is the summary
            self._bar.update(fraction, f"{self._whole.done}/{self._whole.images} images; {text}")

    def cell_begins(self, work: CellProgress) -> Bar:
        """Open the bar of a cell."""
        return Bar(self._parts, f"denoise {work.cell.title}")

    def training_begins(self, training: TrainingProgress) -> Bar:
        """Open the bar of a training."""
        return Bar(self._parts, f"train {training.title}")

    def training_advanced(self, training: TrainingProgress, bar: Bar, event: Advance) -> None:
        """Show how far a training is."""
        bar.update(event.fraction, event.text)
        self._trainings[training.job.key] = event.fraction
        self._show_whole(f"train {training.title}  {event.text}")

    def taken(self, title: str, owner: Owner) -> None:
        """Say that another run computes something."""
        self.say(f"{title} is being computed by {owner.text}; its result will be used")

    def trained(self, training: TrainingProgress, record: Mapping[str, Any]) -> None:
        """Say what a training took, and what its record warns of."""
        self.say(f"trained {training.title}: {record['steps']} steps in {duration(own_seconds(record))}")
        for warning in record["warnings"]:
            self.say(f"WARNING: {training.title}: {warning}")

    def training_lost(self, training: TrainingProgress, reason: str) -> None:
        """Say that a training is tried again."""
        self.say(f"training of {training.title} was lost ({reason}); trying again")

    def images_lost(self, work: CellProgress, reason: str) -> None:
        """Say that images are tried again."""
        self.say(f"{work.cell.title}: {reason}; trying again")

    def failed(self, work: CellProgress) -> None:
        """Say why a cell failed."""
        self.say(f"FAILED: {work.cell.title}: {work.failure}")

    def made_again(self, work: CellProgress, stored: Row, row: Row) -> None:
        """Say where an image that was denoised again has another score than the stored one."""
        if row.psnr != stored.psnr and not abs(row.psnr - stored.psnr) <= ROUNDING:
            self.say(
                f"WARNING: {work.cell.title}{at_image((row.image, row.repeat))}: the image that is kept has "
                f"{row.psnr:.4f} dB, its stored score is {stored.psnr:.4f} dB"
            )

    def scored(self, cell: OpenCell) -> None:
        """Show how many images are done, and their mean so far."""
        rows = cell.progress.stored.rows
        self._inside.pop(cell.progress.number, None)
        self._show(cell, 0.0, f"mean {fmean(finite(row.psnr for row in rows.values())):.2f} dB")

    def advanced(self, cell: OpenCell, event: Advance) -> None:
        """Show how far the fit to an image is; once per cell, say how long they will take."""
        work = cell.progress
        each = cell.fits.seconds(event.fraction)
        if each is not None:
            total = duration(each * work.total / min(self._executor.slots, work.total))
            self.say(f"{work.cell.title}: about {duration(each)} per image like the first, {total} in all")
        inside = event.fraction if cell.in_hand == 1 else 0.0
        self._inside[work.number] = inside
        self._show(cell, inside, event.text)

    def _show(self, cell: OpenCell, inside: float, text: str) -> None:
        work = cell.progress
        cell.bar.update((work.done + inside) / work.total, f"{work.done}/{work.total} {text}")
        self._show_whole(f"{work.cell.title} {work.done}/{work.total} {text}")

    def spent(self, event: Done) -> None:
        """Count the time of a finished task."""
        self._busy += event.busy
        self._method += event.method
        self._metrics += event.metrics

    def summary(self, images: int, seconds: float) -> None:
        """Say how many images were done per second, and what the workers' time went into."""
        if not images or self._busy <= 0:
            return
        outside = (self._busy - self._method - self._metrics) / self._busy
        slots = self._executor.slots
        idle = f", {max(0.0, 1 - self._busy / (slots * seconds)):.1%} idle" if slots > 1 else ""
        workers = f"{slots} workers" if slots > 1 else "one process"
        self.say(
            f"{counted(images, 'image')} in {duration(seconds)} by {workers}: {images / seconds:.2f} images/s; "
            f"{outside:.1%} of their time outside network and metric{idle}"
        )
