"""Cells and trainings handed to an executor under claims, and what comes back stored.

This process alone writes result files, and only those of cells it has claimed; executors hand it rows, which are stored
as they come. Trained networks and checkpoints are written where they are made, under the claim of this run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

from denoisebench.core.files import write_text
from denoisebench.core.progress import Progress, duration
from denoisebench.core.progress import Task as ProgressTask
from denoisebench.execution.claims import Claims
from denoisebench.execution.describe import about
from denoisebench.execution.executors import Executor
from denoisebench.execution.plan import Planned, missing_of
from denoisebench.execution.tasks import (
    Advance,
    Begun,
    CellOrder,
    Done,
    Evaluation,
    Event,
    Failed,
    Lost,
    Scored,
    Started,
    Task,
    Training,
)
from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.protocol.draws import Draws
from denoisebench.protocol.metrics import finite
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.job import TrainingJob
from denoisebench.training.records import record_of

# A cell is saved after every image, unless writing it, so many seconds per row, would take more than this part of the
# time; then as often as that allows, and at least every so many seconds. (Not by the clock: on a busy machine a write
# takes long now and then, and the images after it would be lost with the process.)
ROW_SECONDS, SAVE_SHARE, SAVE_SECONDS = 1e-5, 0.2, 1.0
# So long the first fit of a cell runs before its duration is foretold.
ETA_SECONDS = 3.0
# How often we look whether another run has finished what it claimed.
POLL_SECONDS = 1.0
# Images of one task at most: few are lost with a worker, and many spare the messages.
MOST_IMAGES = 8


class _Foretelling:
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


class CellProgress:
    """One cell on its way: what is missing of it, what is in hand, what came of it."""

    def __init__(self, number: int, of: int, entry: Planned) -> None:
        self.number, self.of, self.cell, self.stored = number, of, entry.cell, entry.stored
        self.missing: deque[tuple[str, int]] = deque(entry.missing)
        self.total = len(self.missing)
        self.computed = self.in_hand = 0
        self.failure = ""
        self.opened = False
        self.tries: dict[tuple[str, int] | None, int] = {}
        self.saved = 0.0
        self.dirty = False
        self.fits = _Foretelling()
        self.bar: ProgressTask | None = None
        self.order: CellOrder | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to hand out or to wait for."""
        return not self.in_hand and (not self.missing or bool(self.failure))

    def sort(self) -> None:
        """Put rows into the order of the test set, whatever order they came in."""
        places = {image: place for place, image in enumerate(self.cell.dataset.images)}
        self.stored.rows = dict(sorted(self.stored.rows.items(), key=lambda i: (i[0][1], places.get(i[0][0], -1))))


@dataclass
class TrainingProgress:
    """One training on its way."""

    job: TrainingJob
    running: bool = False
    failure: str = ""
    tries: int = 0


@dataclass
class _InHand:
    """One task that an executor has."""

    task: Task
    work: CellProgress | None
    net: TrainingProgress | None
    left: list[tuple[str, int]]
    now: tuple[str, int] | None = None
    bar: ProgressTask | None = None
    stack: ExitStack = field(default_factory=ExitStack)


