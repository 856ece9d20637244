"""Files that are whole or not there: atomic writing, and JSON that carries its own checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from denoisebench.core.errors import UserError

# A file under its temporary name for longer than this is what a killed process left.
STALE_SECONDS = 3600.0
_SEAL = re.compile(r'\A\{\n "format": (\d+),\n "sha256": "([0-9a-f]{64})"')
_BLANK = "0" * 64


class CannotWrite(UserError):  # noqa: N818 - reads as what happened
    """A file cannot be written; what lay in its place is unchanged."""


class Damaged(UserError):  # noqa: N818 - reads as what is found
    """A stored file is not what was written."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one.

    Raises
    ------
    CannotWrite
        The disk is full, the folder is read-only, ...; the old file is untouched.
    """
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        # Half a file would only take more of a full disk.
        _unlink(temporary)
        raise CannotWrite(
            f"Cannot write {path} ({error.strerror or error}). What was stored before is intact; make room or choose "
            "another folder, and give the same command again."
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
    """Remove what killed processes left under temporary names."""
    for path in folder.glob("*.tmp*"):
        try:
            old = time.time() - path.stat().st_mtime > STALE_SECONDS
        except OSError:
            continue
        if old:
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
        raise CannotWrite(f"{path} is damaged and cannot be moved away ({error.strerror or error}).") from None
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


def read_text(path: Path) -> str:
    """A UTF-8 file, whatever its line ends; raises `Damaged`."""
    try:
        return path.read_bytes().decode().replace("\r\n", "\n")
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror or error}).") from None
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
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror or error}).") from None


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
