"""Processes that a process has started, ended with it, in whatever session or group they are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

#: Environment variable that a worker hands down: its descendants are known by it when their parents are gone.
MARK = "DENOISEBENCH_WORKER"
# A process may start others while it is being ended.
_SWEEPS = 5


def descendants(pid: int) -> list[psutil.Process]:
    """Children of a process, theirs, and so on."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)  # type: ignore[no-any-return]
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
    for _ in range(_SWEEPS):
        found = marked(marks)
        if not found:
            return
        end(found)


def end_own_but(others: Collection[psutil.Process]) -> None:
    """End what this process has started, but for some."""
    for _ in range(_SWEEPS):
        found = [process for process in descendants(os.getpid()) if process not in others]
        if not found:
            return
        end(found)
        for process in found:
            _forget(process)


def _forget(process: psutil.Process) -> None:
    """Have the system drop a child that has ended; grandchildren are others' to wait for."""
    import psutil

    try:
        process.wait(1.0)
    except (psutil.Error, OSError):
        return
