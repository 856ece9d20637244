"""Every other way to score, against scikit-image or plain arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from denoisebench.audit.scorings import SCORINGS, SUITE, Scoring
from denoisebench.protocol.images import to_uint8

GAUSS: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """A denoised image that leaves [0, 1] here and there, and the clean one."""
    rng = np.random.default_rng(3)
    clean = np.clip(rng.normal(128, 90, (9, 8, 3)), 0, 255).repeat(5, 0).repeat(5, 1).astype(np.uint8)
    return (clean / 255 + rng.normal(0, 0.06, clean.shape)).astype(np.float32), clean


def scoring(name: str) -> Scoring:
    return next(found for found in (SUITE, *SCORINGS) if found.id == name)


def test_the_fixture_needs_clipping(images: tuple[np.ndarray, np.ndarray]) -> None:
    assert images[0].min() < 0 < 1 < images[0].max()


@pytest.mark.parametrize(
    ("name", "rounded"),
    [
        ("suite", lambda x: np.rint(np.clip(255 * x, 0, 255))),
        ("truncated", lambda x: np.trunc(np.clip(255 * x, 0, 255))),
        ("float", lambda x: np.clip(255 * x, 0, 255)),
        ("unclipped", lambda x: 255 * x),
    ],
)
def test_rounding_variants_score_what_they_say(name: str, rounded: Any, images: tuple[np.ndarray, np.ndarray]) -> None:
    result, clean = images
    expected, reference = rounded(result.astype(np.float64)), clean.astype(np.float64)
    psnr, ssim = scoring(name).score(result, clean)
    assert psnr == pytest.approx(peak_signal_noise_ratio(reference, expected, data_range=255), abs=1e-10)
    assert ssim == pytest.approx(structural_similarity(reference, expected, channel_axis=-1, **GAUSS), abs=1e-12)


def test_ssim_windows_equal_scikit_image(images: tuple[np.ndarray, np.ndarray]) -> None:
    result, clean = images
    rounded = to_uint8(result)
    plain = structural_similarity(clean, rounded, channel_axis=-1)
    assert scoring("ssim-box7").score(result, clean)[1] == pytest.approx(plain, abs=1e-12)
    # Positions inside an image framed by zeros are all positions of the image itself.
    a, b = (np.pad(image, ((5, 5), (5, 5), (0, 0))) for image in (clean, rounded))
    framed = structural_similarity(a, b, channel_axis=-1, **GAUSS)
    assert scoring("ssim-border").score(result, clean)[1] == pytest.approx(framed, abs=1e-12)


def test_ssim_of_a_volume_is_the_formula_with_a_filter_along_three_axes(images: tuple[np.ndarray, np.ndarray]) -> None:
    result, clean = images
    x, y = clean.astype(np.float64), to_uint8(result).astype(np.float64)

    def window(image: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(image, 1.5, mode="nearest", truncate=3.5))

    mx, my = window(x), window(y)
    vx, vy, vxy = window(x * x) - mx**2, window(y * y) - my**2, window(x * y) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    expected = ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert scoring("ssim-volume").score(result, clean)[1] == pytest.approx(expected, abs=1e-12)


def test_luminance_is_the_y_of_ycbcr(images: tuple[np.ndarray, np.ndarray]) -> None:
    result, clean = images
    a, b = rgb2ycbcr(clean)[:, :, 0], rgb2ycbcr(to_uint8(result))[:, :, 0]
    psnr, ssim = scoring("luminance").score(result, clean)
    assert psnr == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-10)
    assert ssim == pytest.approx(structural_similarity(a, b, **GAUSS), abs=1e-12)


def test_a_window_of_ssim_leaves_psnr_alone(images: tuple[np.ndarray, np.ndarray]) -> None:
    suite = SUITE.score(*images)
    for found in SCORINGS:
        if found.detail == "SSIM window":
            psnr, ssim = found.score(*images)
            assert psnr == suite[0]
            assert abs(ssim - suite[1]) > 1e-4


def test_gray_images_have_the_scorings_that_make_sense(images: tuple[np.ndarray, np.ndarray]) -> None:
    result, clean = (image[:, :, :1] for image in images)
    for found in SCORINGS:
        if not found.colour:
            assert all(np.isfinite(found.score(result, clean)))