class Scheduler:
    """Hands out what is ready, takes in what comes, until nothing is left.

    A network is trained before the first cell that needs it, while cells that need none, or have theirs, go on.
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
        self._experiment, self._store, self._progress, self._executor = experiment, store, progress, executor
        self._until, self._measured = until, measured
        self._claims = Claims(store.folder / "claims")
        self._in_hand: dict[int, _InHand] = {}
        self._numbers = 0
        self._nets: dict[str, TrainingProgress] = {}
        self._elsewhere: dict[str, float] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._stacks: dict[int, ExitStack] = {}
        self._draws: Draws | None = None
        self._begun = datetime.now(UTC)
        self._spent = [0.0, 0.0, 0.0]

    # --- the two kinds of runs ---

    def all(self, works: Sequence[CellProgress]) -> None:
        """Compute everything that is missing of some cells."""
        start, waiting = time.monotonic(), deque(works)
        open_works: list[CellProgress] = []
        try:
            while waiting or open_works or self._in_hand:
                self._hand_out(waiting, open_works)
                self._take_in(bool(waiting))
                for work in [work for work in open_works if work.finished]:
                    open_works.remove(work)
                    self._close(work)
        finally:
            try:
                self._executor.close()
            finally:
                self._end(open_works)
        self._summary(sum(work.computed for work in works), time.monotonic() - start)

    def train(self, jobs: Sequence[TrainingJob]) -> list[TrainingProgress]:
        """Train every network that is not there yet."""
        nets = [self._net(job) for job in jobs]
        try:
            while True:
                todo = [net for net in nets if not (net.running or net.failure or self._ready(net))]
                for net in todo:
                    if len(self._in_hand) < self._executor.slots:
                        self._start_if_needed(net)
                if not todo and not self._in_hand:
                    return nets
                self._take_in(bool(todo))
        finally:
            try:
                self._executor.close()
            finally:
                self._end([])

    def _end(self, open_works: Sequence[CellProgress]) -> None:
        for entry in self._in_hand.values():
            entry.stack.close()
        try:
            for work in open_works:
                self._save(work)
        finally:
            for work in open_works:
                self._stacks[work.number].close()
            self._claims.close()

    # --- handing out ---

    def _hand_out(self, waiting: deque[CellProgress], open_works: list[CellProgress]) -> None:
        """Give the executor as much as it takes, in the order of the cells; to several processes trainings first."""
        if self._executor.slots > 1:
            for job in (work.cell.job for work in waiting):
                if job is not None and len(self._in_hand) < self._executor.slots:
                    self._start_if_needed(self._net(job))
        for work in open_works:
            while len(self._in_hand) < self._executor.slots and work.missing and not work.failure:
                self._start_images(work)
        postponed: list[CellProgress] = []
        while waiting and len(self._in_hand) < self._executor.slots:
            work = waiting.popleft()
            if not self._open(work):
                if not work.failure:
                    postponed.append(work)
                continue
            open_works.append(work)
            while len(self._in_hand) < self._executor.slots and work.missing:
                self._start_images(work)
        waiting.extendleft(reversed(postponed))

    def _take_in(self, more: bool) -> None:
        if self._in_hand:
            self._executor.wait(self._handle, POLL_SECONDS)
        elif more and self._elsewhere:
            time.sleep(POLL_SECONDS)

    def _open(self, work: CellProgress) -> bool:
        """Whether images of a cell can be handed out: its network is there, and the cell is ours."""
        cell, key = work.cell, work.stored.key
        if cell.job is not None:
            net = self._net(cell.job)
            if not self._ready(net):
                self._start_if_needed(net)
                if net.failure:
                    self._fail(work, net.failure)
                return False
        if not self._claim(key, cell.title):
            return False
        # Another run may have finished it since the plan was made.
        work.stored = self._store.read(cell.identity)
        work.missing = deque(missing_of(cell, work.stored))
        if not work.missing:
            self._claims.release(key)
            work.total = 0
            self._stacks[work.number] = ExitStack()
            return True
        work.total = len(work.missing)
        record = cell.weights.record if cell.weights else self._record(cell.job) if cell.job else None
        written = self._begun + timedelta(microseconds=work.number)
        earlier = work.stored.about
        work.stored.about = about(cell, record, self._experiment, written)
        if work.stored.rows:
            work.stored.about["machine"] = earlier.get("machine", {})
            codes = [*earlier.get("harness", []), *work.stored.about["harness"]]
            work.stored.about["harness"] = list(dict.fromkeys(codes))
            work.stored.about |= {name: earlier[name] for name in ("machines",) if name in earlier}
        work.order = self._order(cell, key)
        self._progress.say(f"[{work.number}/{work.of}] {cell.title}: {work.total} images")
        stack = self._stacks[work.number] = ExitStack()
        work.bar = stack.enter_context(self._progress.task(f"denoise {cell.title}"))
        work.opened = True
        return True

    def _order(self, cell: Cell, key: str) -> CellOrder:
        self._draws = self._draws or self._experiment.draws_source()
        return CellOrder(
            key, cell.title, cell.method, cell.noise, cell.dataset, self._draws, cell.protocol.padding, cell.seed,
            str(cell.identity["device"]), cell.weights or cell.job, self._store.models.absolute(), cell.fit,
            (self._store.folder / "fits").absolute(), cell.tile,
        )  # fmt: skip

    def _start_images(self, work: CellProgress) -> None:
        """Hand out the next images of a cell: all at once to one process, a few at a time to several."""
        assert work.order is not None
        count = len(work.missing)
        if self._executor.slots > 1:
            count = 1 if work.cell.fit else min(MOST_IMAGES, max(1, count // (3 * self._executor.slots)))
        pairs = [work.missing.popleft() for _ in range(count)]
        options = self._executor.options
        work.in_hand += 1
        task = Evaluation(work.order, tuple(pairs), options.threads, options.time_limit)
        self._submit(_InHand(task, work, None, pairs))

    def _start_if_needed(self, net: TrainingProgress) -> None:
        if not (net.running or net.failure or self._ready(net)):
            self._start_training(net)

    def _start_training(self, net: TrainingProgress) -> None:
        job = net.job
        if not self._claim(job.stem, f"training of {job.method.text} on {job.noise.id}"):
            return
        if self._ready(net):  # finished elsewhere, just now
            self._claims.release(job.stem)
            return
        net.running = True
        images = self._experiment.training_data(job.data["name"])
        models, threads = self._store.models.absolute(), self._executor.options.threads
        heldout = self._experiment.heldout(job) if self._measured else None
        entry = _InHand(Training(job, images, models, threads, self._until, heldout), None, net, [])
        entry.bar = entry.stack.enter_context(self._progress.task(f"train {job.method.text} on {job.noise.id}"))
        self._submit(entry)

    def _submit(self, entry: _InHand) -> None:
        self._numbers += 1
        self._in_hand[self._numbers] = entry
        self._executor.submit(self._numbers, entry.task)

    def _claim(self, name: str, title: str) -> bool:
        if time.monotonic() < self._elsewhere.get(name, 0.0):
            return False
        owner = self._claims.take(name)
        if owner is None:
            self._elsewhere.pop(name, None)
            return True
        if name not in self._elsewhere:
            self._progress.say(f"{title} is being computed by {owner.text}; its result will be used")
        self._elsewhere[name] = time.monotonic() + POLL_SECONDS
        return False

    # --- taking in ---

    def _handle(self, number: int, event: Event) -> None:
        entry = self._in_hand[number]
        if isinstance(event, Done | Failed | Lost):
            del self._in_hand[number]
            entry.stack.close()
            if entry.work is not None:
                entry.work.in_hand -= 1
        if isinstance(event, Done):
            for index, seconds in enumerate((event.busy, event.method, event.metrics)):
                self._spent[index] += seconds
        if entry.net is not None:
            self._handle_training(entry, entry.net, event)
        elif entry.work is not None:
            self._handle_images(entry, entry.work, event)

    def _handle_training(self, entry: _InHand, net: TrainingProgress, event: Event) -> None:
        if isinstance(event, Advance):
            assert entry.bar is not None
            entry.bar.update(event.fraction, event.text)
            return
        if isinstance(event, Done | Failed | Lost):
            net.running = False
            self._claims.release(net.job.stem)
        title = f"{net.job.method.text} on {net.job.noise.id}"
        if isinstance(event, Done):
            self._trained(net, title)
        elif isinstance(event, Failed):
            net.failure = self._reason(event, net.job.method.name, net.job.key)
        elif isinstance(event, Lost):
            net.tries += 1
            if net.tries >= self._executor.tries:
                net.failure = f"training was lost {net.tries} times: {event.reason}"
            else:
                self._progress.say(f"training of {title} was lost ({event.reason}); trying again")

    def _trained(self, net: TrainingProgress, title: str) -> None:
        record = self._record(net.job)
        if record is None:
            net.failure = (
                f"the trained network is not in {self._store.models}: where tasks run on other machines, --out must be "
                "a folder that all of them see"
            )
            return
        self._progress.say(f"trained {title}: {record['steps']} steps in {duration(record['seconds'])}")
        for warning in record["warnings"]:
            self._progress.say(f"WARNING: {title}: {warning}")

    def _handle_images(self, entry: _InHand, work: CellProgress, event: Event) -> None:
        if isinstance(event, Begun):
            _note_machine(work.stored, event.machine)
        elif isinstance(event, Started):
            entry.now = event.pair
        elif isinstance(event, Scored):
            self._scored(entry, work, event)
        elif isinstance(event, Advance):
            self._advance(work, event)
        elif isinstance(event, Failed):
            self._fail(work, self._reason(event, work.cell.method.name, work.stored.key))
        elif isinstance(event, Lost):
            self._lost(entry, work, event)

    def _scored(self, entry: _InHand, work: CellProgress, event: Scored) -> None:
        row = event.row
        entry.left.remove((row.image, row.repeat))
        entry.now = None
        work.stored.rows[row.image, row.repeat] = row
        work.computed += 1
        work.dirty = True
        if time.monotonic() - work.saved > min(SAVE_SECONDS, len(work.stored.rows) * ROW_SECONDS / SAVE_SHARE):
            self._save(work)
        mean = fmean(finite(r.psnr for r in work.stored.rows.values()))
        self._show(work, 0.0, f"mean {mean:.2f} dB")

    def _advance(self, work: CellProgress, event: Advance) -> None:
        each = work.fits.seconds(event.fraction)
        if each is not None:
            total = duration(each * work.total / min(self._executor.slots, work.total))
            self._progress.say(f"{work.cell.title}: about {duration(each)} per image like the first, {total} in all")
        self._show(work, event.fraction if work.in_hand == 1 else 0.0, event.text)

    def _show(self, work: CellProgress, inside: float, text: str) -> None:
        if work.bar is not None:
            work.bar.update((work.computed + inside) / work.total, f"{work.computed}/{work.total} {text}")

    def _lost(self, entry: _InHand, work: CellProgress, event: Lost) -> None:
        work.missing.extendleft(reversed(entry.left))
        work.tries[entry.now] = work.tries.get(entry.now, 0) + 1
        where = f" at image {entry.now[0]}, repeat {entry.now[1]}" if entry.now else ""
        if work.tries[entry.now] >= self._executor.tries:
            self._fail(work, f"{event.reason}{where}, {work.tries[entry.now]} times")
        else:
            self._progress.say(f"{work.cell.title}: {event.reason}{where}; trying again")

    def _fail(self, work: CellProgress, reason: str) -> None:
        if not work.failure:
            work.failure = reason
            self._progress.say(f"FAILED: {work.cell.title}: {reason}")

    def _reason(self, event: Failed, method: str, key: str) -> str:
        """One sentence; an error that nobody foresaw leaves its traceback in the results folder."""
        if not event.trace:
            return event.reason
        path = self._store.folder / f"error-{method}-{key}.txt"
        write_text(path, event.trace)
        return f"{event.reason} (traceback in {path})"

    def _save(self, work: CellProgress) -> None:
        if not work.dirty:
            return
        if not self._claims.ours(work.stored.key):
            self._fail(work, "another run took this cell over while this one did not answer; run again to read it")
            return
        work.sort()
        self._store.write(work.stored)
        work.saved, work.dirty = time.monotonic(), False

    def _close(self, work: CellProgress) -> None:
        if work.opened:
            work.dirty = work.computed > 0
            self._save(work)
            self._claims.release(work.stored.key)
        self._stacks[work.number].close()

    # --- networks ---

    def _net(self, job: TrainingJob) -> TrainingProgress:
        return self._nets.setdefault(job.key, TrainingProgress(job))

    def _ready(self, net: TrainingProgress) -> bool:
        return not net.running and self._record(net.job) is not None

    def _record(self, job: TrainingJob) -> dict[str, Any] | None:
        found = self._records.get(job.key) or record_of(job, self._store.models, self._progress.say)
        if found is not None:
            self._records[job.key] = found
        return found

    def _summary(self, images: int, seconds: float) -> None:
        """Images per second, and what the workers' time went into."""
        busy, method, metrics = self._spent
        if not images or busy <= 0:
            return
        outside = (busy - method - metrics) / busy
        slots = self._executor.slots
        idle = f", {max(0.0, 1 - busy / (slots * seconds)):.1%} idle" if slots > 1 else ""
        workers = f"{slots} workers" if slots > 1 else "one process"
        self._progress.say(
            f"{images} images in {duration(seconds)} by {workers}: {images / seconds:.2f} images/s; "
            f"{outside:.1%} of their time outside network and metric{idle}"
        )


def _note_machine(stored: StoredCell, machine: dict[str, Any]) -> None:
    """Record what rows were computed on; where several machines worked on a cell, all of them."""
    first = stored.about.get("machine")
    if not first:
        stored.about["machine"] = machine
    elif machine != first and machine not in stored.about.get("machines", []):
        stored.about["machines"] = [*(stored.about.get("machines") or [first]), machine]
