"""MATLAB files, version 5 (scipy) and 7.3 (HDF5): arrays by key, and raw images of which only a part is read."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import changed
from denoisebench.protocol.images import pack_bayer, refuse_not_finite, to_float

_INSTALL = "Reading MATLAB 7.3 files needs the package h5py: pip install 'denoisebench[raw]'."


def read_mat(path: Path, key: str, sha256: str | None = None) -> npt.NDArray[Any]:
    """An array of real numbers of a MATLAB file, axes as MATLAB has them.

    Parameters
    ----------
    sha256 : str | None
        What the file must be, if that is known.

    Raises
    ------
    UserError
        The file is missing, truncated, changed or no MATLAB file, or has no such key, or not one of finite numbers;
        names file and key.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"File {path} cannot be read ({error.strerror or error}).") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise changed(path)
    array = _array(path, key, data)
    if array.dtype.kind not in "fu":
        raise UserError(
            f"File {path}: {key} is of type {array.dtype}; allowed are floats with white = 1.0 and unsigned integers."
        )
    refuse_not_finite(array, f"File {path}: {key}")
    return array


def _array(path: Path, key: str, data: bytes) -> npt.NDArray[Any]:
    if _is_hdf5(path):
        with _open(path, key, io.BytesIO(data)) as (found, _):
            try:
                return np.asarray(found[()]).T
            except (OSError, zlib.error, ValueError, TypeError) as error:
                raise _damaged(path, key, error) from None
    from scipy.io import loadmat

    try:
        contents = loadmat(io.BytesIO(data), variable_names=[key])
    except Exception as error:  # scipy raises many types on damaged files
        raise _damaged(path, key, error) from None
    if key not in contents:
        raise _no_key(path, key, list(mat_shapes(path)))
    return np.asarray(contents[key])


def mat_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of a MATLAB file and their shapes, without reading them."""
    if _is_hdf5(path):
        import h5py

        try:
            with h5py.File(path, "r") as file:
                found = {key: file[key] for key in file if file.get(key, getlink=True).__class__ is h5py.HardLink}
                return {key: tuple(reversed(x.shape)) for key, x in found.items() if isinstance(x, h5py.Dataset)}
        except (OSError, KeyError, RuntimeError) as error:
            raise _damaged(path, "", error) from None
    from scipy.io import whosmat

    try:
        return {key: tuple(shape) for key, shape, _ in whosmat(path)}
    except Exception as error:  # as above
        raise _damaged(path, "", error) from None


class MatImage:
    """A raw mosaic in a MATLAB 7.3 file as packed planes (H/2, W/2, 4), read where it is sliced.

    Parameters
    ----------
    path, key : Path or str
        Where it is; two axes of even length.
    unchanged : Callable[[], None]
        Raises if the file is not what it was when it was hashed; called whenever it is opened.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path, key: str, unchanged: Callable[[], None] = lambda: None) -> None:
        self._path, self._key, self._unchanged = path, key, unchanged
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
            self._unchanged()
            try:
                # MATLAB stores columns first.
                part = data[2 * columns.start : 2 * columns.stop, 2 * rows.start : 2 * rows.stop]
            except (OSError, zlib.error) as error:
                raise _damaged(self._path, self._key, error) from None
        planes = to_float(pack_bayer(np.asarray(part).T[:, :, None]))
        refuse_not_finite(planes, f"File {self._path}: a part of {self._key}")
        return planes


class _open:  # noqa: N801 - used like a function
    """A data set of an HDF5 file, and its shape as MATLAB has it; ``content`` is the file where it was read already."""

    def __init__(self, path: Path, key: str, content: BinaryIO | None = None) -> None:
        self._path, self._key, self._content = path, key, content

    def __enter__(self) -> tuple[Any, tuple[int, ...]]:
        import h5py

        try:
            self._file = h5py.File(self._content or self._path, "r")
        except OSError as error:
            raise _damaged(self._path, self._key, error) from None
        try:
            link = self._file.get(self._key, getlink=True)
            data = self._file[self._key] if isinstance(link, h5py.HardLink) else None
            if not isinstance(data, h5py.Dataset) or data.shape is None:
                raise _no_key(self._path, self._key, list(self._file))
            # A link, a virtual or an external array is the content of another file, which nobody hashed.
            if data.is_virtual or data.external:
                raise UserError(f"File {self._path}: {self._key} lies in other files; store it in this one.")
        except (KeyError, OSError, RuntimeError) as error:
            self._file.close()
            raise _damaged(self._path, self._key, error) from None
        except UserError:
            self._file.close()
            raise
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
