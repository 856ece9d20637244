"""Whether noise differs from pixel to pixel by chance alone, and how much of it there is, on textured images too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import Level, estimate_level, estimate_sigma
from denoisebench.toolbox.flat import BLOCK, noise_correlation, noise_growth

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

    Noise that is not independent is measured by `estimate_level`. Other noise by the lower of two estimates that
    texture only raises: the smallest eigenvalues of patches, which need several channels on textured photographs, and
    the high frequencies of the flattest blocks.

    Parameters
    ----------
    images : sequence of (H, W, C) float
        Any scale.
    independent : bool or None
        Whether their noise is; None if that cannot be told, and the level is a guess then.
    """
    found = [estimate_level(image) for image in images]
    if independent is False:
        return found
    return [_white(image, level, independent) for image, level in zip(images, found, strict=True)]


def _white(image: FloatImage, level: Level, independent: bool | None) -> Level:
    sigma = estimate_sigma(image) if level.correlated else level.sigma
    growths = [noise_growth([image[:, :, channel]]) for channel in range(image.shape[2])]
    means = image.mean(axis=(0, 1), dtype=np.float64)
    variances = [growth.gain * mean + growth.offset for growth, mean in zip(growths, means, strict=True)]
    if all(variance > 0 for variance in variances):
        sigma = min(sigma, float(np.sqrt(np.mean(variances))))
    settled = bool(independent) or (level.settled and not level.correlated)
    return replace(level, sigma=sigma, correlated=False, settled=settled)


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
