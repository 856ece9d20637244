"""Reading images strictly, padding them for a network, packing raw ones, turning results back into 8 bits."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError, no_folder
from denoisebench.core.systemfiles import own_entries
from denoisebench.core.text import readable
from denoisebench.protocol.imagefiles import FORMATS, Corrupt, Header, Unsuitable, read_header, upright

FloatImage = npt.NDArray[np.float32]
UIntImage = npt.NDArray[np.uint8]
#: (H, W, C): uint8 or uint16 with white at the largest value, or float with white = 1.0.
AnyImage = npt.NDArray[Any]
#: What the numbers of channels are called, and in file names.
CHANNEL_KINDS = {1: "gray", 3: "colour", 4: "packed raw"}
CHANNEL_NAMES = {1: "gray", 3: "rgb", 4: "raw"}

EXTENSIONS = tuple(FORMATS)
SMALLEST_SIDE = 11  # the SSIM window
# A file of a few kilobytes can hold more pixels than memory; photographs and micrographs stay below this.
MOST_PIXELS = 178_956_970
MOST_BYTES = 2**30
_ALLOWED = "allowed are 8-bit gray (mode L) and 8-bit RGB images"
_DEEP_ALLOWED = "allowed are gray and RGB images of 8 bits, of 16 bits (PNG, TIFF) or floats (TIFF)"
_MEND = {
    "P": "it is a palette image (mode P); convert it to RGB",
    "RGBA": "it has an alpha channel (mode RGBA); flatten it to RGB",
}


@dataclass(frozen=True)
class Picture:
    """An image file that was read once: what was hashed is what was decoded.

    Parameters
    ----------
    pixels : UIntImage
        (H, W, 1) or (H, W, 3), upright.
    sha256 : str
        Of the bytes of the file.
    turned : bool
        Whether the file asked for the stored image to be turned or mirrored.
    """

    pixels: UIntImage
    sha256: str
    turned: bool


def read_image(path: Path) -> UIntImage:
    """Read an 8-bit gray or RGB image file: the pixels as stored, upright.

    Parameters
    ----------
    path : Path
        An image file; its suffix says which decoder reads it, and the content must agree.

    Returns
    -------
    UIntImage
        (H, W, 1) or (H, W, 3) uint8, turned as the orientation in EXIF or TIFF says.

    Raises
    ------
    UserError
        The file is missing, corrupt, not of one page of 8-bit gray or RGB, or smaller than the SSIM window.
    """
    return read_picture(path).pixels


def read_picture(path: Path) -> Picture:
    """`read_image` with the hash of the very bytes that were decoded."""
    data = image_bytes(path)
    pixels, turned = _decoded(data, path)
    return Picture(pixels, hashlib.sha256(data).hexdigest(), turned)


def image_bytes(path: Path) -> bytes:
    """The content of an image file; a pipe or a device is no file, and is not waited for.

    Raises
    ------
    UserError
        The file is missing, unreadable, not regular, or larger than `MOST_BYTES`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"Image {path} cannot be used: it is no regular file.")
            if status.st_size > MOST_BYTES:
                raise UserError(f"Image {path} has {status.st_size:,} bytes; more than {MOST_BYTES:,} are refused.")
            return stream.read()
    except FileNotFoundError:
        raise (_dangling(path) if path.is_symlink() else UserError(f"Image {path} does not exist.")) from None
    except OSError as error:
        raise UserError(f"Image {path} cannot be read ({error.strerror or error}).") from None


def header_of(data: bytes, path: Path, deep: bool = False) -> Header:
    """What an image file says of itself, all of it allowed; nothing is decoded. Raises `UserError`.

    ``deep`` allows 16 bits and floats, where the format has them.
    """
    suffix, allowed = path.suffix.lower(), _DEEP_ALLOWED if deep else _ALLOWED
    if suffix not in FORMATS:
        raise UserError(f"Image {path} cannot be used: allowed are the suffixes {', '.join(EXTENSIONS)}.")
    try:
        header = read_header(data, suffix, deep)
    except Unsuitable as error:
        raise UserError(f"Image {path} cannot be used: {error}; {allowed}.") from None
    except Corrupt as error:
        raise UserError(f"Image {path} is corrupt or no image ({error}); {allowed}.") from None
    except Exception as error:  # Pillow opens WebP, and raises many types
        raise UserError(f"Image {path} is corrupt or no image ({error}); {allowed}.") from None
    if header.width * header.height > MOST_PIXELS:
        raise UserError(
            f"Image {path} has more than {MOST_PIXELS:,} pixels, which is refused because such a file may be a "
            "decompression bomb. Cut the image into smaller ones."
        )
    return header


