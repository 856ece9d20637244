"""Image files that are neither 8-bit gray nor 8-bit RGB: made so where somebody asks for it, and named."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError, UserErrors, unknown
from denoisebench.core.text import counted
from denoisebench.protocol.imagefiles import FORMATS, upright
from denoisebench.protocol.images import MOST_PIXELS, SMALLEST_SIDE, UIntImage, decode_image

if TYPE_CHECKING:
    from PIL.Image import Image

#: What is done with a folder that holds such files.
CHOICES = ("stop", "skip", "convert")
#: Mistakes of a folder that are printed.
MOST_NAMED = 30
_ORIENTATION = 274
_PNG_GRAY_ALPHA = 4
_KINDS = {
    "P": "a palette", "PA": "a palette with alpha", "CMYK": "CMYK", "LA": "alpha", "RGBA": "alpha", "RGBa": "alpha",
    "La": "alpha", "YCbCr": "YCbCr", "LAB": "CIE L*a*b*", "HSV": "HSV", "1": "black and white", "I": "16 bits",
    "I;16": "16 bits", "I;16B": "16 bits", "I;16L": "16 bits",
}  # fmt: skip
_GRAY = ("LA", "La", "1")


def check_choice(text: str) -> str:
    """One of `CHOICES`.

    Raises
    ------
    UserError
        It is another.
    """
    if text not in CHOICES:
        raise unknown("way with unusual images", text, CHOICES)
    return text


def converted(data: bytes, path: Path) -> tuple[UIntImage, str]:
    """An image file as 8-bit gray or RGB, and what it was, '' where nothing had to be done.

    Palettes are looked up, CMYK and other colours become RGB, alpha and transparent colours are left out, 16 bits are
    rounded to 8.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : Path
        Its name; the suffix says which decoder reads it.

    Raises
    ------
    UserError
        It is damaged, animated, too large or too small, or of a kind that is not known here.
    """
    try:
        return decode_image(data, path), ""
    except UserError as error:
        usual = error
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise usual
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                if image.width * image.height > MOST_PIXELS or getattr(image, "n_frames", 1) != 1:
                    raise usual
                pixels, what = _eight_bits(image, data)
                orientation = int(image.getexif().get(_ORIENTATION, 1))
    except UserError:
        raise
    except Exception:  # Pillow raises many types on damaged files, and the first reader has said what is wrong
        raise usual from None
    if not what or min(pixels.shape[:2]) < SMALLEST_SIDE:
        raise usual
    turned = upright(pixels, orientation if orientation in range(1, 9) else 1)
    return np.ascontiguousarray(turned), what


def _eight_bits(image: Image, data: bytes) -> tuple[UIntImage, str]:
    """(H, W, 1) or (H, W, 3), and what it was; '' if it is a kind that is not known here."""
    deep = image.format == "PNG" and data[24] == 16
    what = _KINDS.get(image.mode, "")
    if what == "16 bits":
        return rounded(np.asarray(image))[:, :, None], what
    if deep and image.mode == "RGB":
        return rounded(deep_colour(image, data)), "16 bits"
    if deep and image.mode == "RGBA":
        return rounded(_without_alpha(image, data)), f"{what}, 16 bits"
    if what:
        return gray_or_rgb(image), what
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        found = np.asarray(image)
        return found if found.ndim == 3 else found[:, :, None], "a transparent colour"
    return np.zeros((0, 0, 1), np.uint8), ""


def gray_or_rgb(image: Image) -> UIntImage:
    """The colours of an image that is neither, in 8 bits: (H, W, 1) where they are gray, else (H, W, 3)."""
    found = np.asarray(image.convert("L" if image.mode in _GRAY else "RGB"))
    return found if found.ndim == 3 else found[:, :, None]


def rounded(values: npt.NDArray[Any]) -> UIntImage:
    """16 bits as 8: white stays white, halves are rounded up."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("values beyond 16 bits")
    return ((values.astype(np.uint32) * 2 + 257) // 514).astype(np.uint8)


def deep_colour(image: Image, data: bytes) -> npt.NDArray[np.uint16]:
    """A PNG of 16 bits in colour: Pillow keeps the high bytes, and the low ones if told that they come first."""
    return _words(np.asarray(image), _read_as("RGB;16L", data))


def _without_alpha(image: Image, data: bytes) -> npt.NDArray[np.uint16]:
    """A PNG of 16 bits with alpha, which Pillow opens as RGBA even where it is gray."""
    if data[25] == _PNG_GRAY_ALPHA:
        bytes_of = _read_as("RGBA", data)  # high and low byte of gray, then of alpha
        return _words(bytes_of[:, :, :1], bytes_of[:, :, 1:2])
    return _words(np.asarray(image)[:, :, :3], _read_as("RGBA;16L", data)[:, :, :3])


def _words(high: UIntImage, low: UIntImage) -> npt.NDArray[np.uint16]:
    return np.asarray(high.astype(np.uint16) << 8 | low)


def _read_as(order: str, data: bytes) -> UIntImage:
    """The bytes that Pillow keeps of a PNG if it takes the samples of a pixel to lie in another order."""
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(data), formats=["PNG"]) as again:
        swapped = []
        for tile in again.tile:
            rest = tile.args[1:] if isinstance(tile.args, tuple) else ()
            swapped.append(tile._replace(args=(order, *rest) if rest else order))
        again.tile = swapped
        return np.asarray(again)


def refusal(errors: Sequence[UserError], mixed: Sequence[UserError], usable: int, choice: str | None) -> UserError:
    """All that is wrong with the images of a folder, and what can be done about it.

    Parameters
    ----------
    errors : Sequence[UserError]
        One for each file that cannot be used.
    mixed : Sequence[UserError]
        What is wrong with all of the others together.
    usable : int
        How many others there are.
    choice : str or None
        What was asked for; None where nobody could ask.
    """
    shown = [*errors[:MOST_NAMED]]
    if len(errors) > MOST_NAMED:
        shown.append(UserError(f"There is the same to say of {counted(len(errors) - MOST_NAMED, 'image')} more."))
    ways = ["convert makes gray or RGB what can be"] if choice == "stop" else []
    ways += ["skip leaves out all that are unusual"] if usable and choice not in ("skip", None) else []
    if errors and (ways or choice is None):
        text = f"{len(errors)} of {counted(usable + len(errors), 'image')} cannot be used as they are"
        shown.append(UserError(f"{text}; of --on-unusual, {' and '.join(ways)}." if ways else f"{text}."))
    shown += mixed
    return shown[0] if len(shown) == 1 else UserErrors(shown)
