"""NumPy files: .npy, and .npz with a single array."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.own.stack import Array, Stack, axes_asked, check_axes


def read_array(path: Path, axes: str | None) -> Stack:
    """Read a NumPy file; nothing in it is unpickled.

    Parameters
    ----------
    path : Path
        A file with the ending .npy or .npz.
    axes : str or None
        Names of the axes. Without them (H, W) and (H, W, 3) are taken as an image.

    Raises
    ------
    UserError
        It is damaged, holds several arrays or objects, or its axes are not known.
    """
    try:
        if path.suffix.lower() == ".npy":
            key, data = "", np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as held:
                if len(held.files) != 1:
                    raise UserError(f"{path} holds {len(held.files)} arrays; save the one to denoise alone.")
                key = held.files[0]
                data = held[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as a NumPy file ({error}).") from None
    if axes is not None:
        named = check_axes(axes, data.shape, path)
    elif data.ndim == 2 or (data.ndim == 3 and data.shape[2] == 3):
        named = "YXS"[: data.ndim]
    else:
        raise axes_asked(data.shape, path)

    def write(target: Path, result: Array) -> None:
        with target.open("wb") as stream:
            if key:
                named: dict[str, Any] = {key: result}
                np.savez_compressed(stream, **named)
            else:
                np.save(stream, result)

    return Stack(path, data, named, write, path.suffix)
