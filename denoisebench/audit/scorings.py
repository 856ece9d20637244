"""Other ways to score a denoised image, each different from the suite's in one detail; the audit compares them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from denoisebench.protocol import metrics
from denoisebench.protocol.images import FloatImage, UIntImage, to_uint8

Image = npt.NDArray[np.float64]
_C1, _C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
#: Y of ITU-R BT.601 in the range 16..235, as MATLAB's rgb2ycbcr and the super-resolution toolboxes compute it.
_LUMINANCE = np.array([65.481, 128.553, 24.966]) / 255.0


@dataclass(frozen=True)
class Scoring:
    """One way to score.

    Parameters
    ----------
    id : str
        Stored with the scores.
    detail, run, alternative : str
        What is different, how the suite does it, how this one does.
    source : str
        Who scores like this.
    score : Callable[[FloatImage, UIntImage], tuple[float, float]]
        (result, clean) to (PSNR, SSIM); the result is (H, W, C), white = 1.0, neither clipped nor rounded.
    colour : bool
        Exists for colour images only.
    """

    id: str
    detail: str
    run: str
    alternative: str
    source: str
    score: Callable[[FloatImage, UIntImage], tuple[float, float]]
    colour: bool = False


def _scored(result: Image, clean: UIntImage) -> tuple[float, float]:
    """PSNR and SSIM as the suite's, of a result on the 0..255 scale that need not be whole numbers."""
    reference = clean.astype(np.float64)
    return psnr(result, reference), _mean_ssim(result, reference, _gauss_inside)


def _truncated(result: FloatImage, clean: UIntImage) -> tuple[float, float]:
    return _scored(np.floor(np.clip(result.astype(np.float64) * 255.0, 0.0, 255.0)), clean)


def _clipped(result: FloatImage, clean: UIntImage) -> tuple[float, float]:
    return _scored(np.clip(result.astype(np.float64) * 255.0, 0.0, 255.0), clean)


def _unclipped(result: FloatImage, clean: UIntImage) -> tuple[float, float]:
    return _scored(result.astype(np.float64) * 255.0, clean)


def _luminance(result: FloatImage, clean: UIntImage) -> tuple[float, float]:
    a, b = (16.0 + image.astype(np.float64) @ _LUMINANCE for image in (to_uint8(result), clean))
    return psnr(a, b), _ssim(a, b, _gauss_inside)


def _with_ssim(
    ssim: Callable[[Image, Image], float],
) -> Callable[[FloatImage, UIntImage], tuple[float, float]]:
    """The suite's PSNR with another SSIM of the rounded image."""

    def score(result: FloatImage, clean: UIntImage) -> tuple[float, float]:
        rounded = to_uint8(result)
        return metrics.psnr(rounded, clean), ssim(rounded.astype(np.float64), clean.astype(np.float64))

    return score


def psnr(result: Image, clean: Image) -> float:
    """10 log10(255^2 / MSE) in dB of images on the 0..255 scale; infinity for equal images."""
    error = float(np.mean(np.square(result - clean)))
    return 10.0 * math.log10(255.0**2 / error) if error else math.inf


def _mean_ssim(a: Image, b: Image, window: Callable[[Image], Image], unbiased: float = 1.0) -> float:
    """SSIM per channel, averaged."""
    return float(np.mean([_ssim(a[:, :, c], b[:, :, c], window, unbiased) for c in range(a.shape[2])]))


def _ssim(a: Image, b: Image, window: Callable[[Image], Image], unbiased: float = 1.0) -> float:
    """SSIM with any window; ``unbiased`` multiplies variances and covariance."""
    mean_a, mean_b, power, cross = (window(z) for z in (a, b, a * a + b * b, a * b))
    product, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    numerator = (2 * product + _C1) * (2 * unbiased * (cross - product) + _C2)
    return float(np.mean(numerator / ((squares + _C1) * (unbiased * (power - squares) + _C2))))


def _gauss(image: Image, mode: str) -> Image:
    """11 taps of a Gaussian of standard deviation 1.5 along every axis; same shape."""
    from scipy.ndimage import correlate1d

    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    for axis in range(image.ndim):
        image = correlate1d(image, weights, axis=axis, mode=mode)
    return image


def _gauss_inside(plane: Image) -> Image:
    return _gauss(plane, "constant")[5:-5, 5:-5]


def _gauss_zeros(plane: Image) -> Image:
    return _gauss(plane, "constant")


def _gauss_volume(volume: Image) -> Image:
    return _gauss(volume, "nearest")


def _box_inside(plane: Image) -> Image:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(plane, 7))[3:-3, 3:-3]


_RUN_SSIM = "11x11 Gaussian, inside, per channel"
SUITE = Scoring("suite", "", "", "", "", metrics.UINT8.score)
SCORINGS = (
    Scoring(
        "truncated", "rounding of the result", "to the nearest of 8 bits", "down to 8 bits",
        "a cast to uint8 without rounding, as in torchvision's to_pil_image", _truncated,
    ),
    Scoring(
        "float", "rounding of the result", "to the nearest of 8 bits", "clipped, not rounded",
        "R2R, DBSN, ZS-N2N", _clipped,
    ),
    Scoring(
        "unclipped", "rounding of the result", "to the nearest of 8 bits", "neither clipped nor rounded",
        "training logs, 10 log10(1 / loss)", _unclipped,
    ),
    Scoring(
        "ssim-box7", "SSIM window", _RUN_SSIM, "7x7 box, sample covariance",
        "scikit-image's default; FMDD's own benchmark", _with_ssim(lambda a, b: _mean_ssim(a, b, _box_inside, 49 / 48)),
    ),
    Scoring(
        "ssim-border", "SSIM window", _RUN_SSIM, "also over the border, zeros outside",
        "pytorch-ssim", _with_ssim(lambda a, b: _mean_ssim(a, b, _gauss_zeros)),
    ),
    Scoring(
        "ssim-volume", "SSIM window", _RUN_SSIM, "11x11x11 across the channels, edges repeated",
        "MATLAB's ssim of a colour array; ssim3d of NAFNet's copy of BasicSR", _with_ssim(
            lambda a, b: _ssim(a, b, _gauss_volume)
        ), colour=True,
    ),
    Scoring(
        "luminance", "scored channels", "R, G, B", "Y of BT.601, 16..235, only",
        "super-resolution toolboxes (test_y_channel), SDAP's SSIM", _luminance, colour=True,
    ),
)  # fmt: skip
