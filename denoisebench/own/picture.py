"""PNG of 8 and 16 bits, JPEG and the other formats of photographs; results are always written as PNG, without loss."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from denoisebench.core.errors import UserError, reason_of
from denoisebench.data.unusual import deep_colour, gray_or_rgb
from denoisebench.own.stack import Array, Stack, ToConvert, check_axes
from denoisebench.protocol.imagefiles import FORMATS, neutral_exif, upright
from denoisebench.protocol.images import MOST_PIXELS, image_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB = ("L", "I;16", "I;16B", "I"), ("RGB",)
_TO_CONVERT = {
    "P": "a palette image", "PA": "a palette image with alpha", "CMYK": "a CMYK image", "LA": "gray with alpha",
    "RGBA": "colour with alpha", "RGBa": "colour with alpha", "La": "gray with alpha", "YCbCr": "a YCbCr image",
    "LAB": "a CIE L*a*b* image", "HSV": "an HSV image", "1": "black and white",
}  # fmt: skip
_CHUNKS_DROPPED = {b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"eXIf"}


def read_picture(path: Path, axes: str | None, convert: bool) -> Stack:
    """Read an image file of one page.

    Parameters
    ----------
    path : Path
        Its ending says which decoder reads it, a key of `denoisebench.protocol.imagefiles.FORMATS`.
    axes : str or None
        For messages alone: a picture is YX or YXS.
    convert : bool
        Whether palette, CMYK and others are made RGB, and an alpha channel left out.

    Raises
    ------
    UserError
        It is damaged, animated, or what is in it would have to be converted.
    """
    from PIL import Image

    data, kind = image_bytes(path), FORMATS[path.suffix.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                return _read(image, data, path, axes, convert)
    except UserError:
        raise
    except Exception as error:  # Pillow raises many types on damaged files
        raise UserError(f"{path} is damaged or no {kind} file ({reason_of(error)}).") from None


def _read(image: Image, data: bytes, path: Path, axes: str | None, convert: bool) -> Stack:
    if image.width * image.height > MOST_PIXELS:
        raise UserError(f"{path} has more than {MOST_PIXELS:,} pixels; cut it into smaller images.")
    if getattr(image, "n_frames", 1) > 1:
        raise UserError(f"{path} is animated; save its frames as a TIFF stack.")
    exif = image.info.get("exif", b"") or b""
    orientation, exif = neutral_exif(exif if isinstance(exif, bytes) else b"")
    icc = image.info.get("icc_profile")
    pixels, notes = _pixels(image, data, path, convert)
    pixels = np.ascontiguousarray(upright(pixels, orientation))
    if orientation != 1:
        notes.append("turned as the orientation in its metadata says")
    if icc:
        notes.append("its colour profile was kept; values were denoised as stored")
    chunks = _chunks_of(data) if image.format == "PNG" else _chunks_from(icc, image.info.get("dpi"))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    named = "YXS"[: pixels.ndim] if axes is None else check_axes(axes, pixels.shape, path)

    def write(target: Path, result: Array) -> None:
        target.write_bytes(png_bytes(result, chunks))

    suffix = path.suffix if image.format == "PNG" else ".png"
    return Stack(path, pixels, named, write, suffix, notes)


def _pixels(image: Image, data: bytes, path: Path, convert: bool) -> tuple[Array, list[str]]:
    """(H, W, C) as stored, and what was converted."""
    notes: list[str] = []
    deep = image.format == "PNG" and data[24] == 16
    alpha = image.mode in ("RGB", "L", "I;16", "I") and "transparency" in image.info
    if image.mode in _TO_CONVERT or alpha:
        what = _TO_CONVERT.get(image.mode, "an image with a transparent colour")
        if not convert:
            raise ToConvert(path, what)
        if deep and not alpha:
            raise UserError(f"{path} is {what} of 16 bits, of which 8 would be lost; flatten it yourself.")
        notes.append(f"it was {what}, and was converted")
        if image.mode in _TO_CONVERT:
            return gray_or_rgb(image), notes
    if deep and image.mode == "RGB":
        return deep_colour(image, data), notes
    if image.mode in _GRAY:
        gray16 = image.mode != "L"
        found = np.asarray(image)
        if gray16 and (found.min() < 0 or found.max() > 65535):
            raise UserError(f"{path} holds values beyond 16 bits; save it as TIFF.")
        return (found.astype(np.uint16) if gray16 else found)[:, :, None], notes
    if image.mode in _RGB:
        return np.asarray(image), notes
    raise UserError(f"{path} has the mode {image.mode}, which is not known here; save it as gray or RGB.")


def _chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Text, colour profile, resolution and whatever else a PNG file has beside its pixels."""
    found, at = [], 8
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        # Lower case: may be left alone, and is not bound to the pixels as they were.
        if name[0] & 0x20 and name not in _CHUNKS_DROPPED:
            found.append((name, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _chunks_from(icc: bytes | None, dpi: tuple[float, float] | None) -> list[tuple[bytes, bytes]]:
    chunks = [(b"iCCP", b"profile\0\0" + zlib.compress(icc))] if icc else []
    if dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(float(side) / 0.0254) for side in dpi), 1)))
    return chunks


def png_bytes(pixels: Array, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG file: (H, W) or (H, W, 3) of uint8 or uint16, and chunks that come before the pixels."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    deep = pixels.dtype == np.uint16
    rows = np.ascontiguousarray(pixels.astype(">u2" if deep else np.uint8)).reshape(height, -1).view(np.uint8)
    step = samples * (2 if deep else 1)
    filtered = rows.copy()
    filtered[:, step:] -= rows[:, :-step]
    # Filter 1, the difference to the pixel on the left, in every row.
    lines = np.concatenate([np.ones((height, 1), np.uint8), filtered], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16 if deep else 8, 2 if samples == 3 else 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(name, body) for name, body in parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
