"""One image as every method leaves it: the whole picture, and the place where the methods differ most, enlarged."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import AnyImage, FloatImage, to_float, to_uint8
from denoisebench.protocol.metrics import Scoring
from denoisebench.reports.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A crop that is chosen has this part of the shorter side, and at least so many pixels.
_PART, _LEAST = 5, 48
_ACROSS = 5


class Crop(NamedTuple):
    """A rectangle of pixels, from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """One image of the figure.

    Parameters
    ----------
    name : str
        Heading.
    image : FloatImage
        (H, W, C), floats of about 0..1.
    psnr, ssim : float | None
        Of the whole image; None for the clean one.
    """

    name: str
    image: FloatImage
    psnr: float | None = None
    ssim: float | None = None


def parse_crop(text: str) -> Crop:
    """A crop written as ``x,y,width,height`` in pixels; raises `UserError`."""
    found = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*,\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", text, re.ASCII)
    if found is None:
        raise UserError(f"--crop {text}: four whole numbers, x,y,width,height in pixels, such as 100,60,64,64.")
    crop = Crop(*map(int, found.groups()))
    if min(crop.width, crop.height) < 8:
        raise UserError(f"--crop {text}: a crop has at least 8 pixels on each side.")
    return crop


def check_crop(crop: Crop, image: AnyImage) -> None:
    """Raise `UserError` for a crop that leaves the image."""
    height, width = image.shape[:2]
    if crop.x + crop.width > width or crop.y + crop.height > height:
        raise UserError(f"--crop {','.join(map(str, crop))} leaves the image, which is {width}x{height} pixels.")


def telling_crop(results: Sequence[FloatImage]) -> Crop:
    """The square where results differ most: the largest mean of their standard deviation.

    A single result has no deviation; then the middle is taken.
    """
    height, width = results[0].shape[:2]
    side = min(max(min(height, width) // _PART, _LEAST), height, width)
    if len(results) < 2:
        return Crop((width - side) // 2, (height - side) // 2, side, side)
    # Of what is shown, so that a picture that was kept in 8 bits gives the same place as one that was not.
    deviation = np.std([to_uint8(result).mean(axis=2) for result in results], axis=0, dtype=np.float64)
    sums = np.pad(deviation.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(int(windows.argmax()), windows.shape)
    return Crop(int(x), int(y), side, side)


def scored(name: str, image: FloatImage, clean: AnyImage, scoring: Scoring) -> Picture:
    """A picture with its scores."""
    return Picture(name, image, *scoring.score(image, clean))


def draw(
    clean: Picture, pictures: Sequence[Picture], crops: Sequence[Crop], heading: str, errors: bool = False
) -> Figure:
    """The clean image at the left with the crops marked, and the crops of every picture beside it.

    Parameters
    ----------
    clean : Picture
        The reference.
    pictures : sequence of Picture
        The noisy image and the results, in order; the clean one is added at the end.
    crops : sequence of Crop
        Each becomes a block of tiles.
    heading : str
        Image, test set and noise.
    errors : bool
        Whether the absolute errors of each crop follow it, all on one scale.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Rectangle

    tiles = [*pictures, clean]
    rows = math.ceil(len(tiles) / _ACROSS)
    across = math.ceil(len(tiles) / rows)
    height, width = clean.image.shape[:2]
    blocks = [(number, crop, kind) for number, crop in enumerate(crops) for kind in (False, True)[: 1 + errors]]
    tile_heights = [1.25 * min(crop.height / crop.width, 2.0) + 0.36 for _, crop, _ in blocks for _ in range(rows)]
    tall = sum(tile_heights)
    wide = min(max(tall * width / height, 1.2), 4.0)
    with style.styled():
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        figure = Figure(figsize=(wide + 1.32 * across, max(tall, wide * height / width) + 0.3), layout=layout)
        grid = figure.add_gridspec(
            len(tile_heights), across + 1, width_ratios=[wide, *[1.32] * across], height_ratios=tile_heights
        )
        whole = figure.add_subplot(grid[:, 0])
        _show(whole, clean.image)
        whole.set_title(style.title(heading), loc="left", fontsize=8)
        whole.set_anchor("NW")
        for row, (number, crop, as_errors) in enumerate(blocks):
            colour = style.COLOURS[(1, 4, 3)[number % 3]]
            if not as_errors:
                whole.add_patch(
                    Rectangle((crop.x - 0.5, crop.y - 0.5), crop.width, crop.height, fill=False, color=colour, lw=1.4)
                )
            parts = [_part(picture.image, crop) for picture in tiles]
            maps = error_maps(parts[:-1], parts[-1]) if as_errors else []
            most = _brightest(maps)
            for place, picture in enumerate(tiles[:-1] if as_errors else tiles):
                axes = figure.add_subplot(grid[row * rows + place // across, 1 + place % across], anchor="N")
                frame = colour if len(crops) > 1 else None
                if as_errors:
                    _frame(axes, frame)
                    axes.imshow(maps[place], cmap="magma", vmin=0, vmax=most, interpolation="nearest", aspect="equal")
                    axes.set_xlabel(f"error, 0 to {most:.0f} of 255" if place == 0 else "", fontsize=7, labelpad=2)
                else:
                    _show(axes, parts[place], frame)
                    axes.set_xlabel(_caption(picture), fontsize=7, labelpad=2)
    return figure


def _part(image: FloatImage, crop: Crop) -> FloatImage:
    return image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def error_maps(results: Sequence[FloatImage], clean: FloatImage) -> list[npt.NDArray[np.float64]]:
    """Absolute differences to the reference as shown, in 8-bit units, mean over channels: (H, W) each."""
    reference = pixels_of(clean).astype(np.float64)
    found = [np.abs(pixels_of(result) - reference) for result in results]
    return [error.mean(axis=2) if error.ndim == 3 else error for error in found]


def _brightest(maps: Sequence[npt.NDArray[np.float64]]) -> float:
    """The error that is shown brightest: nearly the largest of the results, whose noisy input stands first."""
    rated = maps[1:] or maps
    return max([1.0, *(float(np.quantile(error, 0.995)) for error in rated)])


def _caption(picture: Picture) -> str:
    if picture.psnr is None or picture.ssim is None:
        return f"{style.short(picture.name)}\nPSNR / SSIM"
    return f"{style.short(picture.name)}\n{picture.psnr:.2f} / {picture.ssim:.3f}"


def _show(axes: Axes, image: FloatImage, colour: str | None = None) -> None:
    axes.imshow(**_shown(image), interpolation="nearest", aspect="equal")
    _frame(axes, colour)


def _frame(axes: Axes, colour: str | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(colour is not None)
        if colour is not None:
            spine.set(color=colour, linewidth=1.2)


def _shown(image: FloatImage) -> dict[str, Any]:
    """What matplotlib is given."""
    pixels = pixels_of(image)
    return {"X": pixels} if pixels.ndim == 3 else {"X": pixels, "cmap": "gray", "vmin": 0, "vmax": 255}


def pixels_of(image: FloatImage) -> npt.NDArray[np.uint8]:
    """8 bits as scored, (H, W, 3) or (H, W); a raw mosaic as gray, because its colours are not known."""
    if image.shape[2] == 3:
        return to_uint8(image)
    if image.shape[2] == 1:
        return to_uint8(image)[:, :, 0]
    return to_uint8(np.clip(image.mean(axis=2), 0.0, 1.0) ** (1 / 2.2))


def clean_picture(clean: AnyImage) -> Picture:
    """The reference as a picture."""
    return Picture("Clean", to_float(clean))
