"""Where tasks run: in this process, in others, on other machines.

An executor is handed tasks that are ready, at most as many as it has room for, and tells what becomes of them. It
knows nothing of cells, claims, results or retries: those are the runner's. So an executor for another system is one
class of four methods; make it an entry point of the group ``denoisebench.executors``.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from denoisebench.core.errors import UserError
from denoisebench.core.limits import THREADS, WORKERS, whole_number
from denoisebench.execution.tasks import Event, Task
from denoisebench.plugins.registry import Registry

#: More threads than this gain little on one crop or one photograph.
MOST_THREADS = 8
Handle = Callable[[int, Event], None]


@dataclass(frozen=True)
class Options:
    """What every executor is told.

    Parameters
    ----------
    device : str
        'cpu', 'cuda' or 'mps'.
    threads : int
        Torch threads of a task, the same everywhere, because results depend on it in the last digits.
    workers : int | None
        Processes, or None for as many as suit the machine.
    time_limit : float | None
        Seconds per image, or None.
    memory_limit : int | None
        Bytes per process, or None.
    address : str | None
        Of a cluster, or None.
    """

    device: str = "cpu"
    threads: int = 1
    workers: int | None = None
    time_limit: float | None = None
    memory_limit: int | None = None
    address: str | None = None


class Executor(ABC):
    """Runs tasks. Subclasses have a name; the constructor takes the `Options` and starts nothing heavy."""

    name: ClassVar[str]
    #: How often a task is tried whose process was lost, at one and the same image.
    tries: ClassVar[int] = 2

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks may be in hand at a time; may change while it runs."""

    @abstractmethod
    def submit(self, number: int, task: Task) -> None:
        """Take a task; ``number`` names it in events. Called only while fewer than ``slots`` are in hand."""

    @abstractmethod
    def wait(self, handle: Handle, seconds: float) -> None:
        """Hand over every event there is, waiting at most so long for the first.

        The last event of a task is `Done`, `Failed` or `Lost`. An image that took too long, or needed too much memory
        again, is `Failed`.
        """

    @abstractmethod
    def close(self) -> None:
        """End every process that was started; tasks still in hand are stopped, trainings save their state first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


EXECUTORS: Registry[Executor] = Registry(
    "executor",
    "denoisebench.execution.executors",
    Executor,  # type: ignore[type-abstract]  # only what is registered is made
    (Executor,),
    group="denoisebench.executors",
)


def make_executor(name: str, options: Options) -> Executor:
    """An executor by name; ``auto`` is ``serial``, unless something is asked for that needs processes.

    Raises
    ------
    UserError
        There is no such executor, or it cannot do what the options ask.
    """
    for name_of, value, most in (("workers", options.workers, WORKERS), ("threads", options.threads, THREADS)):
        if value is not None and not 1 <= value <= most:
            raise UserError(f"--{name_of} {value}: allowed are whole numbers from 1 to {most}.")
    if name == "auto":
        needs_processes = options.workers or options.time_limit or options.memory_limit
        name = "ray" if options.address else "local" if needs_processes else "serial"
    return EXECUTORS.get(name)(options)


def cores() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def default_threads() -> int:
    """Torch threads of a task: what OMP_NUM_THREADS says, else one per core up to `MOST_THREADS`."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    if not text.isdecimal() or not text.strip("0"):
        return min(cores(), MOST_THREADS)
    return whole_number("OMP_NUM_THREADS", text, 1, THREADS)


def process_environment(threads: int) -> dict[str, str]:
    """Environment variables by which libraries of another process use as many threads as those of this one."""
    blas = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or str(cores())
    # Waiting threads that spin take the cores from those that work, where several processes share them.
    return {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": blas, "OMP_WAIT_POLICY": "PASSIVE"}
