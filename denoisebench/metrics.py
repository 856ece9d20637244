"""PSNR and SSIM of the papers, on 8-bit images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from denoisebench.errors import UserError

UIntImage = npt.NDArray[np.uint8]

IDS = "psnr-uint8 ssim-gauss11-valid-uint8"
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2


def psnr(result: UIntImage, clean: UIntImage) -> float:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE) in dB over all pixels and channels.

    Parameters
    ----------
    result, clean : (H, W, C) uint8

    Returns
    -------
    dB; infinity for equal images
    """
    difference = result.astype(np.int32) - clean
    error = float(np.mean(np.square(difference), dtype=np.float64))
    return 10.0 * math.log10(255.0**2 / error) if error else math.inf


def ssim(result: UIntImage, clean: UIntImage) -> float:
    """Structural similarity (Wang et al. 2004) as the papers compute it.

    11x11 Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03, L = 255, population variances,
    only window positions inside the image, float64, mean over positions and channels. Equal to
    scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=255, channel_axis=-1)``.

    Parameters
    ----------
    result, clean : (H, W, C) uint8, at least 11 pixels on each side
    """
    if min(clean.shape[:2]) < 2 * _RADIUS + 1:
        raise UserError(f"SSIM needs at least 11 pixels on each side, not {clean.shape[1]}x{clean.shape[0]}.")
    values = [_ssim_plane(result[:, :, c], clean[:, :, c]) for c in range(clean.shape[2])]
    return float(np.mean(values))


def _ssim_plane(a: UIntImage, b: UIntImage) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    # SSIM needs the two variances only as their sum, so four filtered maps do, not five.
    mean_x, mean_y, power, cross = (_window(z) for z in (x, y, x * x + y * y, x * y))
    product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    numerator = (2 * product + _C1) * (2 * (cross - product) + _C2)
    return float(np.mean(numerator / ((squares + _C1) * (power - squares + _C2))))


def _window(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.ndimage import correlate1d

    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights /= weights.sum()
    rows = correlate1d(plane, weights, axis=0)[_RADIUS:-_RADIUS]
    return np.asarray(correlate1d(rows, weights, axis=1)[:, _RADIUS:-_RADIUS])
