"""Text that strangers can name, made fit to be shown: file names, labels, messages of exceptions."""

from __future__ import annotations

import codecs
import hashlib
import re

# For streams that cannot show these: consoles of Windows, the POSIX locale.
_ASCII = {
    "σ": "sigma", "λ": "lambda", "±": "+-", "∈": " in ", "²": "^2", "×": "x", "–": "-", "—": "-", "…": "...",
    "°": " deg", "µ": "u", "μ": "u", "━": "-", "─": "-", "│": "|",
}  # fmt: skip
#: Name of the error handler that `denoisebench.printing` gives to the standard streams.
ERRORS = "denoisebench"


def unheard(text: str) -> None:
    """Where nobody listens."""


def readable(text: str) -> str:
    r"""A file name that is not UTF-8, which Python holds as half surrogates, with ``\xNN`` for each such byte."""
    if text.isascii():
        return text
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in text)


def one_line(text: str) -> str:
    """Text on one line, without characters that steer a terminal or turn the direction of writing."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in readable(text)
    )


def plain(text: str) -> str:
    """`one_line` with single spaces, for a place where layout counts."""
    return " ".join(one_line(text).split())


def counted(number: int, thing: str) -> str:
    """A number of things in words: ``1 image``, ``12,000 images``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def file_part(text: str) -> str:
    """A name as a part of a file name that every system takes, other names other parts; most stay as they are."""
    plain_ends = text[:1] not in ("", ".", " ") and text[-1:] not in (".", " ")
    if plain_ends and text.isprintable() and not set(text) & set('/\\:*?"<>|') and len(text.encode()) <= 100:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return "-".join([*re.findall(r"[A-Za-z0-9._-]+", text)[:4], digest])[-100:].lstrip(".-")


def _shown(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a stream cannot encode."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or (readable(c) if "\udc80" <= c <= "\udcff" else "?") for c in lost), error.end


codecs.register_error(ERRORS, _shown)
