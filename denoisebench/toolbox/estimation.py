"""How much Gaussian noise an image carries, from the image alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.toolbox.flat import clipped, noise_correlation, noise_growth

#: (H, W, C) float.
Plane = npt.NDArray[np.floating]
_STRIDE, _PATCH, _SMALLEST_PATCH = 3, 8, 2
# Patches per value of a patch: enough for a bias below 4 %, and the least for any estimate.
_AMPLE, _SPARSE = 25.0, 4.0
# Patches are gathered in blocks of about this many bytes: they stay in the cache of the processor.
_BLOCK_BYTES = 2**22


# White noise reads the same on every second pixel, to some 10 %; on fine texture weak noise reads up to three times
# more, but most flattest blocks show less than this correlation of neighbours; that of telephones has 0.19 to 0.4.
_WHITE_GROWTH, _WHITE_GROWTH_GRAY, _CORRELATED = 1.25, 1.1, 0.18
# Channels one at a time read up to twice the level of all together in white noise, more than that in tied channels.
_TIED = 2.5
# Noise of demosaiced pixels is independent again three pixels apart; what still grows beyond is not understood.
_APART, _SETTLED = 3, 1.15
# Estimates of white noise that are within this of each other are both right; texture makes one of others too large.
# Of pixels that are apart all patches count, for noise that grows with the signal, unless they are far too large.
_AGREED, _FAR_APART = 1.05, 1.6
# Standard error, as a share of the level: of white noise at least, by how far its two estimates part (their logarithms;
# 85 to 96 % of photographs lie within twice that), and of noise that is not white or could not be told.
_LEAST_ERROR, _BY_GAP, _UNLIKE = 0.02, 0.3, 0.2
# Larger planes are looked at in so many tiles along each side, of so many pixels.
_LARGE, _TILES, _TILE = 2**20, 4, 256
# Least part of an image that must have noise, for its level to be told from all patches.
_LEAST_NOISY = 0.005


@dataclass(frozen=True)
class Level:
    """How much noise an image of unknown noise carries.

    Parameters
    ----------
    sigma : float
        Standard deviation, in the units of the image.
    correlated : bool
        Whether noise of neighbouring pixels belongs together, as after demosaicing, scaling or JPEG.
    growth : float
        Estimate from every second pixel over that from all: 1 for white noise.
    settled : bool
        Whether pixels still farther apart tell the same; if not, ``sigma`` is a guess.
    error : float
        Standard error of ``sigma``, as a share of it.
    """

    sigma: float
    correlated: bool
    growth: float
    settled: bool
    error: float = 0.0


def estimate_level(noisy: npt.NDArray[np.floating]) -> Level:
    """The level of noise that need not be white, and on images that need not be smooth.

    `estimate_sigma` takes fine texture for noise: on gray photographs it is 10 to 40 % too large at sigma 10 and twice
    as large at 5. The flattest blocks (`denoisebench.toolbox.flat`) are within 1 to 3 % there, so the smaller of the
    two counts, and their mean where they agree.

    Noise of neighbouring pixels that belongs together hides from both: in photographs of telephones (SIDD) of true
    sigma 16.5 they find 3. Pixels far enough apart are independent again, so the image is thinned out: the estimate
    from every third pixel of each channel is taken where neighbours agree in the flattest blocks and, besides, the
    estimate from every second pixel exceeds that from all or channels one by one far exceed all together. On SIDD that
    is within 3 % in the median. Weak noise on a photograph that is fine texture everywhere may pass for such noise.

    Parameters
    ----------
    noisy : npt.NDArray[np.floating]
        (H, W, C) float, any scale.

    Raises
    ------
    UserError
        The image is too small.
    """
    sigma = estimate_sigma(noisy)
    planes = np.split(noisy, noisy.shape[2], axis=2)
    try:
        growth = _over(_thinned(noisy, 2, estimate_sigma), sigma)
        alone = _apart(planes, 1, estimate_sigma) if len(planes) > 1 else sigma
        # What is left between channels that carry the same noise says nothing of it.
        tied = _over(alone, sigma) > _TIED
        white = _WHITE_GROWTH if len(planes) > 1 else _WHITE_GROWTH_GRAY
        if (growth <= white and not tied) or _neighbours(planes) < _CORRELATED:
            level, error = _white_level(alone if tied else sigma, planes)
            return Level(level, False, growth, True, error)
        apart, beyond = (_apart(planes, step, _level_of) for step in (_APART, _APART + 1))
    except UserError:
        # Too small to be thinned out.
        return Level(sigma, False, 1.0, False, _UNLIKE)
    return Level(apart, True, growth, beyond <= _SETTLED * apart, _UNLIKE)


def _white_level(sigma: float, planes: list[Plane]) -> tuple[float, float]:
    """The level of white noise, by the estimate from all patches and that of the flattest blocks, and its error."""
    tiles = [tile for plane in planes for tile in _tiles(plane[:, :, 0])]
    silent = [_silent(tile) for tile in tiles]
    found = noise_growth([np.where(still, np.nan, tile) for still, tile in zip(silent, tiles, strict=True)])
    if not np.isfinite(found.offset_error):
        return sigma, _UNLIKE
    mean = float(np.mean([tile.mean() for tile in tiles]))
    flat = float(np.sqrt(max(found.gain * mean + found.offset, 0.0)))
    # All patches together are the quieter for those that have no noise.
    sigma /= float(np.sqrt(max(1 - np.mean([still.mean() for still in silent]), _LEAST_NOISY)))
    low, high = sorted((flat, sigma))
    error = float(np.hypot(_LEAST_ERROR, _BY_GAP * np.log(high / low))) if low > 0 else _UNLIKE
    return (low if high > _AGREED * low else (low + high) / 2), error


def _tiles(plane: Plane) -> list[Plane]:
    """The plane (H, W), or tiles that are spread evenly over it where it is large."""
    if plane.size <= _LARGE:
        return [plane]
    rows, columns = (
        np.linspace(0, max(0, side - _TILE), _TILES if side > _TILE else 1).astype(int) for side in plane.shape
    )
    return [plane[row : row + _TILE, column : column + _TILE] for row in rows for column in columns]


def _silent(plane: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Pixels (H, W) that tell nothing of the noise: clipped ones, and those of areas without any, as of a frame."""
    from scipy.ndimage import maximum_filter, minimum_filter

    silent = np.asarray(maximum_filter(plane, 3) == minimum_filter(plane, 3))
    return silent | clipped(plane)


