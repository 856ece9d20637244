"""Ctrl-C: at once before a command has begun, and between steps, never within one, while it saves what it does."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_at_once() -> None:
    """Have Ctrl-C print one sentence and end the process with code 130, until `raised_interrupts`.

    For the time in which modules are loaded and nothing can be lost: an exception there would show where it struck, or
    be taken by a library for a fault of its own. Where Ctrl-C is ignored, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"Stopped.\n")
    os._exit(130)


@contextmanager
def raised_interrupts() -> Iterator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt`, as Python does, where `stop_at_once` was called."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


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
