"""In this process, one task after the other: nothing to start, and a debugger reaches everything."""

from __future__ import annotations

import contextlib
import sys

from denoisebench.core.errors import UserError
from denoisebench.execution.executors import Executor, Handle, Options
from denoisebench.execution.tasks import Bench, Task, attempt


class Serial(Executor):
    """What a plugin does to the process it does to the run: it can be timed between lines of Python, not ended."""

    name = "serial"
    slots = 1

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if (options.workers or 1) > 1:
            raise UserError(f"--workers {options.workers} needs processes: use --executor local.")
        if options.memory_limit:
            raise UserError("--memory-limit needs processes that can be ended: use --executor local.")
        self._bench = Bench()
        self._queue: list[tuple[int, Task]] = []

    def submit(self, number: int, task: Task) -> None:
        self._queue.append((number, task))

    def wait(self, handle: Handle, seconds: float) -> None:
        number, task = self._queue.pop(0)
        # Standard output is for the table.
        with contextlib.redirect_stdout(sys.stderr):
            attempt(task, self._bench, lambda event: handle(number, event))

    def close(self) -> None:
        self._queue.clear()
