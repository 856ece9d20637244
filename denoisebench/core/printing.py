"""The one way to a terminal: what is printed has passed here, and cannot steer it."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TextIO

from denoisebench.core.text import ERRORS, one_line

_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def prepare_streams() -> None:
    """Have the standard streams replace what their encoding lacks (cp1252, ASCII), instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors=ERRORS)


def document(text: str, end: str = "\n") -> None:
    """Print a text of several lines, such as a table, on standard output."""
    print("\n".join(map(one_line, text.split("\n"))), end=end)


def line(text: object) -> None:
    """Print one line on standard output."""
    print(one_line(str(text)))


def message(text: object, stream: TextIO | None = None) -> None:
    """Print one line on standard error; logs are shown in web pages too (CI, notebooks), so no tag is left whole."""
    print(_TAG.sub(r"\\x3c", one_line(str(text))), file=stream or sys.stderr, flush=True)