def _neighbours(planes: list[Plane]) -> float:
    """How much the noise of neighbours agrees in the flattest blocks, along rows or columns, mean of channels."""
    found = [noise_correlation(tile) for plane in planes for tile in _tiles(plane[:, :, 0])]
    return float(max(abs(np.mean([one[lag][0] for one in found])) for lag in ((0, 1), (1, 0))))


def _over(level: float, other: float) -> float:
    if other > 0:
        return level / other
    return 1.0 if level == 0 else float("inf")


def _apart(planes: list[Plane], step: int, measure: Callable[[Plane], float]) -> float:
    """Root mean square of what is measured on every so many pixels of each channel by itself."""
    return float(np.sqrt(np.mean([_thinned(plane, step, measure) ** 2 for plane in planes])))


def _thinned(noisy: Plane, step: int, measure: Callable[[Plane], float]) -> float:
    """Median of what is measured on every so many pixels, of four ways to begin."""
    starts = [(row, column) for row in range(min(step, 2)) for column in range(min(step, 2))]
    return float(np.median([measure(noisy[row::step, column::step]) for row, column in starts]))


def _level_of(noisy: Plane) -> float:
    sigma = estimate_sigma(noisy)
    level = _white_level(sigma, np.split(noisy, noisy.shape[2], axis=2))[0]
    return level if sigma > _FAR_APART * level else sigma


