"""An array in a file, filled part by part: who is stopped goes on with what is there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.core.files import CannotWrite

# What a file system says that cannot set room aside.
_UNABLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def resumable_array(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.memmap[Any, Any]:
    """An array in a file, as it was left, or a new one; not-a-number there where it holds floats, zero where not.

    Parameters
    ----------
    path : Path
        Under a name that nobody else has: one of another shape or type is replaced.
    shape : tuple of int
        Its sides.
    kind : np.dtype
        Its type.

    Raises
    ------
    CannotWrite
        The disk has no room for all of it, the folder is read-only, ...; no file is left then that was not there.
    """
    try:
        found = _left(path, shape, kind)
        if found is not None:
            return found
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
        _reserve(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _refusal(path, error) from None
    if kind.kind == "f":
        array[:] = np.nan
    return array


def _left(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.memmap[Any, Any] | None:
    """What an earlier process left, if it is of this shape and type."""
    if not path.is_file():
        return None
    try:
        found = np.lib.format.open_memmap(path, mode="r+")
    except (ValueError, OSError):  # cut off while it was made
        return None
    if found.shape != shape or found.dtype != kind:
        return None
    _reserve(path)
    return found


def _reserve(path: Path) -> None:
    """Take all of a file's room on the disk: a write through memory to a full disk would end the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise


def _refusal(path: Path, error: OSError) -> CannotWrite:
    return CannotWrite(
        f"Cannot keep what is done in {path.parent} ({error.strerror or error}); make room or choose another folder, "
        "and give the same command again."
    )
