"""What a method took away, and what it left: checks that need no clean image and no trust in a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from denoisebench.protocol.images import FloatImage

FloatArray = npt.NDArray[np.float64]

#: Change of local means from which on it is worth a word.
MOVED = 2.0
# Side of the blocks whose means are compared; least share of the mean variance that a block's noise is taken to have.
_BLOCK, _LEAST = 16, 0.02
# Fourier ring correlation: the threshold of two half sets, and how many rings are averaged.
_THRESHOLD, _RINGS = 1 / 7, 3
#: The finest detail that pixels can hold, in pixels.
FINEST = 2.0


@dataclass(frozen=True)
class Checks:
    """Of one result.

    Parameters
    ----------
    correlation : float
        Largest correlation of neighbouring pixels in image minus result: far from 0, noise stayed or signal went.
    moved : float
        Root mean square of the means of 16x16 blocks of image minus result, over that of noise alone: 1 where local
        means are kept, more where brightness moved.
    resolution : float
        Of the results of two captures, in pixels, see `resolution`; NaN without a second capture, infinite where they
        agree in nothing.
    """

    correlation: float = math.nan
    moved: float = math.nan
    resolution: float = math.nan

    @property
    def removed(self) -> tuple[float, float]:
        """What is told of image minus result."""
        return self.correlation, self.moved


def worst(checks: Sequence[Checks]) -> Checks:
    """Of several results each check where it is farthest from what it should be."""

    def most(values: Sequence[float]) -> float:
        told = [value for value in values if not math.isnan(value)]
        return max(told, key=abs) if told else math.nan

    return Checks(*(most([getattr(one, part) for one in checks]) for part in ("correlation", "moved", "resolution")))


def checks_of(
    noisy: FloatImage, results: Sequence[FloatImage], variance: FloatArray, other: FloatImage | None = None
) -> Checks:
    """Check one result, or those of two captures.

    Parameters
    ----------
    noisy : (H, W, C) float
        The image.
    results : sequence of (H, W, C) float
        Of it, and of a second capture.
    variance : (H, W, C) float
        Of its noise.
    other : (H, W, C) float or None
        The second capture.
    """
    removed = np.asarray(noisy, np.float64) - results[0]
    white = removed - removed.mean(axis=(0, 1))
    energy = np.maximum(np.square(white).mean(axis=(0, 1)), 1e-300)
    pairs = (white[1:] * white[:-1], white[:, 1:] * white[:, :-1])
    correlation = float(max(np.concatenate([pair.mean(axis=(0, 1)) / energy for pair in pairs]), key=abs))
    expected = block_means(variance, _BLOCK) / _BLOCK**2
    expected = np.maximum(expected, _LEAST * max(float(expected.mean()), 1e-300))
    if other is not None:
        # Noise that is correlated leaves more in a mean than independent noise does.
        gaps = block_means(np.asarray(noisy, np.float64) - other, _BLOCK)
        expected *= max(1.0, float(np.var(gaps)) / 2 / float(expected.mean()))
    moved = math.sqrt(float(np.mean(np.square(block_means(removed, _BLOCK)) / expected)))
    return Checks(correlation, moved, resolution(*results[:2]) if len(results) > 1 else math.nan)


def block_means(image: FloatArray, side: int) -> FloatArray:
    """Means over blocks of an image (H, W, C); what is left at its ends is not looked at.

    Parameters
    ----------
    image : (H, W, C) float
        Any scale.
    side : int
        Of the blocks; smaller where the image is.
    """
    rows, columns = (max(1, size // side) for size in image.shape[:2])
    cut = image[: rows * side, : columns * side]
    return np.asarray(cut.reshape(rows, -1, columns, cut.shape[1] // columns, image.shape[2]).mean(axis=(1, 3)))


def ring_correlation(one: FloatImage, two: FloatImage) -> tuple[FloatArray, FloatArray]:
    """How much two images of one view agree, by spatial frequency.

        FRC(q) = Re sum F1 F2* / sqrt(sum |F1|^2 sum |F2|^2),    sums over the ring |k| = q and over channels,

    F the Fourier transform under a Hann window. A filter that is the same for both changes nothing in it.

    Parameters
    ----------
    one, two : (H, W, C) float
        Any scale.

    Returns
    -------
    (N,), (N,) float64
        Frequency in cycles per pixel, up to 0.5, in steps of one cycle per shorter side; correlation, -1 to 1.

    References
    ----------
    M. van Heel, W. Keegstra, W. Schutter, E. van Bruggen, Arthropod hemocyanin studied by image analysis, 1982;
    R. Nieuwenhuizen et al., Measuring image resolution in optical nanoscopy, Nature Methods 2013.
    """
    height, width = one.shape[:2]
    window = (np.hanning(height)[:, None] * np.hanning(width))[:, :, None]
    first, second = (
        np.fft.fft2(window * (np.asarray(image, np.float64) - image.mean(axis=(0, 1), dtype=np.float64)), axes=(0, 1))
        for image in (one, two)
    )
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    shorter = min(height, width)
    ring = np.round(distance * shorter).astype(int).ravel()

    def total(values: FloatArray) -> FloatArray:
        sums: FloatArray = np.bincount(ring, values.sum(axis=2).ravel()).astype(np.float64)
        return sums[1 : shorter // 2 + 1]

    both = np.sqrt(total(np.square(np.abs(first))) * total(np.square(np.abs(second))))
    shared = total(np.real(first * np.conj(second)))
    return np.arange(1, shorter // 2 + 1) / shorter, np.where(both > 0, shared / np.maximum(both, 1e-300), 0.0)


def resolution(one: FloatImage, two: FloatImage) -> float:
    """The finest detail that two images of one view share, in pixels.

    One over the frequency at which their ring correlation, averaged over three rings, first falls below 1/7, the
    threshold of half sets (P. Rosenthal, R. Henderson, Journal of Molecular Biology 2003). For results of a denoiser it
    tells what both agree on, be it true or invented, and a blur alone does not lower it.

    Parameters
    ----------
    one, two : (H, W, C) float
        Any scale.

    Returns
    -------
    float
        At least 2, where they agree down to single pixels; infinite where they agree in nothing.
    """
    frequency, correlation = ring_correlation(one, two)
    # The frequencies are averaged alike, so that ends stay in place.
    frequency, correlation = (
        np.convolve(values, np.full(_RINGS, 1 / _RINGS), mode="valid") for values in (frequency, correlation)
    )
    below = np.flatnonzero(correlation < _THRESHOLD)
    if not below.size:
        return FINEST
    at = int(below[0])
    if at == 0:
        return math.inf
    share = (correlation[at - 1] - _THRESHOLD) / (correlation[at - 1] - correlation[at])
    return float(max(FINEST, 1 / (frequency[at - 1] + share * (frequency[at] - frequency[at - 1]))))