def estimate_sigma(noisy: npt.NDArray[np.floating], patch: int | None = None) -> float:
    """Standard deviation of white Gaussian noise, estimated per image (Chen, Zhu and Heng, ICCV 2015).

    Clean patches lie near a subspace, so the smallest eigenvalues of the covariance of noisy patches scatter
    symmetrically about sigma^2, while the signal pushes the others up. With ascending eigenvalues,

        tau_n = mean of the n smallest,    n = d, d - 1, ..., 1,    d = patch * patch * C,

    the estimate is sqrt(tau_n) at the first n for which as many of these n exceed tau_n as fall below it.

    Patches span all channels together and are taken every 3 pixels, plus one aligned with the far edge.
    Channels one at a time overestimate weak noise on textured images by up to a factor of two.

    Parameters
    ----------
    noisy : npt.NDArray[np.floating]
        (H, W, C) float, any scale, neither clipped nor quantised (clipped strong noise is underestimated).
    patch : int | None
        Side of the square patches in pixels; by default 8, and less in small images. With k patches per value of a
        patch the sampling error of the eigenvalues lowers the estimate by about 80/k percent: 8x8 patches read sigma 25
        as 23 at 128x128x3 and as 13 at 64x64x3. The default therefore keeps k at 25 (8x8 from about 213x213 pixels in
        colour, 123x123 in gray).

    Returns
    -------
    float
        Sigma, in the units of ``noisy``; never negative.

    Raises
    ------
    UserError
        The image has too few patches: by default fewer than 4 per value of a 2x2 patch (below 18x18 pixels in
        colour, 9x9 in gray); with a given ``patch`` no more than one, when the covariance is singular.

    References
    ----------
    G. Chen, F. Zhu, P. A. Heng, "An efficient statistical method for image noise level estimation",
    ICCV 2015.
    """
    height, width, channels = noisy.shape
    if patch is None:
        patch = _patch_for(height, width, channels)
    if _patches_per_value(height, width, channels, patch) <= 1:
        raise _too_small(height, width, channels)
    eigenvalues = np.linalg.eigvalsh(_patch_covariance(noisy, patch))
    means = np.cumsum(eigenvalues) / np.arange(1, len(eigenvalues) + 1)
    tau = means[0]
    for n in range(len(eigenvalues), 0, -1):
        smallest, tau = eigenvalues[:n], means[n - 1]
        if np.count_nonzero(smallest > tau) == np.count_nonzero(smallest < tau):
            break
    return float(np.sqrt(max(tau, 0.0)))


def _patch_for(height: int, width: int, channels: int) -> int:
    for patch in range(_PATCH, _SMALLEST_PATCH - 1, -1):
        if _patches_per_value(height, width, channels, patch) >= _AMPLE:
            return patch
    if _patches_per_value(height, width, channels, _SMALLEST_PATCH) < _SPARSE:
        raise _too_small(height, width, channels)
    return _SMALLEST_PATCH


def _patches_per_value(height: int, width: int, channels: int, patch: int) -> float:
    return len(_starts(height, patch)) * len(_starts(width, patch)) / (patch * patch * channels)


def _too_small(height: int, width: int, channels: int) -> UserError:
    return UserError(
        f"The noise level of a {width}x{height} image of {channels} channels cannot be estimated: "
        "it holds too few patches. Use a larger image, say the level (denoise --sigma 17, or a setting such as "
        "nlm[sigma=17]), or take a method that is told it."
    )


def _starts(side: int, patch: int) -> npt.NDArray[np.intp]:
    """First pixels of the patches along one side; the last patch ends at the edge."""
    last = side - patch
    if last < 0:
        return np.empty(0, dtype=np.intp)
    return np.unique(np.append(np.arange(0, last + 1, _STRIDE), last))


def _patch_covariance(noisy: npt.NDArray[np.floating], patch: int) -> npt.NDArray[np.float64]:
    """Covariance (d, d) of all patches, divided by their number."""
    rows, columns = _starts(noisy.shape[0], patch), _starts(noisy.shape[1], patch)
    # Centred first: the mean's square would otherwise swallow digits of a small variance.
    image = noisy.astype(np.float64) - float(np.mean(noisy, dtype=np.float64))
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch, patch), axis=(0, 1))
    windows = windows.transpose(0, 1, 3, 4, 2)  # the order in memory, copied in longer runs
    dimension = patch * patch * image.shape[2]
    product, total = np.zeros((dimension, dimension)), np.zeros(dimension)
    step = max(1, _BLOCK_BYTES // (8 * dimension * len(columns)))
    for start in range(0, len(rows), step):
        block = windows[np.ix_(rows[start : start + step], columns)].reshape(-1, dimension)
        product += block.T @ block
        total += block.sum(axis=0)
    count = len(rows) * len(columns)
    mean = total / count
    return np.asarray(product / count - np.outer(mean, mean), dtype=np.float64)
