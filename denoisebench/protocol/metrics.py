"""PSNR and SSIM of the papers: on 8-bit images, or on the floats of raw ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import AnyImage, FloatImage, to_float, to_uint8, unpack_bayer

IDS = "psnr-uint8 ssim-gauss11-valid-uint8"
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2


@dataclass(frozen=True)
class Scoring:
    """How a result is compared with its reference.

    Parameters
    ----------
    rounding, metrics : str
        Ids for the protocol.
    text : str
        The same in words, for a note below a table.
    """

    rounding: str
    metrics: str
    text: str

    def score(self, result: FloatImage, clean: AnyImage) -> tuple[float, float]:
        """PSNR in dB and SSIM of a result (H, W, C) of about 0..1, not clipped.

        8-bit scoring clips and rounds the result and takes the reference as stored. That of raw images clips it, keeps
        floats, puts packed mosaics together again, and has a PSNR of range 1 and an SSIM of range 255 on 255 v.
        """
        if self is UINT8:
            rounded, target = to_uint8(result), clean if clean.dtype == np.uint8 else to_uint8(to_float(clean))
            return psnr(rounded, target), ssim(rounded, target)
        planes = [np.clip(image.astype(np.float64), 0.0, 1.0) for image in (result, to_float(clean))]
        a, b = (unpack_bayer(plane) if plane.shape[2] == 4 else plane for plane in planes)
        return psnr(a, b, 1.0), ssim(255.0 * a, 255.0 * b)


UINT8 = Scoring("uint8-half-up", IDS, "8-bit rounding")
RAW = Scoring("clip01", "psnr-float-1 ssim-gauss11-valid-float255 mosaic", "scored as floats, not rounded")
SCORINGS = {"uint8": UINT8, "raw": RAW}


def psnr(result: AnyImage, clean: AnyImage, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio, 10 log10(peak^2 / MSE) in dB over all pixels and channels.

    Parameters
    ----------
    result, clean : AnyImage
        (H, W, C) uint8, or both float.
    peak : float
        The value of white.

    Returns
    -------
    float
        In dB; infinity for equal images.
    """
    difference = np.subtract(result, clean, dtype=np.int32 if clean.dtype == np.uint8 else np.float64)
    error = float(np.mean(np.square(difference), dtype=np.float64))
    return 10.0 * math.log10(peak**2 / error) if error else math.inf


def finite(values: Iterable[float]) -> list[float]:
    """The PSNRs that a mean is over: without those of images that equal their reference, which are infinite.

    Where all of them do, so does the mean: one infinity is left.
    """
    every = list(values)
    return [value for value in every if math.isfinite(value)] or [math.inf] * bool(every)


def ssim(result: AnyImage, clean: AnyImage) -> float:
    """Structural similarity (Wang et al. 2004) as the papers compute it.

    11x11 Gaussian window of standard deviation 1.5, K1 = 0.01, K2 = 0.03, L = 255, population variances,
    only window positions inside the image, float64, mean over positions and channels. Equal to
    scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=255, channel_axis=-1)``.

    Parameters
    ----------
    result, clean : AnyImage
        (H, W, C) uint8, or float with white = 255; at least 11 pixels on each side.
    """
    if min(clean.shape[:2]) < 2 * _RADIUS + 1:
        raise UserError(f"SSIM needs at least 11 pixels on each side, not {clean.shape[1]}x{clean.shape[0]}.")
    values = [_ssim_plane(result[:, :, c], clean[:, :, c]) for c in range(clean.shape[2])]
    return float(np.mean(values))


def _ssim_plane(a: AnyImage, b: AnyImage) -> float:
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
