"""Networks that give one value for every pixel: a saturated sigmoid, dead units. Their loss is finite, and no error."""

from __future__ import annotations

import math

import numpy as np

from denoisebench.protocol.images import FloatImage

# One gray level of 8 bits.
LEVEL = 1 / 255
BLOCK = 16


def collapsed(noisy: FloatImage, result: FloatImage, within: float = LEVEL) -> bool:
    """Whether a result is one value per channel although the noisy image is not one value and noise.

    A white page has a constant result and is no failure: what is left of it, noisy - result, averages to nothing over
    blocks of 16x16 pixels and is as large as from pixel to pixel. Of a structured image, or of a value that is not its
    mean, more is left than noise explains.

    Parameters
    ----------
    noisy, result : FloatImage
        (H, W, C), white = 1.
    within : float
        What differs by less is one value.
    """
    if float((result.max((0, 1)) - result.min((0, 1))).max()) >= within:
        return False
    height, width, channels = noisy.shape
    rows, columns = max(1, height // BLOCK), max(1, width // BLOCK)
    tall, wide = height // rows, width // columns
    left = (noisy.astype(np.float64) - result)[: rows * tall, : columns * wide]
    blocks = left.reshape(rows, tall, columns, wide, channels).mean((1, 3))
    # Of neighbours, so that edges count little.
    steps = np.diff(left, axis=int(width > height))
    sigma = float(np.median(np.abs(steps))) / (0.6745 * 2**0.5) if steps.size else math.inf
    biased = np.sqrt(np.mean(blocks**2)) > 3 * sigma / (tall * wide) ** 0.5 + LEVEL
    return bool(biased or left.std() > 2 * sigma + LEVEL)
