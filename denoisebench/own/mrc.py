"""MRC files of electron microscopes (mrcfile), written back as such, header and all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError, reason_of
from denoisebench.own.stack import Array, Stack, check_axes, need_package

SUFFIXES = (".mrc", ".mrcs")
# What mrcfile sets by the data that it writes.
_OF_THE_DATA = frozenset(
    {"nx", "ny", "nz", "mode", "dmin", "dmax", "dmean", "rms", "machst", "map", "nsymbt", "exttyp"}
)
_AXES = {2: "YX", 3: "ZYX", 4: "QZYX"}


def read_mrc(path: Path, axes: str | None, convert: bool) -> Stack:
    """Read an image, stack or volume.

    Parameters
    ----------
    path : Path
        The file.
    axes : str or None
        Names of the axes; YX, ZYX or QZYX if not given.
    convert : bool
        Not used: nothing in it needs to be converted.

    Raises
    ------
    UserError
        It is damaged, holds complex numbers, or mrcfile is not installed.
    """
    mrcfile = need_package("mrcfile", "mrc", path)
    try:
        with mrcfile.open(path, permissive=False) as mrc:
            data, header, extended = np.array(mrc.data), mrc.header.copy(), mrc.extended_header.copy()
    except Exception as error:  # mrcfile raises several types on damaged files
        raise UserError(f"{path} cannot be read as MRC ({reason_of(error)}).") from None
    named = _AXES[data.ndim] if axes is None else check_axes(axes, data.shape, path)

    def write(target: Path, result: Array) -> None:
        with mrcfile.new(target, overwrite=True) as mrc:
            # Byte order too.
            mrc.set_data(result.astype(data.dtype, copy=False))
            mrc.set_extended_header(extended)
            mrc.header.exttyp = header.exttyp
            for name in header.dtype.names:
                if name not in _OF_THE_DATA:
                    mrc.header[name] = header[name]

    return Stack(path, data, named, write, path.suffix)
