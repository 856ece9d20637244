"""The one way to a terminal: what is printed has passed here, and cannot steer it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from denoisebench.core.text import ERRORS, one_line

_TAG = re.compile(r"<(?=[A-Za-z/!?])")


class Forgiving:
    """A stream that is written to as far as that is possible, so that a lost log does not end what it is about.

    Parameters
    ----------
    stream : TextIO | None
        What is written to; None where the process was started without one.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        #: Why something could not be written, or ''.
        self.lost = "" if stream is not None else "it is closed"

    def write(self, text: str) -> int:
        """Write what can be written."""
        with self._noting():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write what can be written."""
        for one in lines:
            self.write(one)

    def flush(self) -> None:
        """Hand on what is in the buffer."""
        with self._noting():
            self._stream.flush()

    def close(self) -> None:
        """Nothing but `flush`: plugins close streams that are not theirs."""
        self.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # A reader that has gone away, as `head` does, has got what it wanted.
            gone = isinstance(error, BrokenPipeError)
            self.lost = self.lost or ("" if gone else getattr(error, "strerror", None) or str(error))
            if not isinstance(error, UnicodeError):
                self._drop()

    def _drop(self) -> None:
        """Have what is still in the buffer go nowhere, or Python would try it again at its end."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)


def prepare_streams() -> None:
    """Have the standard streams take everything: characters that they lack are replaced, what is lost is noted.

    A descriptor that is closed would be given to the next file that is opened, and what a library prints be written
    into it: it is opened to nowhere.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _open_nowhere(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors=ERRORS)
        if not isinstance(stream, Forgiving):
            setattr(sys, name, Forgiving(stream))


def _open_nowhere(number: int) -> None:
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere == number:
            os.set_inheritable(number, True)
        else:
            os.dup2(nowhere, number)
            os.close(nowhere)


def lost_output() -> str:
    """Why something that was printed on standard output did not get there, or ''."""
    sys.stdout.flush()
    return sys.stdout.lost if isinstance(sys.stdout, Forgiving) else ""


def document(text: str, end: str = "\n") -> None:
    """Print a text of several lines, such as a table, on standard output."""
    print("\n".join(map(one_line, text.split("\n"))), end=end)


def line(text: object) -> None:
    """Print one line on standard output."""
    print(one_line(str(text)))


def message(text: object, stream: TextIO | None = None) -> None:
    """Print one line on standard error; logs are shown in web pages too (CI, notebooks), so no tag is left whole."""
    print(_TAG.sub(r"\\x3c", one_line(str(text))), file=stream or sys.stderr, flush=True)
