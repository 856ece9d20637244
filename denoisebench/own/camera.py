"""Camera raw files, read by LibRaw (rawpy): the mosaic as the camera stored it, before any development.

Noise of a mosaic is independent from pixel to pixel; that of a developed photograph is not. Each of the four places of
a 2x2 cell is an image by itself, a channel, and is put back into the mosaic afterwards.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.own.stack import Array, Stack, check_axes, need_package
from denoisebench.protocol.images import pack_bayer, unpack_bayer

SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")


def read_raw(path: Path, axes: str | None, convert: bool) -> Stack:
    """Read the mosaic of a camera raw file as four channels, the places of a 2x2 cell.

    The result is a TIFF of the mosaic, for nothing but the camera writes its raw format: 16 bits, with pattern, black
    and white level in its description.

    Parameters
    ----------
    path : Path
        A file that LibRaw reads.
    axes : str or None
        For messages alone: it is CYX.
    convert : bool
        Not used: nothing in it needs to be converted.

    Raises
    ------
    UserError
        It is damaged, has no mosaic of 2x2 cells, or rawpy is not installed.
    """
    rawpy = need_package("rawpy", "camera", path)
    try:
        with rawpy.imread(str(path)) as raw:
            pattern, flat = raw.raw_pattern, raw.raw_type is rawpy.RawType.Flat
            mosaic = np.array(raw.raw_image_visible) if flat else None
            black, white = [int(level) for level in raw.black_level_per_channel], int(raw.white_level or 0)
            letters = raw.color_desc.decode("ascii", "replace")
    except Exception as error:  # LibRaw raises many types on damaged files
        text = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise UserError(f"{path} cannot be read as camera raw ({text or type(error).__name__}).") from None
    if mosaic is None or pattern is None or pattern.shape != (2, 2):
        raise UserError(f"{path} has no mosaic of 2x2 cells (Bayer); develop it into a 16-bit TIFF.")
    colours = "".join(letters[number] for number in pattern.ravel())
    height, width = (side // 2 * 2 for side in mosaic.shape)
    named = "CYX"
    planes = np.ascontiguousarray(pack_bayer(mosaic[:height, :width, None]).transpose(2, 0, 1))
    if axes is not None:
        named = check_axes(axes, planes.shape, path)
    levels = (float(min(black)), float(white)) if white > min(black) else None
    text = f"mosaic {colours}, black {','.join(map(str, black))}, white {white}"

    def write(target: Path, result: Array) -> None:
        import tifffile

        whole = mosaic.copy()
        whole[:height, :width] = unpack_bayer(result.transpose(1, 2, 0))[:, :, 0]
        tifffile.imwrite(target, whole, description=text, photometric="minisblack", metadata=None)

    return Stack(path, planes, named, write, ".tif", [f"camera raw, written as TIFF of the mosaic ({text})"], levels)
