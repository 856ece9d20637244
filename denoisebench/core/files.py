"""Files that are whole or not there: atomic writing, bounded reading, and JSON that carries its own checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from denoisebench.core.errors import UserError

# A file under its temporary name for longer than this is what a killed process left.
STALE_SECONDS = 3600.0
#: Most bytes of a file of text (cells, records, lists), and of one with tensors.
LARGEST_TEXT, LARGEST_TENSORS = 2**28, 2**33
# Nobody else gives a file such a name, so those that are old may be removed.
_TEMPORARY = re.compile(r"\.denoisebench-[0-9a-f]{16}\.part")
_SEAL = re.compile(r'\A\{\n "format": (\d+),\n "sha256": "([0-9a-f]{64})"')
_BLANK = "0" * 64


class CannotWrite(UserError):  # noqa: N818 - reads as what happened
    """A file cannot be written; what lay in its place is unchanged."""


class Damaged(UserError):  # noqa: N818 - reads as what is found
    """A stored file is not what was written."""


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that nothing has yet; random, because two containers have processes of one number."""
    return path.with_name(f".denoisebench-{secrets.token_hex(8)}.part")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one.

    Raises
    ------
    CannotWrite
        The disk is full, the folder is read-only, ...; the old file is untouched.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
        temporary.replace(path)
    except OSError as error:
        # Half a file would only take more of a full disk.
        _unlink(temporary)
        mend = "move that folder away" if path.is_dir() else "make room or choose another folder"
        raise CannotWrite(
            f"Cannot write {path} ({error.strerror or error}). What was stored before is intact; {mend}, and give the "
            "same command again."
        ) from None


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, text.encode())


def make_folder(folder: Path) -> None:
    """Make a folder with its parents; raises `CannotWrite`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(
            f"Cannot make the folder {folder} ({error.strerror or error}). Choose a writable one."
        ) from None


def clear_stale(folder: Path) -> None:
    """Remove what killed processes left under temporary names of ours."""
    for path in folder.glob(".denoisebench-*.part"):
        try:
            found = path.lstat()
        except OSError:
            continue
        old = time.time() - found.st_mtime > STALE_SECONDS
        if old and _TEMPORARY.fullmatch(path.name) and stat.S_ISREG(found.st_mode):
            _unlink(path)


def set_aside(path: Path) -> Path:
    """Move a damaged file into ``damaged/`` beside it, under a name of its own; returns where it is now.

    Raises
    ------
    CannotWrite
        The folder is read-only.
    """
    place = path.parent / "damaged"
    try:
        place.mkdir(exist_ok=True)
        number = 0
        while (target := place / f"{path.name}{f'.{number}' if number else ''}").exists():
            number += 1
        path.replace(target)
    except OSError as error:
        raise CannotWrite(
            f"{path} is damaged and cannot be moved into {place} ({error.strerror or error}). Make that a folder that "
            "can be written to, or move the file away, and give the same command again."
        ) from None
    return target


def sealed(data: Mapping[str, Any], version: int) -> str:
    """JSON text whose second value is the SHA-256 of the text itself, with zeros in the hash's own place."""
    text = json.dumps({"format": version, "sha256": _BLANK, **data}, indent=1, allow_nan=False) + "\n"
    return text.replace(_BLANK, hashlib.sha256(text.encode()).hexdigest(), 1)


def unsealed(path: Path, versions: tuple[int, ...]) -> dict[str, Any]:
    """What `sealed` wrote, without the seal but with its format.

    Raises
    ------
    Damaged
        A byte differs from what was written, or this was never written by `sealed` in one of these versions.
    """
    text = read_text(path)
    match = _SEAL.match(text)
    if match is None:
        raise Damaged(f"{path} is damaged: it does not begin with a format and a checksum.")
    blank = text[: match.start(2)] + _BLANK + text[match.end(2) :]
    if hashlib.sha256(blank.encode()).hexdigest() != match[2]:
        raise Damaged(f"{path} is damaged: its content does not have the checksum written in it.")
    data = parse_json(path, text)
    if data.get("format") not in versions:
        allowed = ", ".join(map(str, versions))
        raise Damaged(f"{path} has format {data.get('format')}; this version of denoisebench reads {allowed}.")
    del data["sha256"]
    return data


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading; nothing else has an end, or can be read twice.

    Raises
    ------
    Damaged
        It is not there or cannot be read, or it is a folder, a pipe or a device.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Damaged(f"{path} cannot be read (it is no regular file).")
        # What was put in its place since must not keep this process waiting.
        stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    except (OSError, ValueError) as error:
        raise Damaged(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise Damaged(f"{path} cannot be read (it is no regular file).")
    return stream


def read_bytes(path: Path, most: int = LARGEST_TENSORS) -> bytes:
    """The content of a regular file of at most so many bytes; raises `Damaged`."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise Damaged(f"{path} cannot be read (it has {size:,} bytes, and {most:,} are allowed).")
        try:
            data = stream.read(size + 1)
        except OSError as error:
            raise Damaged(f"{path} cannot be read ({error.strerror or error}).") from None
    if len(data) > size:
        raise Damaged(f"{path} cannot be read (it grows meanwhile).")
    return data


def read_text(path: Path, most: int = LARGEST_TEXT) -> str:
    """A UTF-8 file of at most so many bytes, whatever its line ends and with or without a mark; raises `Damaged`."""
    try:
        return read_bytes(path, most).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Damaged(f"{path} is damaged: {error}.") from None


def parse_json(path: Path, text: str) -> dict[str, Any]:
    """A JSON object without NaN, infinity or half a surrogate pair; raises `Damaged`."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Damaged(f"{path} is damaged: {error}.") from None
    if not isinstance(data, dict):
        raise Damaged(f"{path} is damaged: it holds no JSON object.")
    return data


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; raises `Damaged` if it cannot be read."""
    with open_regular(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise Damaged(f"{path} cannot be read ({error.strerror or error}).") from None


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
