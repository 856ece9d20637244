"""MATLAB files, version 5 (scipy) and 7.3 (HDF5): arrays by key, and raw images of which only a part is read."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import pack_bayer

_INSTALL = "Reading MATLAB 7.3 files needs the package h5py: pip install 'denoisebench[raw]'."


def read_mat(path: Path, key: str) -> npt.NDArray[Any]:
    """An array of a MATLAB file, axes as MATLAB has them.

    Raises
    ------
    UserError
        The file is missing, truncated or no MATLAB file, or has no such key; names file and key.
    """
    if _is_hdf5(path):
        with _open(path, key) as (data, _):
            return np.asarray(data[()]).T
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=[key])
    except Exception as error:  # scipy raises many types on damaged files
        raise _damaged(path, key, error) from None
    if key not in found:
        raise _no_key(path, key, list(mat_shapes(path)))
    return np.asarray(found[key])


def mat_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of a MATLAB file and their shapes, without reading them."""
    if _is_hdf5(path):
        import h5py

        with h5py.File(path, "r") as file:
            return {key: tuple(reversed(data.shape)) for key, data in file.items() if isinstance(data, h5py.Dataset)}
    from scipy.io import whosmat

    try:
        return {key: tuple(shape) for key, shape, _ in whosmat(path)}
    except Exception as error:  # as above
        raise _damaged(path, "", error) from None


class MatImage:
    """A raw mosaic in a MATLAB 7.3 file as packed planes (H/2, W/2, 4), read where it is sliced.

    Parameters
    ----------
    path, key : where it is; two axes of even length
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        if not _is_hdf5(path):
            raise UserError(f"File {path} is no MATLAB 7.3 file, or is truncated; its key {key} cannot be read.")
        with _open(path, key) as (data, shape):
            if len(shape) != 2 or shape[0] % 2 or shape[1] % 2 or data.dtype.kind not in "fu":
                raise UserError(f"File {path}: {key} is {data.dtype} {shape}, not a mosaic of two even sides.")
            self.shape = (shape[0] // 2, shape[1] // 2, 4)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float32]:
        return self[:, :].astype(dtype or self.dtype)

    def __getitem__(self, window: tuple[slice, slice]) -> npt.NDArray[np.float32]:
        rows, columns = (slice(*part.indices(side)[:2]) for part, side in zip(window, self.shape, strict=False))
        with _open(self._path, self._key) as (data, _):
            try:
                # MATLAB stores columns first.
                part = data[2 * columns.start : 2 * columns.stop, 2 * rows.start : 2 * rows.stop]
            except (OSError, zlib.error) as error:
                raise _damaged(self._path, self._key, error) from None
        return np.asarray(pack_bayer(np.asarray(part).T[:, :, None]), dtype=np.float32)


class _open:  # noqa: N801 - used like a function
    """A data set of an HDF5 file, and its shape as MATLAB has it."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key

    def __enter__(self) -> tuple[Any, tuple[int, ...]]:
        import h5py

        try:
            self._file = h5py.File(self._path, "r")
        except OSError as error:
            raise _damaged(self._path, self._key, error) from None
        data = self._file.get(self._key)
        if not isinstance(data, h5py.Dataset):
            keys = list(self._file)
            self._file.close()
            raise _no_key(self._path, self._key, keys)
        return data, tuple(reversed(data.shape))

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(520)
    except OSError as error:
        raise UserError(f"File {path} cannot be read ({error.strerror}).") from None
    # MATLAB puts 512 bytes of its own in front.
    if b"\x89HDF\r\n\x1a\n" not in (head[:8], head[512:520]):
        return False
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise UserError(f"{path}: {_INSTALL}") from None
    return True


def _damaged(path: Path, key: str, error: Exception) -> UserError:
    what = f"; its key {key} cannot be read" if key else ""
    return UserError(f"File {path} is truncated or no MATLAB file ({error}){what}. Get it again.")


def _no_key(path: Path, key: str, found: Sequence[str]) -> UserError:
    return UserError(f"File {path} has no key {key!r}; it holds {', '.join(found) or 'nothing'}.")
