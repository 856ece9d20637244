"""The other end of `denoisebench.execution.executors.local`: a process that does tasks until its input ends.

Messages are pickles with their length before them: `PluginPickle` of (number, task) in, (number, event) out. Whatever
a plugin prints goes to standard error, which the parent reads and throws away but for its end.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from functools import partial
from typing import IO, Any

HEADER = struct.Struct("<Q")


def write_message(stream: IO[bytes], value: Any) -> None:
    """Write one message."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Read one message.

    Raises
    ------
    EOFError
        The other end is gone.
    """
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (size,) = HEADER.unpack(header)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    """Do tasks as they come."""
    orders = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    # The terminal's interrupt is the parent's business, which asks for an end with SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    waiting: queue.Queue[Any] = queue.Queue()

    def listen() -> None:
        # A parent that was killed cannot ask for anything: its end of the pipe closes, at any time.
        try:
            while True:
                waiting.put(read_message(orders))
        except Exception:
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        _work(waiting, events)
    sys.stderr.flush()
    # Threads and exit handlers of a plugin are not waited for.
    os._exit(0)


def _work(waiting: queue.Queue[Any], events: IO[bytes]) -> None:
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.execution.tasks import Bench, Failed, attempt, throttled

    keep_freed_memory()
    bench = Bench()
    write_message(events, None)
    while True:
        number, parcel = waiting.get()
        try:
            task = parcel.open()
        except Exception as error:
            reason = f"the task does not reach a worker: {type(error).__name__}: {error}"
            write_message(events, (number, Failed(reason)))
            continue
        tell = partial(_tell, events, number)
        attempt(task, bench, throttled(tell))


def _tell(events: IO[bytes], number: int, event: Any) -> None:
    write_message(events, (number, event))