def decode_image(data: bytes, path: Path) -> UIntImage:
    """`read_image` of bytes that were read from a file already; the path names them."""
    return _decoded(data, path)[0]


def _decoded(data: bytes, path: Path) -> tuple[UIntImage, bool]:
    from PIL import Image

    header = header_of(data, path)
    try:
        with warnings.catch_warnings():
            # Sizes were judged by the header.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(header.data), formats=[header.kind]) as image:
                mode, pages = image.mode, getattr(image, "n_frames", 1)
                # Of a TIFF the pages that are no previews were counted.
                if image.size != (header.width, header.height) or (pages != 1 and header.kind != "TIFF"):
                    raise ValueError(f"its header is not that of the {pages} decoded images")
                if header.channels and mode != ("L" if header.channels == 1 else "RGB"):
                    raise ValueError(f"it is decoded as mode {mode}")
                if mode not in ("L", "RGB"):
                    why = _MEND.get(mode, f"its mode is {mode}")
                    raise UserError(f"Image {path} cannot be used: {why}; {_ALLOWED}.")
                pixels = np.asarray(image)
    except UserError:
        raise
    except Exception as error:  # Pillow raises many types on damaged files
        raise UserError(f"Image {path} is corrupt or no image ({error}); {_ALLOWED}.") from None
    pixels = upright(pixels if pixels.ndim == 3 else pixels[:, :, None], header.orientation)
    refuse_tiny(pixels, path)
    return np.ascontiguousarray(pixels), header.orientation != 1


def refuse_tiny(pixels: AnyImage, path: Path) -> None:
    """Raise `UserError` if the window of SSIM does not fit into an image."""
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise UserError(f"Image {path} is {width}x{height} pixels; SSIM needs at least {SMALLEST_SIDE} on each side.")


def list_images(folder: Path) -> list[Path]:
    """Image files directly in a folder, sorted by name; `left_out` tells what else is there.

    Raises
    ------
    UserError
        The folder does not exist or holds no image, or something with the name of an image is no file.
    """
    found = image_files(folder)
    if not found:
        raise _no_image(folder)
    return found


def named_images(folder: Path) -> list[Path]:
    """`list_images` without a look at them: reading says what is no file.

    Raises
    ------
    UserError
        The folder does not exist, or nothing in it has the name of an image.
    """
    found = named_as_images(folder)
    if not found:
        raise _no_image(folder)
    return found


def _no_image(folder: Path) -> UserError:
    others = left_out(folder)
    also = f"; it holds {some(others)}" if others else ""
    return UserError(f"Folder {folder} holds no image ({', '.join(EXTENSIONS)}){also}.")


def named_as_images(folder: Path) -> list[Path]:
    """`named_images` of a folder that may hold none."""
    if not folder.is_dir():
        raise no_folder(folder)
    return [path for path in own_entries(folder) if path.suffix.lower() in EXTENSIONS and not path.is_dir()]


def image_files(folder: Path) -> list[Path]:
    """`list_images` of a folder that may hold none."""
    found = named_as_images(folder)
    for path in found:
        if path.is_symlink() and not path.exists():
            raise _dangling(path)
        if not path.is_file():
            raise UserError(f"Image {path} cannot be used: it is no regular file; remove it.")
    return found


def _dangling(path: Path) -> UserError:
    return UserError(f"Image {path} is a link to {path.readlink()}, which is not there; mend or remove it.")


def left_out(folder: Path) -> list[str]:
    """Names of what lies in a folder and is neither an image nor a file of the system; folders end in a slash."""
    return [
        f"{path.name}/" if path.is_dir() else path.name
        for path in own_entries(folder)
        if path.is_dir() or path.suffix.lower() not in EXTENSIONS
    ]


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def image_id(name: str) -> str:
    """An image's name without its suffix: readable, in the one of its Unicode forms that Linux and Windows write."""
    return unicodedata.normalize("NFC", readable(PurePosixPath(name).with_suffix("").as_posix()))


