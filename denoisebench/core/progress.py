"""Progress of long work: a bar with ETA on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from denoisebench.core.printing import message
from denoisebench.core.text import one_line

# So many seconds at least lie between two lines of a task in a log, and this part of what it has taken so far.
LOG_INTERVAL, LOG_SHARE = 15.0, 0.1
# What is left is told from this finished part on: of less it may be a hundred times wrong.
LEAST_DONE = 0.005


class Task(Protocol):
    """One piece of long work."""

    def update(self, fraction: float, text: str = "") -> None:
        """Report the finished fraction (0..1) and a short text."""
        ...


class Progress(Protocol):
    """Where progress and messages go."""

    #: Whether several tasks can be shown at once; a log tells of the whole only.
    several: bool

    def say(self, text: str) -> None:
        """Print one line."""
        ...

    def task(self, title: str) -> AbstractContextManager[Task]:
        """A context manager that yields a `Task`."""
        ...


class Quiet:
    """No output at all, for library use and tests."""

    several = True

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        yield _Silent()


class _Silent:
    def update(self, fraction: float, text: str = "") -> None:
        pass


class PlainLog:
    """Plain lines on standard error, at most one per task and `LOG_INTERVAL` seconds, later fewer."""

    several = False

    def say(self, text: str) -> None:
        message(text)

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        yield _LogTask(title, self)


class _LogTask:
    def __init__(self, title: str, log: PlainLog) -> None:
        self._title, self._log = title, log
        self._start = self._last = time.monotonic()
        self._first: float | None = None

    def update(self, fraction: float, text: str = "") -> None:
        if self._first is None:
            self._first = fraction
        now = time.monotonic()
        if fraction < 1 and now - self._last < max(LOG_INTERVAL, LOG_SHARE * (now - self._start)):
            return
        self._last = now
        done, elapsed = fraction - self._first, now - self._start
        left = f", {duration(elapsed / done * (1 - fraction))} left" if done >= LEAST_DONE and fraction < 1 else ""
        self._log.say(f"{self._title}: {fraction:4.0%} after {duration(elapsed)}{left}  {text}".rstrip())


class Terminal:
    """Rich progress bars with ETA on standard error, one per task that is under way."""

    several = True

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bars: Any = None
        self._open = 0

    def say(self, text: str) -> None:
        self._console.print(one_line(text), markup=False, highlight=False)

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        if self._bars is None:
            self._bars = self._make()
            self._bars.start()
        self._open += 1
        try:
            yield _BarTask(self._bars, self._bars.add_task(one_line(title), total=1.0, text=""))
        finally:
            self._open -= 1
            if not self._open:
                self._bars.stop()
                self._bars = None

    def _make(self) -> Any:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )  # fmt: skip
        return Bar(*columns, console=self._console)


class _BarTask:
    def __init__(self, bar: Any, identifier: Any) -> None:
        self._bar, self._id = bar, identifier

    def update(self, fraction: float, text: str = "") -> None:
        self._bar.update(self._id, completed=fraction, text=one_line(text))


class Bar:
    """A progress bar, open until it is closed.

    Parameters
    ----------
    progress : Progress
        Where it is shown.
    title : str
        What it is of.
    """

    def __init__(self, progress: Progress, title: str) -> None:
        self._stack = ExitStack()
        self._task = self._stack.enter_context(progress.task(title))

    def update(self, fraction: float, text: str) -> None:
        """Show the finished fraction (0..1) and a short text."""
        self._task.update(fraction, text)

    def close(self) -> None:
        """Take it off the screen."""
        self._stack.close()


def for_stderr() -> Terminal | PlainLog:
    """A bar if standard error is a terminal, plain lines otherwise."""
    return Terminal() if sys.stderr.isatty() else PlainLog()


def duration(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
