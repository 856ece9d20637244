"""How the noise of a real image grows with its signal, from the image alone, and filtering it as if it did not.

    y = p + a z + n,   z ~ Poisson((x - p) / a),   n ~ N(0, s^2):     Var(y) = a x + b,   b = s^2 - a p

A camera adds an offset p, so b may be negative. The model of Foi, Trimeche, Katkovnik, Egiazarian, Practical
Poissonian-Gaussian noise modeling and fitting for single-image raw-data, IEEE TIP 2008; the fit here is simpler than
theirs: means of squares in levels of a smoothed image, a weighted line through them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from denoisebench.toolbox.vst import generalised_anscombe, inverse_generalised_anscombe

FloatArray = npt.NDArray[np.float64]

# Levels of brightness, and pixels that one needs to count.
_LEVELS, _FEWEST = 48, 64
# Pixels whose surroundings change most are left out of a level: edges are not noise.
_SMOOTH = 0.5
_SCALE, _PASSES = 2.0, 5
_LOW, _HIGH = 0.15, 0.85


@dataclass(frozen=True)
class PoissonGaussian:
    """Noise of variance gain * x + offset, for x of about 0..1.

    Parameters
    ----------
    gain : float
        A, at least 0; 0 for Gaussian noise alone.
    offset : float
        B; negative where the camera adds a constant to every pixel.
    """

    gain: float
    offset: float

    @property
    def pedestal(self) -> float:
        """The signal at which the variance would reach zero, where the offset is negative; else 0."""
        return -self.offset / self.gain if self.offset < 0 < self.gain else 0.0

    @property
    def sigma(self) -> float:
        """Standard deviation of the part that does not depend on the signal."""
        return float(np.sqrt(max(self.offset, 0.0)))


def estimate_poisson_gaussian(image: npt.NDArray[np.floating]) -> PoissonGaussian:
    """Fit the model to one image.

    The noise is read off the second differences (1, -2, 1) in both directions, whose mean square is 36 times its
    variance if it is white; the signal off a Gaussian blur of 2 pixels. In every level of brightness the half with the
    flattest surroundings counts. The line is fitted by weighted least squares, weights from the line itself.

    Parameters
    ----------
    image : npt.NDArray[np.floating]
        One plane (H, W) of about 0..1, not clipped, at least 16 pixels on each side.
    """
    from scipy.ndimage import correlate1d, gaussian_filter

    plane = image.astype(np.float64)
    mask = np.array([1.0, -2.0, 1.0])
    squares = np.square(correlate1d(correlate1d(plane, mask, axis=0), mask, axis=1)) / 36.0
    smooth = gaussian_filter(plane, _SCALE)
    slope = np.hypot(*np.gradient(smooth))
    inside = (slice(2, -2), slice(2, -2))
    squares, smooth, slope = (a[inside].ravel() for a in (squares, smooth, slope))
    # Levels of equal width in the root: where there is little light, the noise changes most.
    root = np.sqrt(smooth - smooth.min())
    level = np.minimum((root / max(float(root.max()), 1e-12) * _LEVELS).astype(int), _LEVELS - 1)
    points = []
    for number in range(_LEVELS):
        members = np.flatnonzero(level == number)
        if len(members) >= _FEWEST:
            flat = members[np.argsort(slope[members], kind="stable")[: int(len(members) * _SMOOTH)]]
            points.append((smooth[flat].mean(), squares[flat].mean(), len(flat)))
    if not points:
        return PoissonGaussian(0.0, float(squares.mean()))
    means, variances, counts = (np.array(column, np.float64) for column in zip(*points, strict=True))
    return _line(means, variances, counts)


def _line(means: FloatArray, variances: FloatArray, counts: FloatArray) -> PoissonGaussian:
    fitted = np.full_like(variances, np.average(variances, weights=counts))
    gain, offset = 0.0, float(fitted[0])
    for _ in range(_PASSES):
        # The sampling variance of a mean square is proportional to its square over the count.
        weights = counts / np.square(np.maximum(fitted, 1e-3 * fitted.max() + 1e-12))
        mean, variance = np.average(means, weights=weights), np.average(variances, weights=weights)
        spread = np.average(np.square(means - mean), weights=weights)
        covariance = np.average((means - mean) * (variances - variance), weights=weights)
        gain = float(covariance / spread) if spread > 0 else 0.0
        if gain <= 0:
            return PoissonGaussian(0.0, max(float(variance), 0.0))
        offset = float(variance - gain * mean)
        fitted = np.maximum(gain * means + offset, 0.0)
    return PoissonGaussian(gain, offset)


def denoise_stabilised(
    image: FloatArray, noise: PoissonGaussian, filter: Callable[[FloatArray, float], FloatArray]
) -> FloatArray:
    """Denoise one plane by a filter for Gaussian noise, between the generalised Anscombe transform and its inverse.

    Parameters
    ----------
    image : FloatArray
        (H, W, 1) of about 0..1.
    noise : PoissonGaussian
        Of variance ``gain * x + offset``.
    filter : Callable[[FloatArray, float], FloatArray]
        Takes (H, W, 1) of about 0..1 and a standard deviation.

    Returns
    -------
    FloatArray
        (H, W, 1) on the scale of ``image``.
    """
    if noise.gain == 0:
        return filter(image, noise.sigma) if noise.sigma > 0 else image
    stabilised = generalised_anscombe(image - noise.pedestal, noise.gain, noise.sigma)
    least, most = float(stabilised.min()), float(stabilised.max())
    if most <= least:
        return image
    scale = (_HIGH - _LOW) / (most - least)
    filtered = filter(_LOW + scale * (stabilised - least), scale)
    restored = inverse_generalised_anscombe(least + (filtered - _LOW) / scale, noise.gain, noise.sigma)
    return restored + noise.pedestal
