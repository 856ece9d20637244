"""Cells and trainings handed to an executor under claims, and what comes back stored.

This process alone writes result files, and only those of cells it has claimed; executors hand it rows, which are stored
as they come. Trained networks and checkpoints are written where they are made, under the claim of this run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from denoisebench.core.files import CannotWrite
from denoisebench.core.limits import at_image
from denoisebench.core.progress import Bar, Progress
from denoisebench.execution.cellprogress import CellProgress, OpenCell, Pair, TrainingProgress
from denoisebench.execution.claims import Claims
from denoisebench.execution.describe import cell_labels
from denoisebench.execution.executors import Executor
from denoisebench.execution.forecast import Cost
from denoisebench.execution.keeping import Keeper
from denoisebench.execution.reporting import Reporter
from denoisebench.execution.saving import RowSaver, note_machine
from denoisebench.execution.sharing import POLL_SECONDS, Sharing
from denoisebench.execution.tasks import (
    Advance,
    Begun,
    CellOrder,
    Conditions,
    Done,
    Evaluation,
    Event,
    Failed,
    Lost,
    Scored,
    Started,
    Training,
)
from denoisebench.execution.trainings import Trainings
from denoisebench.execution.whole import Whole
from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.experiment.preparation import FitToEachImage, NetworkToTrain, TrainedNetwork
from denoisebench.protocol.draws import Draws
from denoisebench.results.store import Store
from denoisebench.training.job import TrainingJob

# Images of one task at most: few are lost with a worker, and many spare the messages.
MOST_IMAGES = 8


@dataclass
class _ImagesInHand:
    """Images of a cell that an executor has: those not yet scored, and the one at hand."""

    task: Evaluation
    cell: OpenCell
    left: list[Pair]
    now: Pair | None = None


@dataclass
class _TrainingInHand:
    """A training that an executor has."""

    task: Training
    training: TrainingProgress
    bar: Bar


class Scheduler:
    """Hands out what is ready, takes in what comes, until nothing is left.

    A network is trained before the first cell that needs it, while cells that need none, or have theirs, go on.

    Parameters
    ----------
    experiment : Experiment
        What the cells and trainings belong to.
    store : Store
        The results folder.
    progress : Progress
        Where messages go.
    executor : Executor
        Where tasks run; it is closed at the end.
    until : float or None
        Value of ``time.monotonic()`` at which trainings stop.
    measured : bool
        Whether trainings are measured on held-out photographs.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        progress: Progress,
        executor: Executor,
        until: float | None = None,
        measured: bool = False,
    ) -> None:
        self._experiment, self._store, self._executor = experiment, store, executor
        self._until, self._measured = until, measured
        self._report = Reporter(progress, executor)
        claims = Claims(store.folder / "claims")
        self._sharing = Sharing(claims, self._report.taken)
        self._saver = RowSaver(store, claims)
        self._keeper = Keeper(experiment, store.folder)
        self._trainings = Trainings(store.models, self._report.say)
        self._open: list[OpenCell] = []
        self._in_hand: dict[int, _ImagesInHand | _TrainingInHand] = {}
        self._numbers = 0
        self._draws: Draws | None = None
        self._cannot_write: CannotWrite | None = None
        self._begun = datetime.now(UTC)

    # --- the two kinds of runs ---

    def all(self, works: Sequence[CellProgress], costs: Sequence[Cost]) -> None:
        """Compute everything that is missing of some cells, each of which is foretold to cost something."""
        start, waiting = time.monotonic(), deque(works)
        with self._report.run(Whole(works, costs)), self._closing():
            while waiting or self._open or self._in_hand:
                self._hand_out(waiting)
                self._take_in(bool(waiting))
                if self._cannot_write is not None:
                    raise self._cannot_write
                for cell in [cell for cell in self._open if cell.finished]:
                    self._open.remove(cell)
                    self._close(cell)
        self._report.summary(sum(work.done for work in works), time.monotonic() - start)

    def train(self, jobs: Sequence[TrainingJob]) -> list[TrainingProgress]:
        """Train every network that is not there yet."""
        trainings = [self._trainings.of(job) for job in jobs]
        with self._closing():
            while True:
                due = [training for training in trainings if self._trainings.due(training)]
                for training in due:
                    if self._room:
                        self._start_if_due(training)
                if not due and not self._in_hand:
                    return trainings
                self._take_in(bool(due))

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """End every process and save every cell, whatever happens inside."""
        try:
            yield
        finally:
            try:
                self._executor.close()
            finally:
                self._end()

    def _end(self) -> None:
        for entry in self._in_hand.values():
            if isinstance(entry, _TrainingInHand):
                entry.bar.close()
        try:
            for cell in self._open:
                self._save(cell.progress)
        finally:
            for cell in self._open:
                cell.bar.close()
            self._sharing.close()

    # --- handing out ---

    @property
    def _room(self) -> bool:
        return len(self._in_hand) < self._executor.slots

    def _hand_out(self, waiting: deque[CellProgress]) -> None:
        """Give the executor as much as it takes, in the order of the cells; to several processes trainings first."""
        if self._executor.slots > 1:
            for job in (work.cell.job for work in waiting):
                if job is not None and self._room:
                    self._start_if_due(self._trainings.of(job))
        for cell in self._open:
            self._start_images(cell)
        postponed: list[CellProgress] = []
        while waiting and self._room:
            work = waiting.popleft()
            opened = self._opened(work)
            if opened is not None:
                self._open.append(opened)
                self._start_images(opened)
            elif not work.over:
                postponed.append(work)
        waiting.extendleft(reversed(postponed))

    def _take_in(self, more: bool) -> None:
        if self._in_hand:
            self._executor.wait(self._handle, POLL_SECONDS)
        elif more and self._sharing.waiting:
            time.sleep(POLL_SECONDS)

    def _opened(self, work: CellProgress) -> OpenCell | None:
        """A cell made ready to hand out; None if its network is not there, another run has it, or it is over."""
        cell, key = work.cell, work.stored.key
        if cell.job is not None:
            training = self._trainings.of(cell.job)
            if not self._trainings.ready(training):
                self._start_if_due(training)
                if training.failure:
                    self._fail(work, training.failure)
                return None
        if not self._sharing.claim(key, cell.title):
            return None
        # Another run may have finished it since the plan was made.
        work.stored = self._store.read(cell.identity)
        work.missing = deque(self._keeper.missing(cell, work.stored))
        work.total = len(work.missing)
        if not work.missing:
            self._sharing.release(key)
            work.ended = True
            return None
        self._describe(work)
        return OpenCell(work, self._order(cell, key), self._report.cell_begins(work))

    def _describe(self, work: CellProgress) -> None:
        """Write beside the rows of a cell what explains them; machines of rows that were stored stay."""
        written = self._begun + timedelta(microseconds=work.number)
        earlier = work.stored.about
        work.stored.about = cell_labels(work.cell, self._record(work.cell), self._experiment, written)
        if work.stored.rows:
            work.stored.about["machine"] = earlier.get("machine", {})
            codes = [*earlier.get("harness", []), *work.stored.about["harness"]]
            work.stored.about["harness"] = list(dict.fromkeys(codes))
            work.stored.about |= {name: earlier[name] for name in ("machines",) if name in earlier}

    def _record(self, cell: Cell) -> Mapping[str, Any] | None:
        """The record of a cell's network, if it has one."""
        match cell.preparation:
            case TrainedNetwork(weights=weights):
                return weights.record
            case NetworkToTrain(job):
                return self._trainings.record(job)
            case _:
                return None

    def _order(self, cell: Cell, key: str) -> CellOrder:
        self._draws = self._draws or self._experiment.draws_source()
        conditions = Conditions(
            method=cell.method,
            noise=cell.noise,
            dataset=cell.dataset,
            draws=self._draws,
            padding=cell.protocol.padding,
            seed=cell.seed,
            device=str(cell.identity["device"]),
            tile=cell.tile,
        )
        return CellOrder(
            key=key,
            title=cell.title,
            preparation=cell.preparation,
            conditions=conditions,
            models=self._store.models.absolute(),
            fits=(self._store.folder / "fits").absolute(),
        )

    def _start_images(self, cell: OpenCell) -> None:
        """Hand out images of a cell while there is room: all at once to one process, a few at a time to several."""
        work, options = cell.progress, self._executor.options
        while self._room and not work.over:
            count = len(work.missing)
            if self._executor.slots > 1:
                fitted = isinstance(work.cell.preparation, FitToEachImage)
                count = 1 if fitted else min(MOST_IMAGES, max(1, count // (3 * self._executor.slots)))
            pairs = [work.missing.popleft() for _ in range(count)]
            cell.in_hand += 1
            key = work.stored.key
            keep = {pair: kinds for pair in pairs if (kinds := self._keeper.absent(work.cell, key, pair))}
            form = self._keeper.form(work.cell)
            task = Evaluation(cell.order, tuple(pairs), options.threads, options.time_limit, keep, form)
            self._submit(_ImagesInHand(task, cell, pairs))

    def _start_if_due(self, training: TrainingProgress) -> None:
        if not self._trainings.due(training):
            return
        job = training.job
        if not self._sharing.claim(job.stem, f"training of {training.title}"):
            return
        if self._trainings.ready(training):  # finished elsewhere, just now
            self._sharing.release(job.stem)
            return
        training.running = True
        images = self._experiment.training_data(job.data["name"])
        models, threads = self._store.models.absolute(), self._executor.options.threads
        heldout = self._experiment.heldout(job) if self._measured else None
        task = Training(job, images, models, threads, self._until, heldout)
        self._submit(_TrainingInHand(task, training, self._report.training_begins(training)))

    def _submit(self, entry: _ImagesInHand | _TrainingInHand) -> None:
        self._numbers += 1
        self._in_hand[self._numbers] = entry
        self._executor.submit(self._numbers, entry.task)

    # --- taking in ---

    def _handle(self, number: int, event: Event) -> None:
        entry = self._in_hand[number]
        if isinstance(event, Done | Failed | Lost):
            del self._in_hand[number]
        if isinstance(event, Done):
            self._report.spent(event)
        if isinstance(entry, _TrainingInHand):
            self._handle_training(entry, event)
        else:
            self._handle_images(entry, event)

    def _handle_training(self, entry: _TrainingInHand, event: Event) -> None:
        training, job = entry.training, entry.training.job
        if isinstance(event, Done | Failed | Lost):
            entry.bar.close()
            training.running = False
            self._sharing.release(job.stem)
        if isinstance(event, Advance):
            self._report.training_advanced(training, entry.bar, event)
        elif isinstance(event, Done):
            self._trained(training)
        elif isinstance(event, Failed):
            training.failure = self._saver.reason(event, job.method.name, job.key)
        elif isinstance(event, Lost):
            training.tries += 1
            if training.tries >= self._executor.tries:
                training.failure = f"training was lost {training.tries} times: {event.reason}"
            else:
                self._report.training_lost(training, event.reason)

    def _trained(self, training: TrainingProgress) -> None:
        record = self._trainings.record(training.job)
        if record is None:
            training.failure = (
                f"the trained network is not in {self._store.models}: where tasks run on other machines, --out must be "
                "a folder that all of them see"
            )
            return
        self._report.trained(training, record)

    def _handle_images(self, entry: _ImagesInHand, event: Event) -> None:
        cell, work = entry.cell, entry.cell.progress
        if isinstance(event, Done | Failed | Lost):
            cell.in_hand -= 1
        if isinstance(event, Begun):
            note_machine(work.stored, event.machine)
        elif isinstance(event, Started):
            entry.now = event.pair
        elif isinstance(event, Scored):
            self._take_row(entry, event)
        elif isinstance(event, Advance):
            self._report.advanced(cell, event)
        elif isinstance(event, Failed):
            self._fail(work, self._saver.reason(event, work.cell.method.name, work.stored.key))
        elif isinstance(event, Lost):
            self._lost(entry, event)

    def _take_row(self, entry: _ImagesInHand, event: Scored) -> None:
        """Pictures first: a row whose pictures cannot be written is not stored, and computed again."""
        work, row = entry.cell.progress, event.row
        pair = (row.image, row.repeat)
        entry.left.remove(pair)
        entry.now = None
        try:
            self._keeper.write(work.cell, work.stored.key, pair, event.pictures)
            if pair in work.stored.rows:
                work.made_again += 1
                self._report.made_again(work, work.stored.rows[pair], row)
            elif not self._saver.add(work, row):
                self._fail_taken_over(work)
        except CannotWrite as error:
            # A serial executor takes this for a failure of the task; nothing more can be stored, so the run ends.
            self._cannot_write = error
            raise
        self._report.scored(entry.cell)

    def _lost(self, entry: _ImagesInHand, event: Lost) -> None:
        cell, work, where = entry.cell, entry.cell.progress, at_image(entry.now)
        work.missing.extendleft(reversed(entry.left))
        cell.tries[entry.now] = cell.tries.get(entry.now, 0) + 1
        if cell.tries[entry.now] >= self._executor.tries:
            self._fail(work, f"{event.reason}{where}, {cell.tries[entry.now]} times")
        else:
            self._report.images_lost(work, f"{event.reason}{where}")

    def _fail(self, work: CellProgress, reason: str) -> None:
        if not work.failure:
            work.failure = reason
            self._report.failed(work)

    def _fail_taken_over(self, work: CellProgress) -> None:
        self._fail(work, "another run took this cell over while this one did not answer; run again to read it")

    def _save(self, work: CellProgress) -> None:
        if not self._saver.save(work):
            self._fail_taken_over(work)

    def _close(self, cell: OpenCell) -> None:
        if not self._saver.finish(cell.progress):
            self._fail_taken_over(cell.progress)
        self._sharing.release(cell.progress.stored.key)
        cell.progress.ended = True
        cell.bar.close()
