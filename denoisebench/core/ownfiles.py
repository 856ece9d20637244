"""Files under names that a user's own may have too (table.md, scores.csv): only what this program wrote is overwritten.

An index in the folder lists the SHA-256 of what was written under each name, and of what it was made from. A file that
is not in it is somebody else's, or was edited: it is kept under another name before a new one takes its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.core.files import CannotWrite, Damaged, file_sha256, sealed, unsealed, write_bytes, write_text
from denoisebench.core.locks import locked

INDEX = ".denoisebench-files.json"
FORMAT = 1


def write_own(folder: Path, contents: Mapping[str, bytes], source: str = "") -> list[str]:
    """Write files of this program.

    Parameters
    ----------
    folder : Path
        Exists.
    contents : Mapping[str, bytes]
        By file name.
    source : str
        Digest of what they were made from, for `is_fresh`.

    Returns
    -------
    list[str]
        A sentence for every file of somebody else's that is now kept under another name.

    Raises
    ------
    CannotWrite
        The folder cannot be written to; what lies in it is as it was.
    """
    with locked(folder):
        return _write(folder, contents, source)


def rewrite_own(folder: Path, name: str, make: Callable[[], bytes]) -> list[str]:
    """Write a file of this program that is made from what it holds: no other process writes it in between.

    Parameters
    ----------
    folder : Path
        Exists.
    name : str
        Of the file.
    make : callable
        Reads what is there, and returns what shall be.

    Returns
    -------
    list[str]
        As `write_own`, which says what is raised, too.
    """
    with locked(folder):
        return _write(folder, {name: make()}, "")


def _write(folder: Path, contents: Mapping[str, bytes], source: str) -> list[str]:
    """What `write_own` does; the lock of the folder is held."""
    index = _read(folder)
    ours = {name: index.get(name, {}).get("sha256", []) for name in contents}
    for name, data in contents.items():
        current = _digest(folder / name)
        # Before the file, so that one that a stop leaves behind is known; the old one until then.
        digests = dict.fromkeys([sha256(data).hexdigest(), *(d for d in ours[name] if d == current)])
        index[name] = {"sha256": list(digests), "source": source}
    write_text(folder / INDEX, sealed({"files": index}, FORMAT))
    said = [keep_foreign(folder / name, {*ours[name], index[name]["sha256"][0]}) for name in contents]
    for name, data in contents.items():
        write_bytes(folder / name, data)
    return [sentence for sentence in said if sentence]


def keep_foreign(path: Path, ours: Collection[str]) -> str:
    """Give a file another name unless its SHA-256 is one of ours; says so in a sentence, or '' if nothing was to do."""
    if not os.path.lexists(path) or _digest(path) in ours:
        return ""
    return f"{path} is not as this program wrote it here; it is now {_keep(path).name}."


def keep_own(path: Path) -> str:
    """Give a file of this program a name under which it stays; returns that name.

    Raises
    ------
    CannotWrite
        The folder cannot be written to.
    """
    with locked(path.parent):
        return _keep(path).name


def is_own(path: Path) -> bool:
    """Whether a file is as this program wrote it."""
    return _digest(path) in _read(path.parent).get(path.name, {}).get("sha256", [])


def is_fresh(folder: Path, names: Iterable[str], source: str) -> bool:
    """Whether files are there as they were last written, and made from what has that digest."""
    index = _read(folder)
    for name in names:
        entry = index.get(name, {})
        if not entry or entry["source"] != source or _digest(folder / name) != entry["sha256"][0]:
            return False
    return True


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """What the index lists; nothing if it is damaged, so that files are kept rather than overwritten."""
    try:
        files = unsealed(folder / INDEX, (FORMAT,)).get("files")
    except Damaged:
        return {}
    entries = files.items() if isinstance(files, dict) else ()
    return {name: entry for name, entry in entries if _typed(entry)}


def _typed(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        return False
    digests = entry.get("sha256")
    return isinstance(digests, list) and bool(digests) and all(isinstance(digest, str) for digest in digests)


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a link, a folder and what cannot be read, nothing that an index lists."""
    try:
        return "" if path.is_symlink() else file_sha256(path)
    except UserError:
        return ""


def _keep(path: Path) -> Path:
    """Give a file a name beside its own that is free; returns it."""
    number = 1
    while os.path.lexists(target := path.with_name(f"{path.stem}.kept-{number}{path.suffix}")):
        number += 1
    try:
        path.rename(target)
    except OSError as error:
        raise CannotWrite(
            f"{path} is to be kept, and cannot be given another name ({error.strerror or error})."
        ) from None
    return target
