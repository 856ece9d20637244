"""Image files of more than 8 bits, as microscopes and cameras write them: gray or RGB, of one page, as stored."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.data.unusual import deep_colour
from denoisebench.protocol.imagefiles import FORMATS, upright
from denoisebench.protocol.images import MOST_PIXELS, SMALLEST_SIDE, AnyImage, decode_image, refuse_not_finite

_ORIENTATION, _EXTRA = 274, 338
_GRAY, _RGB = 1, 2
_PNG_GRAY, _PNG_RGB = 0, 2


class _NotDeep(Exception):  # noqa: N818 - reads as what is found
    """No image of more than 8 bits that is known here."""


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
    try:
        return decode_image(data, path)
    except UserError as error:
        usual = error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = FORMATS.get(path.suffix.lower())
            pixels = _png(data) if kind == "PNG" else _tiff(data) if kind == "TIFF" else None
    except Exception:  # decoders raise many types on damaged files, and the first reader has said what is wrong
        raise usual from None
    if pixels is None or min(pixels.shape[:2]) < SMALLEST_SIDE:
        raise usual
    refuse_not_finite(pixels, f"Image {path}")
    return np.ascontiguousarray(pixels)


def _png(data: bytes) -> AnyImage:
    from PIL import Image

    bits, colour = data[24], data[25]
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if bits != 16 or colour not in (_PNG_GRAY, _PNG_RGB) or "transparency" in image.info:
            raise _NotDeep
        _check_size(image.height, image.width)
        pixels = np.asarray(image)[:, :, None] if colour == _PNG_GRAY else deep_colour(image, data)
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    return _turned(pixels.astype(np.uint16), orientation)


def _tiff(data: bytes) -> AnyImage:
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as tif:
        page = tif.pages.first
        gray, colour = (page.photometric, page.axes) == (_GRAY, "YX"), page.photometric == _RGB
        if len(tif.pages) != 1 or not (gray or (colour and page.axes in ("YXS", "SYX"))) or _EXTRA in page.tags:
            raise _NotDeep
        _check_size(page.imagelength, page.imagewidth)
        pixels = page.asarray()
        tag = page.tags.get(_ORIENTATION)
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32)
    elif pixels.dtype != np.uint16:
        raise _NotDeep
    planes = pixels[:, :, None] if gray else pixels.transpose(1, 2, 0) if page.axes == "SYX" else pixels
    if planes.shape[2] not in (1, 3):
        raise _NotDeep
    return _turned(planes.astype(planes.dtype.newbyteorder("=")), 1 if tag is None else int(tag.value))


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


def _check_size(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise _NotDeep


def _turned(pixels: AnyImage, orientation: int) -> AnyImage:
    return upright(pixels, orientation if orientation in range(1, 9) else 1)
