"""Reading images strictly, padding them for a network, packing raw ones, turning results back into 8 bits."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError

FloatImage = npt.NDArray[np.float32]
UIntImage = npt.NDArray[np.uint8]
#: (H, W, C): uint8 or uint16 with white at the largest value, or float with white = 1.0.
AnyImage = npt.NDArray[Any]
#: What the numbers of channels are called, and in file names.
CHANNEL_KINDS = {1: "gray", 3: "colour", 4: "packed raw"}
CHANNEL_NAMES = {1: "gray", 3: "rgb", 4: "raw"}

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")
SMALLEST_SIDE = 11  # the SSIM window
# A file of a few kilobytes can hold more pixels than memory; photographs and micrographs stay below this.
MOST_PIXELS = 178_956_970
_ALLOWED = "allowed are 8-bit gray (mode L) and 8-bit RGB images"
_MEND = {
    "P": "it is a palette image (mode P); convert it to RGB",
    "1": "it is a 1-bit image; convert it to 8-bit gray",
    "RGBA": "it has an alpha channel (mode RGBA); flatten it to RGB",
    "LA": "it has an alpha channel (mode LA); flatten it to gray",
    "PA": "it has an alpha channel (mode PA); flatten it to RGB",
    "CMYK": "it is a CMYK image; convert it to RGB",
    "F": "it holds floating-point values; convert it to 8 bits",
}


def read_image(path: Path) -> UIntImage:
    """Read an 8-bit gray or RGB image file exactly as stored.

    Parameters
    ----------
    path : an image file

    Returns
    -------
    (H, W, 1) or (H, W, 3) uint8

    Raises
    ------
    UserError
        The file is missing, corrupt, not 8-bit gray or RGB, or smaller than the SSIM window.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns from half its limit on, and refuses at it: at the number that is ours too.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path)
        with opened as image:
            mode = image.mode
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            # Pillow narrows 16-bit colour silently; only the raw mode of its tiles tells.
            deep = mode.startswith("I") or any(";16" in str(tile) for tile in image.tile)
            if deep or mode not in ("L", "RGB"):
                why = _MEND.get(mode, "it is a 16- or 32-bit image" if deep else f"its mode is {mode}")
                raise UserError(f"Image {path} cannot be used: {why}; {_ALLOWED}.")
            pixels = np.asarray(image)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"Image {path} does not exist.") from None
    except Image.DecompressionBombError:
        raise UserError(
            f"Image {path} has more than {MOST_PIXELS:,} pixels, which is refused because such a file may be a "
            "decompression bomb. Cut the image into smaller ones."
        ) from None
    except Exception as error:  # Pillow raises many types on damaged files
        raise UserError(f"Image {path} is corrupt or no image ({error}); {_ALLOWED}.") from None
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        height, width = pixels.shape[:2]
        raise UserError(f"Image {path} is {width}x{height} pixels; SSIM needs at least {SMALLEST_SIDE} on each side.")
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[:, :, None])


def list_images(folder: Path) -> list[Path]:
    """Image files directly in a folder, sorted by name.

    Raises
    ------
    UserError
        The folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"Folder {folder} does not exist.")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise UserError(f"Folder {folder} holds no image ({', '.join(EXTENSIONS)}).")
    return found


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
        return np.floor(luma + 0.5).astype(np.uint8)[:, :, None]  # type: ignore[no-any-return]
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
