"""Processes that a process has started, ended with it, in whatever session or group they are."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

#: Environment variable that a worker hands down: its descendants are known by it when their parents are gone.
MARK = "DENOISEBENCH_WORKER"
# A process may start others while it is being ended, and takes a moment to go.
_END_SECONDS = 2.0


def descendants(pid: int) -> list[psutil.Process]:
    """Children of a process, theirs, and so on."""
    import psutil

    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        return found
    except psutil.Error:
        return []


def marked(marks: Collection[str]) -> list[psutil.Process]:
    """Processes that have inherited one of these values of `MARK`, and run."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) in marks and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # gone, or another user's
            continue
    return found


def end(processes: Iterable[psutil.Process]) -> None:
    """End them, now."""
    import psutil

    for process in processes:
        try:
            process.kill()
        except (psutil.Error, OSError):
            continue


def end_marked(marks: Collection[str]) -> None:
    """End whatever has inherited one of the marks."""
    until = time.monotonic() + _END_SECONDS
    while (found := marked(marks)) and time.monotonic() < until:
        end(found)
        time.sleep(0.01)


def end_own_but(others: Collection[psutil.Process]) -> None:
    """End what this process has started, but for some."""
    until = time.monotonic() + _END_SECONDS
    while time.monotonic() < until:
        found = [process for process in descendants(os.getpid()) if process not in others]
        if not found:
            return
        end(found)
        for process in found:
            _forget(process)
        time.sleep(0.01)


def _forget(process: psutil.Process) -> None:
    """Have the system drop a child that has ended; grandchildren are others' to wait for."""
    import psutil

    try:
        process.wait(1.0)
    except (psutil.Error, OSError):
        return
