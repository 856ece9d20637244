"""Image files of more than 8 bits, as microscopes and cameras write them: gray or RGB, of one page, as stored."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError, reason_of
from denoisebench.data.unusual import deep_colour
from denoisebench.protocol.imagefiles import Header, upright
from denoisebench.protocol.images import AnyImage, decode_image, header_of, refuse_not_finite, refuse_tiny


def stored_pixels(data: bytes, path: Path) -> AnyImage:
    """The pixels of an image file: 8 bits, or PNG and TIFF of 16 bits, or TIFF of floats.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name; the suffix says which decoder reads it.

    Returns
    -------
    AnyImage
        (H, W, 1) or (H, W, 3), uint8, uint16 or float32, turned as its orientation says.

    Raises
    ------
    UserError
        It is damaged, of another kind, too large or too small, or holds values that are not finite.
    """
    header = header_of(data, path, deep=True)
    return decode_image(data, path) if header.values == "uint8" else deep_pixels(header, path)


def deep_pixels(header: Header, path: Path) -> AnyImage:
    """`stored_pixels` of a file of 16 bits or floats whose header was read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = (_png if header.kind == "PNG" else _tiff)(header)
            pixels = pixels.astype(header.values).reshape(header.height, header.width, header.channels)
    except Exception as error:  # decoders raise many types on damaged files
        raise UserError(f"Image {path} cannot be read {said_of(error)}") from None
    refuse_not_finite(pixels, f"Image {path}")
    refuse_tiny(pixels, path)
    return np.ascontiguousarray(upright(pixels, header.orientation))


def _png(header: Header) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(io.BytesIO(header.data), formats=["PNG"]) as image:
        return np.asarray(image) if header.channels == 1 else deep_colour(image, header.data)


def _tiff(header: Header) -> npt.NDArray[Any]:
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(io.BytesIO(header.data)) as tif:
        page = tif.pages.first
        if 0 in page.databytecounts:  # read as zeros otherwise
            raise ValueError("a part of it was never written")
        pixels = page.asarray()
        return pixels.transpose(1, 2, 0) if page.axes == "SYX" else pixels


def said_of(error: Exception) -> str:
    """What a decoder said, for the end of a sentence, and what to install where a decoder of a compression lacks."""
    hint = ' Install it: pip install "denoisebench[formats]".' if "imagecodecs" in str(error) else ""
    return f"({reason_of(error)}).{hint}"


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """What tifffile would say of files that are not as they should be, it raises too where it matters."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
