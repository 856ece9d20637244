"""Whether a capture and its reference are on one scale of brightness."""

from __future__ import annotations

import math

import numpy as np

from denoisebench.protocol.images import AnyImage, to_float

# Correlation from which capture and reference are taken to show the same, one brighter than the other.
_ALIKE = 0.5


def share_of_brightness(capture: AnyImage, reference: AnyImage) -> float:
    """How much of the squared difference of two images goes away when one is matched to the other in brightness.

    With a r + b the least-squares fit of the capture y to the reference r: mean (a r + b - r)^2 / mean (y - r)^2. Noise
    of mean 0 leaves it near 0; where the two images are not alike, only the difference b of their means counts.

    Parameters
    ----------
    capture, reference : (H, W, C) array
        Integers of any depth, or floats with black = 0 and white = 1.

    Returns
    -------
    float
        From 0 to 1.
    """
    noisy, clean = (np.asarray(to_float(image), np.float64) for image in (capture, reference))
    difference = float(np.mean(np.square(noisy - clean)))
    if difference == 0:
        return 0.0
    gap = float(noisy.mean() - clean.mean())
    spread, both = float(clean.var()), float(np.mean((noisy - noisy.mean()) * (clean - clean.mean())))
    alike = spread > 0 and both > _ALIKE * math.sqrt(spread) * float(noisy.std())
    contrast = (both / spread - 1) ** 2 * spread if alike else 0.0
    return (gap**2 + contrast) / difference