def checked(image: AnyImage, what: str) -> AnyImage:
    """An image of a data set, if it is one; ``what`` names it in the error.

    Raises
    ------
    UserError
        It is no (H, W, C) array of unsigned integers or floats, or holds values that are not finite.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.dtype.kind not in "uf":
        shape = "x".join(map(str, image.shape))
        raise UserError(
            f"{what} is {image.dtype} of shape {shape or 'a single value'}; allowed are (height, width, channels) of "
            "unsigned integers, or of floats with white = 1.0."
        )
    refuse_not_finite(image, what)
    return image


def refuse_not_finite(values: AnyImage, what: str) -> None:
    """Raise `UserError`, with their number, if values are NaN or infinite."""
    if values.dtype.kind != "f":
        return
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise UserError(
            f"{what} holds {bad:,} values of {values.size:,} that are NaN or infinite; get it again or mend it."
        )


def pixel_hash(image: UIntImage) -> str:
    """SHA-256 of shape and pixels: the same for a PNG and a BMP of the same picture."""
    digest = hashlib.sha256("x".join(map(str, image.shape)).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def to_channels(image: UIntImage, channels: int) -> UIntImage:
    """The image with 1 or 3 channels; gray is ITU-R 601 luma, rounded, and colour is gray repeated."""
    if image.shape[2] == channels:
        return image
    if channels == 1:
        luma = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        gray: UIntImage = np.floor(luma + 0.5).astype(np.uint8)[:, :, None]
        return gray
    return np.repeat(image, channels, axis=2)


def to_float(image: AnyImage) -> FloatImage:
    """The image as float32 with white = 1.0; integers are divided by the largest value of their type."""
    image = np.asarray(image)
    if np.issubdtype(image.dtype, np.integer):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    return image.astype(np.float32, copy=False)


def pack_bayer(mosaic: AnyImage) -> AnyImage:
    """A Bayer mosaic (H, W, 1) of even sides as four planes (H/2, W/2, 4).

    Channels are the pixels (row 0, column 0), (0, 1), (1, 0), (1, 1) of every 2x2 cell, whatever colours the camera has
    there: as Blind2Unblind does. The cameras of SIDD differ in that, and its blocks do not say which one took them.
    """
    height, width, _ = mosaic.shape
    cells = mosaic.reshape(height // 2, 2, width // 2, 2)
    return np.ascontiguousarray(cells.transpose(0, 2, 1, 3).reshape(height // 2, width // 2, 4))


def unpack_bayer(planes: AnyImage) -> AnyImage:
    """The mosaic (2H, 2W, 1) of four planes (H, W, 4): the inverse of `pack_bayer`."""
    height, width, _ = planes.shape
    cells = planes.reshape(height, width, 2, 2).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(cells.reshape(2 * height, 2 * width, 1))


def to_uint8(image: npt.NDArray[np.floating]) -> UIntImage:
    """floor(clip(255 v + 0.5, 0, 255)): the rounding of the released tests."""
    return np.floor(np.clip(image.astype(np.float64) * 255.0 + 0.5, 0.0, 255.0)).astype(np.uint8)


#: A result that lies beyond the noisy image by more than this part of its range is none.
BEYOND = 0.25


def overshoot(result: npt.NDArray[np.floating], noisy: npt.NDArray[np.floating]) -> float:
    """How far values of a result lie beyond those of the noisy image, in widths of their range.

    0 if none does, infinite where one is not finite.

    A mean of pixels never lies beyond them, an edge that is sharpened by little. A network that meets what it was not
    trained on can leave them by any amount, in a part of an image.
    """
    if not np.isfinite(result).all():
        return float("inf")
    low, high = float(noisy.min()), float(noisy.max())
    beyond = max(low - float(result.min()), float(result.max()) - high, 0.0)
    return beyond / (high - low) if high > low else 0.0


def padded_size(height: int, width: int, multiple: int, square: bool) -> tuple[int, int]:
    """Size after padding each side, or both to one square, up to a multiple."""
    tall, wide = (-(-side // multiple) * multiple for side in (height, width))
    return (max(tall, wide),) * 2 if square else (tall, wide)


def pad(image: FloatImage, multiple: int, square: bool) -> FloatImage:
    """Pad bottom and right by reflection (edge pixel not repeated) up to `padded_size`; (H, W, C)."""
    height, width = image.shape[:2]
    tall, wide = padded_size(height, width, multiple, square)
    if (tall, wide) == (height, width):
        return image
    return np.pad(image, ((0, tall - height), (0, wide - width), (0, 0)), mode="reflect")
