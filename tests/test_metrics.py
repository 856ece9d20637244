"""PSNR and SSIM against closed forms and scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import UIntImage
from denoisebench.protocol.metrics import finite, psnr, ssim


def reference(result: UIntImage, clean: UIntImage) -> float:
    return float(
        structural_similarity(
            clean,
            result,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=-1,
        )
    )


def random_pair(seed: int, height: int, width: int, channels: int) -> tuple[UIntImage, UIntImage]:
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    shift = rng.integers(-60, 61, clean.shape)
    return np.clip(clean + shift, 0, 255).astype(np.uint8), clean


def test_psnr_of_one_grey_level() -> None:
    clean = np.full((20, 30, 3), 100, np.uint8)
    assert psnr(clean + np.uint8(1), clean) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(clean - np.uint8(1), clean) == psnr(clean + np.uint8(1), clean)


def test_psnr_of_the_largest_error_is_zero() -> None:
    black = np.zeros((11, 11, 1), np.uint8)
    assert psnr(black, black + np.uint8(255)) == 0.0


def test_psnr_averages_the_error_over_channels_not_the_decibels() -> None:
    clean = np.zeros((12, 12, 3), np.uint8)
    result = clean.copy()
    result[:, :, 0] = 30
    assert psnr(result, clean) == pytest.approx(10 * math.log10(255**2 / 300))


def test_equal_images() -> None:
    _, clean = random_pair(0, 17, 23, 3)
    assert psnr(clean, clean) == math.inf
    assert ssim(clean, clean) == pytest.approx(1.0, abs=1e-12)


def test_a_mean_leaves_equal_images_out_unless_there_are_no_others() -> None:
    assert finite([math.inf, 30.0, math.inf, 20.0]) == [30.0, 20.0]
    assert finite([math.inf, math.inf]) == [math.inf]
    assert finite([]) == []


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(11, 40),
    width=st.integers(11, 40),
    channels=st.sampled_from([1, 2, 3, 4]),
)
@settings(max_examples=settings().max_examples * 3 // 5)
def test_ssim_equals_scikit_image(seed: int, height: int, width: int, channels: int) -> None:
    result, clean = random_pair(seed, height, width, channels)
    assert abs(ssim(result, clean) - reference(result, clean)) < 1e-12


@pytest.mark.parametrize(("height", "width", "channels"), [(11, 11, 1), (97, 131, 1), (97, 131, 3), (256, 200, 3)])
def test_ssim_of_photographs_equals_scikit_image(height: int, width: int, channels: int) -> None:
    clean = np.asarray(skimage.data.astronaut()[100 : 100 + height, 80 : 80 + width, :channels])
    noise = np.random.default_rng(5).normal(0, 12, clean.shape)
    result = np.clip(clean + noise, 0, 255).astype(np.uint8)
    assert abs(ssim(result, clean) - reference(result, clean)) < 1e-12
    assert ssim(result, clean) == pytest.approx(ssim(clean, result), abs=1e-12)


def test_ssim_is_the_same_for_any_memory_layout() -> None:
    result, clean = random_pair(7, 30, 40, 3)
    expected = ssim(result, clean)
    assert ssim(np.asfortranarray(result), clean[::1]) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize(("height", "width"), [(10, 50), (50, 10), (1, 1)])
def test_images_smaller_than_the_window_are_refused(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(UserError, match=f"at least 11 pixels on each side, not {width}x{height}"):
        ssim(image, image)
