"""An array in a file, filled part by part: who is stopped goes on with what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


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
    """
    if path.is_file():
        try:
            found = np.lib.format.open_memmap(path, mode="r+")
            if found.shape == shape and found.dtype == kind:
                return found
        except (ValueError, OSError):  # cut off while it was made
            pass
        path.unlink()
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    if kind.kind == "f":
        array[:] = np.nan
    return array
