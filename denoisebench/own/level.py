"""Whether noise differs from pixel to pixel by chance alone, and how much of it there is, on textured images too."""

from __future__ import annotations

from collections.abc import Sequence

from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import Level, estimate_level, taken_as_white
from denoisebench.toolbox.flat import BLOCK, noise_correlation

#: Correlation of noise that matters to a blind-spot method.
CORRELATED = 0.1
# What demosaicing, scaling and compression leave at least (0.39 on SIDD, 0.38 after a blur of 0.6 pixels). White noise
# is found correlated by up to 0.34 on photographs of bsd400, where their flattest places are fine texture.
_TIED = 0.36


def judged(worst: float, level: Level) -> bool | None:
    """Whether noise is independent from pixel to pixel; None where fine texture may be what is seen.

    Parameters
    ----------
    worst : float
        Largest correlation of neighbouring pixels in the flattest places, without sign.
    level : Level
        As `estimate_level` finds it; thinned out, an image of fine texture shows more noise than it has.
    """
    if worst < CORRELATED:
        return True
    return False if worst >= _TIED and level.correlated else None


def levels_of(images: Sequence[FloatImage], independent: bool | None) -> list[Level]:
    """How much noise each of some images has.

    Where it cannot be told whether noise is independent, fine texture is the more likely, and to take it for noise
    would blur it: noise is taken as white then, and the level is a guess.

    Parameters
    ----------
    images : sequence of (H, W, C) float
        Any scale.
    independent : bool or None
        Whether their noise is; None if that cannot be told.
    """
    found = [(image, estimate_level(image)) for image in images]
    return [
        taken_as_white(image, level) if level.correlated and independent is not False else level
        for image, level in found
    ]


def independence(images: Sequence[FloatImage]) -> bool | None:
    """Whether noise is independent from pixel to pixel in some images; None if that cannot be told.

    Parameters
    ----------
    images : sequence of (H, W, C) float
        Any scale; one that is smaller than a block tells nothing.
    """
    said = [_independent(image) for image in images if min(image.shape[:2]) >= BLOCK]
    return False if False in said else None if None in said or not said else True


def _independent(image: FloatImage) -> bool | None:
    found = [noise_correlation(image[:, :, channel]) for channel in range(image.shape[2])]
    worst = max(abs(lags[lag][0]) for lags in found for lag in ((0, 1), (1, 0)))
    return judged(worst, estimate_level(image))
