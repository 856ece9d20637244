"""Stopping between steps, never within one: what is saved then is the state after a whole step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped:
    """Whether a signal to stop came meanwhile."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def deferred_interrupts() -> Iterator[Stopped]:
    """Note an interrupt instead of raising it, for one step; the caller saves its state and raises it then.

    A second interrupt is raised at once. Signals that are ignored or end the process stay so; other threads than the
    main one get no signals, and nothing happens there.
    """
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        if stopped.asked:
            raise KeyboardInterrupt
        stopped.asked = True

    caught = [number for number in _SIGNALS if before[number] is signal.default_int_handler]
    for number in caught:
        signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number in caught:
            signal.signal(number, before[number])
