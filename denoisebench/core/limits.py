"""Limits on what a plugin may take: seconds per image, memory per process."""

from __future__ import annotations

import math
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from denoisebench.core.descendants import descendants, end_own_but
from denoisebench.core.errors import UserError

#: Beyond these a number is a typing mistake, not an experiment: seeds that every library and file format takes as they
#: are, what a process can have, and trainings of two years.
SEED, BATCH, CROP, DEVICES, TRAININGS, REPEATS, TILE = 2**53, 4096, 4096, 64, 1000, 10_000, 2**16
WORKERS, THREADS = 512, 256
STEPS, EPOCHS, MINUTES = 10**9, 10**6, 10**6
#: Noisy images of one cell.
PAIRS = 10**7
#: Seconds between two alarms of a time limit, and for which an import may go on beyond it.
AGAIN, IMPORT_SECONDS = 0.5, 60.0
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?)", re.ASCII)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|MiB|GB|GiB)", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"mb": 10**6, "mib": 2**20, "gb": 10**9, "gib": 2**30}


class TimeLimit(BaseException):
    """An image took longer than allowed; no Exception, so that a plugin's own handlers let it pass."""


def parse_time_limit(text: str) -> float:
    """Seconds of ``30s``, ``10min`` or ``2h``.

    Raises
    ------
    UserError
        Naming the text and the allowed forms.
    """
    seconds = _seconds_of(text)
    if seconds is None or not seconds > 0:
        raise UserError(f"--time-limit {text!r} cannot be read. Allowed: 30s, 10min, 2h (per image).")
    return seconds


def parse_total_time(text: str) -> float:
    """Seconds of ``90min`` or ``12h``, which may be none; a number alone is minutes.

    Raises
    ------
    UserError
        Naming the text and the allowed forms.
    """
    seconds = _seconds_of(f"{text}min" if text[-1:].isdecimal() else text)
    if seconds is None:
        raise UserError(f"--time-limit {text!r} cannot be read. Allowed: 30s, 90min, 12h (for all together).")
    return seconds


def _seconds_of(text: str) -> float | None:
    match = _TIME.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2][0]] if match else math.inf
    return seconds if seconds < 10**8 else None


def parse_memory_limit(text: str) -> int:
    """Bytes of ``800MB``, ``4GB`` or ``4GiB``.

    Raises
    ------
    UserError
        Naming the text and the allowed forms.
    """
    match = _MEMORY.fullmatch(text.strip())
    size = float(match[1]) * _BYTES[match[2].lower()] if match else 0.0
    if not 1 <= size < 2**60:
        raise UserError(f"--memory-limit {text!r} cannot be read. Allowed: 800MB, 4GB, 4GiB (per process).")
    return int(size)


def whole_number(option: str, text: str, low: int, high: int, others: str = "") -> int:
    """Read a whole number of an option.

    Parameters
    ----------
    option, text : str
        As given.
    low, high : int
        Bounds, included.
    others : str
        What else is allowed, for the message.

    Raises
    ------
    UserError
        It is none, or out of bounds.
    """
    # Python refuses to read numbers of thousands of digits.
    if not (text.isdecimal() and text.isascii() and len(text) < 20 and low <= int(text) <= high):
        shown = text if len(text) < 40 else f"{text[:40]}..."
        raise UserError(f"{option} {shown!r}: allowed are whole numbers from {low} to {high:,}{others}.")
    return int(text)


@contextmanager
def limited(seconds: float | None, pair: tuple[str, int]) -> Iterator[None]:
    """Raise `TimeLimit` if the block runs longer; in the main thread of a Unix process, between two lines of Python.

    An import is not interrupted, because half a library breaks the process: the limit strikes after it, or when it has
    taken `IMPORT_SECONDS` longer. Processes that were started in the block end with it. Code that never comes back to
    Python is not reached by this: an executor with processes of its own ends those.
    """
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not usable:
        yield
        return

    before_it, begun = set(descendants(os.getpid())), time.monotonic()

    def ring(number: int, frame: FrameType | None) -> None:
        if importing(frame) and time.monotonic() - begun < seconds + IMPORT_SECONDS:
            return
        raise TimeLimit(time_text(seconds, pair))

    before = signal.signal(signal.SIGALRM, ring)
    # It rings again, because a plugin may catch whatever is raised.
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    except TimeLimit:
        signal.setitimer(signal.ITIMER_REAL, 0)
        end_own_but(before_it)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def importing(frame: FrameType | None) -> bool:
    """Whether an import is under way somewhere up the stack."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def time_text(seconds: float, pair: tuple[str, int] | None) -> str:
    """Why something was stopped."""
    return f"not done within the time limit of {seconds:g} s{at_image(pair)}"


def at_image(pair: tuple[str, int] | None) -> str:
    """Where something went wrong, as a part of a sentence: at an image and repeat, or nowhere in particular."""
    return f" at image {pair[0]}, repeat {pair[1]}" if pair else ""
