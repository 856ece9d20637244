"""Ctrl-C between steps: the one at hand is finished, so that there is a whole state to save."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    asked = False


@contextmanager
def held_interrupt(wanted: bool = True) -> Iterator[Interrupt]:
    """Inside, the first Ctrl-C only sets ``asked``; the second interrupts at once. Whoever sees it saves and raises.

    Does nothing outside the main thread, where no signal arrives, or where somebody else handles the signal.
    """
    interrupt = Interrupt()

    def hold(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True

    ours = wanted and threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupt.asked:
        raise KeyboardInterrupt
