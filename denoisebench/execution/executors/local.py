"""Processes on this machine: one per GPU, or several that share the cores.

A process that a plugin ends, blocks or fills up is replaced, and only its task is affected. Workers are started as new
interpreters, so nothing is shared that a fork would share, and `__main__` is not imported again.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from typing import Any

from denoisebench.core.descendants import MARK, descendants, end, end_marked
from denoisebench.core.errors import ContractError, UserError
from denoisebench.core.limits import time_text
from denoisebench.execution.executors import Executor, Handle, Options, cores, process_environment
from denoisebench.execution.executors._worker import read_message, write_message
from denoisebench.execution.tasks import Done, Evaluation, Event, Failed, Lost, Started, Task, Training
from denoisebench.experiment.preparation import FitToEachImage
from denoisebench.plugins.parcel import Parcel

# Seconds a training has to save its state, a process to start, and a task beyond its own alarm.
SAVING, STARTING, GRACE = 15.0, 120.0, 5.0
# How often limits are looked at.
WATCH = 0.2
# Seconds for the last words of a process that has ended: its children may hold the other end of its pipe for ever.
LAST_WORDS = 1.0
# What is kept of a worker's output.
_TAIL = 16_384


class _Worker:
    """One process and what it is doing."""

    def __init__(self, environment: dict[str, str], inbox: queue.Queue[tuple[_Worker, Any]]) -> None:
        command = [sys.executable, "-P", "-c", "from denoisebench.execution.executors._worker import main; main()"]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self.mark = uuid.uuid4().hex
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env={**os.environ, **environment, "PYTHONPATH": path, MARK: self.mark},
        )  # fmt: skip
        self.ready = False
        self.number: int | None = None
        self.task: Task | None = None
        self.pair: tuple[str, int] | None = None
        self.since = time.monotonic()
        self._gone: float | None = None
        self._inbox = inbox
        self._tail: deque[bytes] = deque(maxlen=4)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._events, self._output)]
        for thread in self._threads:
            thread.start()

    def give(self, number: int, task: Task) -> None:
        """Have it do a task."""
        self.number, self.task, self.pair = number, task, None
        if self.ready:  # what one that does not start has printed is the reason
            self._tail.clear()
        try:
            parcel = Parcel.of(task)
        except ContractError as error:
            self._inbox.put((self, (number, Failed(str(error)))))
            return
        with contextlib.suppress(OSError):  # its end is noticed by the thread that reads
            assert self._process.stdin is not None
            write_message(self._process.stdin, (number, parcel))

    def memory(self) -> int:
        """Bytes of it and its children in memory."""
        import psutil

        total = 0
        with contextlib.suppress(psutil.Error):
            for process in (psutil.Process(self._process.pid), *descendants(self._process.pid)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def look(self) -> None:
        """Notice that the process has ended, although its pipe is still open."""
        if self._process.poll() is None:
            return
        now = time.monotonic()
        self._gone = self._gone or now
        if now - self._gone > LAST_WORDS:
            # Behind what it said before.
            self._inbox.put((self, EOFError))

    def ask_to_stop(self) -> None:
        """Have it save and end."""
        with contextlib.suppress(OSError):
            self._process.terminate()

    def kill(self) -> None:
        """End it and whatever it started, now; `end_marked` finds those whose parents are gone."""
        started = descendants(self._process.pid)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self._process.kill()
        end(started)

    def ended(self, seconds: float) -> bool:
        """Whether it is gone, waiting so long."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def epitaph(self) -> str:
        """How it ended, and the last line it printed."""
        code = self._process.wait()
        for thread in self._threads[1:]:
            thread.join(1.0)
        lines = b"".join(self._tail).decode(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines and len(lines[-1]) < 200 else ""
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = str(-code)
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its process was ended by {name}{hint}{last}"
        return f"its process ended with code {code}{last}"

    def _events(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                self._inbox.put((self, read_message(self._process.stdout)))
        except Exception:  # the end of the stream, or bytes that a plugin wrote into it
            self._inbox.put((self, EOFError))

    def _output(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), _TAIL):
            self._tail.append(chunk)


class Local(Executor):
    """Workers that are started when there is work for them, and replaced when they are lost."""

    name = "local"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._devices = _devices(options.device)
        if options.device == "cuda" and (options.workers or 1) > len(self._devices):
            raise UserError(
                f"--workers {options.workers}: there are {len(self._devices)} GPUs, and each takes one worker."
            )
        # Two at least: one draws noise and scores on one core while the other's network uses all of them.
        usual = len(self._devices) or min(cores(), max(2, cores() // options.threads))
        self._count = options.workers or usual
        self._workers: list[_Worker | None] = [None] * self._count
        self._inbox: queue.Queue[tuple[_Worker, Any]] = queue.Queue()
        self._started = 0

    @property
    def slots(self) -> int:
        return self._count

    def submit(self, number: int, task: Task) -> None:
        place = next(i for i, worker in enumerate(self._workers) if worker is None or worker.number is None)
        worker = self._workers[place]
        if worker is None:
            worker = self._workers[place] = _Worker(self._environment(place), self._inbox)
        worker.give(number, task)

    def wait(self, handle: Handle, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            self._watch(handle)
            try:
                worker, message = self._inbox.get(timeout=max(0.001, min(WATCH, end - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= end:
                    return
                continue
            self._receive(worker, message, handle)
            while not self._inbox.empty():
                self._receive(*self._inbox.get(), handle)
            return

    def close(self) -> None:
        alive = [worker for worker in self._workers if worker is not None]
        self._workers = [None] * self._count
        try:
            saving = [worker for worker in alive if worker.ready and _has_state(worker.task)]
            for worker in saving:
                worker.ask_to_stop()
            end = time.monotonic() + SAVING
            for worker in saving:
                worker.ended(end - time.monotonic())
        finally:
            for worker in alive:
                worker.kill()
            for worker in alive:
                worker.ended(5.0)
            if alive:
                end_marked({worker.mark for worker in alive})

    def _environment(self, place: int) -> dict[str, str]:
        values = process_environment(self.options.threads)
        if self._devices:
            values["CUDA_VISIBLE_DEVICES"] = self._devices[place]
        return values

    def _receive(self, worker: _Worker, message: Any, handle: Handle) -> None:
        if worker not in self._workers:
            return  # what a killed one still said
        if message is EOFError:
            self._replace(worker, handle, Lost(worker.epitaph()))
        elif message is None:
            worker.ready, worker.since = True, time.monotonic()
        else:
            number, event = message
            if number != worker.number:
                return
            if isinstance(event, Started):
                worker.pair, worker.since = event.pair, time.monotonic()
            if isinstance(event, Failed) and event.broken:
                self._replace(worker, handle, event)
            else:
                self._tell(worker, event, handle)

    def _tell(self, worker: _Worker, event: Event, handle: Handle) -> None:
        number = worker.number
        assert number is not None
        if isinstance(event, Done | Failed | Lost):
            worker.number = worker.task = worker.pair = None
        handle(number, event)

    def _replace(self, worker: _Worker, handle: Handle, event: Event) -> None:
        worker.kill()
        worker.ended(5.0)
        end_marked({worker.mark})
        self._workers[self._workers.index(worker)] = None
        if not worker.ready:
            raise UserError(f"A worker process does not start: {worker.epitaph()}")
        if worker.number is not None:
            self._tell(worker, event, handle)

    def _watch(self, handle: Handle) -> None:
        """End what is over its limits."""
        limits, now = self.options, time.monotonic()
        for worker in [worker for worker in self._workers if worker is not None]:
            worker.look()
            running = now - worker.since
            if not worker.ready:
                if running > STARTING:
                    worker.kill()
            elif worker.number is None:
                continue
            elif limits.time_limit and worker.pair and running > limits.time_limit * 1.1 + GRACE:
                self._replace(worker, handle, Failed(time_text(limits.time_limit, worker.pair)))
            elif limits.memory_limit and (used := worker.memory()) > limits.memory_limit:
                text = f"it took {used / 1e9:.1f} GB, more than the memory limit of {limits.memory_limit / 1e9:.1f} GB"
                self._replace(worker, handle, Lost(text))


def _has_state(task: Task | None) -> bool:
    return isinstance(task, Training) or (
        isinstance(task, Evaluation) and isinstance(task.order.preparation, FitToEachImage)
    )


def _devices(device: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES is to be for each worker; empty where there are no GPUs to share out."""
    if device != "cuda":
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return names or [str(index) for index in range(torch.cuda.device_count())]
