"""Correlated noise: what a filter makes of white noise, spectra, and what is measured in images."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from denoisebench.core.errors import UserError
from denoisebench.toolbox.autocovariance import SMALLEST, Autocovariance, filtered, measured, spectrum

KERNELS = [np.ones((1, 1)), np.ones((1, 5)), np.outer([1, 2, 1], [1, 2, 1]), np.outer([1, -1], [1, -1]), np.eye(3)]


def noise(kernel: np.ndarray, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Correlated noise (H, W) of variance 1."""
    tall, wide = kernel.shape
    drawn = np.random.default_rng(seed).normal(size=(height + tall - 1, width + wide - 1))
    return np.asarray(convolve2d(drawn, kernel, "valid") / np.sqrt(np.sum(np.square(kernel))))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_filter_correlates_white_noise(kernel: np.ndarray) -> None:
    drawn = noise(kernel, 400, 400)
    values = filtered(kernel, [1.0]).values[:, :, 0, 0]
    reach = len(values) // 2
    for down in range(reach + 1):
        for right in range(-reach, reach + 1):
            first = drawn[: 400 - down, max(0, -right) : 400 - max(0, right)]
            second = drawn[down:, max(0, right) : 400 - max(0, -right)]
            assert np.mean(first * second) == pytest.approx(values[reach + down, reach + right], abs=0.02)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_spectrum_is_that_of_the_filter(kernel: np.ndarray) -> None:
    expected = np.abs(np.fft.fft2(kernel, (12, 20))) ** 2 * 0.04 / np.sum(np.square(kernel))
    found = spectrum(filtered(kernel, [0.2]).values, 12, 20)[:, :, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_channels_have_levels_of_their_own() -> None:
    found = filtered(np.ones((2, 2)), [0.1, 0.3])
    np.testing.assert_allclose(found.own, [0.01, 0.09])
    assert found.sigma == pytest.approx(0.05**0.5)
    np.testing.assert_allclose(found.scaled_to(1.0).own, [0.2, 1.8])
    sums, differences = found.of_combinations(np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert sums[1, 1] == pytest.approx(0.1)
    assert differences[1, 2] == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((3, 3)), "shape"), (np.ones((2, 2, 1, 1)), "shape"), (np.full((1, 1, 1, 1), np.nan), "finite"),
        (np.arange(9.0).reshape(3, 3, 1, 1), "transpose"), (np.full((1, 1, 1, 1), -1.0), "0 or more"),
    ],
)  # fmt: skip
def test_what_is_no_autocovariance_is_refused(values: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Autocovariance(values)


# --- measured ---


@pytest.mark.parametrize("kernel", KERNELS)
def test_measured_on_a_smooth_image(kernel: np.ndarray) -> None:
    smooth = gaussian_filter(skimage.data.camera() / 255.0, 4)
    found = measured((smooth + 0.1 * noise(kernel, *smooth.shape))[:, :, None])
    assert found.sigma == pytest.approx(0.1, rel=0.05)
    values, reach = filtered(kernel, [1.0]).values[:, :, 0, 0], 5
    known = np.pad(values, reach - len(values) // 2)
    np.testing.assert_allclose(found.values[:, :, 0, 0] / found.own, known, atol=0.09)
    assert spectrum(found.values)[:, :, 0, 0].min() > -0.05 * 0.01, "next to nothing is negative"


def test_measured_on_a_photograph() -> None:
    photograph = skimage.data.astronaut()[:256, :256] / 255.0
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    drawn = np.stack([noise(kernel, 256, 256, seed) for seed in range(3)], axis=2)
    found = measured(photograph + 0.1 * drawn)
    assert found.sigma == pytest.approx(0.1, rel=0.15)
    np.testing.assert_allclose(found.values[5, 6] / found.own, np.eye(3) * 2 / 3, atol=0.2)


def test_noise_that_channels_share() -> None:
    shared, own = noise(np.ones((1, 2)), 200, 200), noise(np.ones((1, 1)), 200, 200, 1)
    found = measured(np.stack([shared, -shared, own], axis=2))
    expected = np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.values[5, 5], expected, atol=0.15)
    np.testing.assert_allclose(found.values[5, 6], expected * [[0.5, 0.5, 0]] * 3 * [[1], [1], [0]] / 3, atol=0.15)


def test_clipped_places_have_no_noise_to_measure() -> None:
    image = 0.5 + 0.1 * noise(np.ones((1, 2)), 200, 200)[:, :, None]
    image[:, :100] = 1.0
    found = measured(np.clip(image, 0, 1))
    assert found.sigma == pytest.approx(0.1, rel=0.1)


def test_nothing_is_measured_where_nothing_is() -> None:
    assert measured(np.full((64, 64, 3), 0.3)).sigma == 0
    assert measured(np.full((64, 64, 3), 0.3)).scaled_to(0.1).own == pytest.approx([0.01] * 3)
    side = SMALLEST - 1
    with pytest.raises(UserError, match=f"from {SMALLEST} pixels on each side, and this image is 99x{side}"):
        measured(np.zeros((side, 99, 1)))
