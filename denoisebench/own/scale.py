"""Which values of a file are black and white: methods work on 0..1, files hold counts, volts or 12 of 16 bits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.own.stack import Array, Stack, layout_of
from denoisebench.protocol.images import FloatImage

#: Percentiles that are black and white where nothing says which values are; what lies beyond is not cut off.
LOW, HIGH = 0.1, 99.9
#: What may happen to values that are NaN or infinite.
NAN = ("refuse", "interpolate", "keep")
_MOST = 4_000_000
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
FORMS = "auto, type, percentile, or two values with two dots between them such as 0..4095"


@dataclass(frozen=True)
class Scale:
    """Black and white of a file, in its own values.

    Parameters
    ----------
    black, white : float
        Become 0 and 1.
    source : str
        Where they are from: 'given', 'camera', '8 bits', 'type' or 'percentiles'.
    """

    black: float
    white: float
    source: str

    def apply(self, plane: Array) -> FloatImage:
        """A plane with black = 0 and white = 1."""
        scaled = (plane.astype(np.float64) - self.black) / (self.white - self.black)
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def undo(self, image: FloatImage, kind: np.dtype[np.generic]) -> Array:
        """A plane of the file's type again; integers are rounded, and what they cannot hold is cut off."""
        values = image.astype(np.float64) * (self.white - self.black) + self.black
        if kind.kind == "f":
            return values.astype(kind)
        limits = np.iinfo(kind)  # type: ignore[type-var]  # what is no float is an integer here
        return np.clip(np.floor(values + 0.5), limits.min, limits.max).astype(kind)


def parse_range(text: str) -> tuple[float, float] | str:
    """Read ``--range``: two values, or one of the words.

    Raises
    ------
    UserError
        It is neither, or white is not above black.
    """
    if text in ("auto", "type", "percentile"):
        return text
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise UserError(f"--range {text!r} cannot be read; allowed are {FORMS}.")
    black, white = float(match[1]), float(match[2])
    if not black < white < float("inf"):
        raise UserError(f"--range {text}: white must be above black.")
    return black, white


def scale_of(stack: Stack, asked: tuple[float, float] | str) -> Scale:
    """Black and white of a file.

    Parameters
    ----------
    stack : Stack
        The file.
    asked : (float, float) or str
        The two; 'type' for all that its type can hold, 0..1 for floats; 'percentile' for 0.1 and 99.9 %; 'auto' for
        what the file says, 0..255 where it has 8 bits, else the percentiles: cameras and microscopes fill a part of
        their 16 bits.

    Raises
    ------
    UserError
        All values are equal.
    """
    if not isinstance(asked, str):
        return Scale(*asked, "given")
    if asked == "auto" and stack.levels is not None:
        return Scale(*stack.levels, "camera")
    kind = stack.data.dtype
    if asked == "type" or (asked == "auto" and kind == np.uint8):
        if kind.kind == "f":
            return Scale(0.0, 1.0, "type")
        limits = np.iinfo(kind)
        return Scale(float(limits.min), float(limits.max), "8 bits" if asked == "auto" else "type")
    flat = stack.data.reshape(-1) if stack.data.flags.c_contiguous else np.ravel(stack.data)
    sample = np.asarray(flat[:: max(1, flat.size // _MOST)], dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise UserError(f"{stack.path} holds no finite value.")
    black, white = (float(value) for value in np.percentile(sample, (LOW, HIGH)))
    if black >= white:
        black, white = float(np.nanmin(stack.data)), float(np.nanmax(stack.data))
    if black >= white:
        raise UserError(f"{stack.path} is constant (every value is {black:g}), so there is nothing to denoise.")
    return Scale(black, white, "percentiles")


def finite(stack: Stack, nan: str) -> tuple[Stack, list[str]]:
    """The file with values that are NaN or infinite filled in, and a note that says so.

    Parameters
    ----------
    stack : Stack
        The file.
    nan : str
        One of `NAN`; all but 'refuse' fill them.

    Raises
    ------
    UserError
        There are some, and they were not to be filled; or a plane has no other.
    """
    bad = 0
    if stack.data.dtype.kind == "f":
        bad = int(stack.data.size - np.count_nonzero(np.isfinite(stack.data)))
    if not bad:
        return stack, []
    if nan == "refuse":
        raise UserError(
            f"it holds {bad:,} values of {stack.data.size:,} that are NaN or infinite; give --nan interpolate to "
            "have them filled from their neighbours, or --nan keep to have them back in the result."
        )
    data = np.array(stack.data)
    layout = layout_of(stack, "auto")
    for index in layout.planes:
        plane = layout.view(data, index)
        if not np.isfinite(plane).any():
            raise UserError(f"it has a plane without a finite value ({layout.name(index) or 'its only one'}).")
        plane[...] = filled(plane)
    kept = " for the method; the result has them as they were" if nan == "keep" and data.dtype.kind == "f" else ""
    return replace(stack, data=data), [f"{bad} values that were not finite were interpolated{kept}"]


def filled(data: Array) -> Array:
    """Values that are NaN or infinite replaced by the mean of their neighbours, from the edge of a hole inwards.

    Parameters
    ----------
    data : ndarray
        A plane (H, W, C) of floats.

    Returns
    -------
    ndarray
        A copy.
    """
    from scipy.ndimage import uniform_filter

    good = np.isfinite(data)
    values = np.where(good, data, 0).astype(np.float64)
    while good.any() and not good.all():
        size = (3, 3, 1)
        count = uniform_filter(good.astype(np.float64), size, mode="constant")
        total = uniform_filter(np.where(good, values, 0.0), size, mode="constant")
        edge = ~good & (count > 1e-9)
        values[edge] = total[edge] / count[edge]
        good = good | edge
    return values.astype(data.dtype)
