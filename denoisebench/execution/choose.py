"""From options, as the command line and Python give them, to an executor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisebench.execution.executors import Executor


def find_executor(
    name: str,
    workers: int | None,
    threads: int | None,
    time_limit: str | None,
    memory_limit: str | None,
    address: str | None,
    device: str,
) -> Executor:
    """The executor that some options describe.

    Parameters
    ----------
    name : str
        Of the executor, or 'auto'.
    workers, threads, address : int, int and str, or None
        As in `denoisebench.execution.executors.Options`.
    time_limit, memory_limit : str or None
        Such as '10min' and '4GB'.
    device : str
        As resolved.

    Raises
    ------
    UserError
        A text cannot be read, or the executor cannot do what is asked.
    """
    from denoisebench.core.limits import parse_memory_limit, parse_time_limit
    from denoisebench.execution.executors import Options, default_threads, make_executor

    options = Options(
        device=device,
        threads=threads or default_threads(),
        workers=workers,
        time_limit=None if time_limit is None else parse_time_limit(time_limit),
        memory_limit=None if memory_limit is None else parse_memory_limit(memory_limit),
        address=address,
    )
    return make_executor(name, options)
