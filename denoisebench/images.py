"""Reading images strictly, padding them for a network, turning results back into 8 bits."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from denoisebench.errors import UserError

FloatImage = npt.NDArray[np.float32]
UIntImage = npt.NDArray[np.uint8]

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
