"""Noise in flat places: its variance by brightness, its correlation, and the line through the first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut, chelsea, coffee

from denoisebench.toolbox.flat import LAGS, Growth, noise_correlation, noise_growth, noise_over_line

PHOTOGRAPHS = [image()[:, :, 1] / 255.0 for image in (astronaut, chelsea, coffee)]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("plane", PHOTOGRAPHS)
@pytest.mark.parametrize(("gain", "sigma", "pedestal"), [(0.02, 0.0, 0.0), (0.05, 0.02, 0.0), (0.03, 0.01, 0.1)])
def test_gain_and_offset_on_photographs(plane: np.ndarray, gain: float, sigma: float, pedestal: float) -> None:
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(plane, 1.5)
    noisy = gain * rng.poisson(smooth / gain) + sigma * rng.standard_normal(plane.shape) + pedestal
    found = noise_growth([noisy])
    assert found.grows
    assert found.gain == pytest.approx(gain, rel=0.05)
    assert found.gain_error < 0.05 * gain
    offset = sigma**2 - gain * pedestal
    assert abs(found.offset - offset) < max(5 * found.offset_error, 2e-4)


@pytest.mark.parametrize("plane", PHOTOGRAPHS)
@pytest.mark.parametrize(("gain", "sigma"), [(0.02, 0.0), (0.05, 0.02)])
def test_the_gain_on_textured_photographs(plane: np.ndarray, gain: float, sigma: float) -> None:
    rng = np.random.default_rng(0)
    noisy = [gain * rng.poisson(plane / gain) + sigma * rng.standard_normal(plane.shape) for _ in range(4)]
    found = [noise_growth([one]) for one in noisy]
    # Of one draw of the second photograph the gain scatters by 4 %.
    assert np.mean([one.gain for one in found]) == pytest.approx(gain, rel=0.05)
    assert np.mean([one.gain_error for one in found]) < 0.05 * gain
    for one in found:
        assert one.gain == pytest.approx(gain, rel=0.1)
        # The error of the line in the middle is less than those of its ends.
        assert one.error(float(plane.mean())) < one.offset_error + one.gain_error


def test_planes_of_one_camera_are_fitted_together() -> None:
    rng, gain = np.random.default_rng(0), 0.02
    parts = [gain * rng.poisson(np.full((96, 96), level) / gain) for level in (0.1, 0.3, 0.6, 0.9)]
    assert not noise_growth(parts[:1]).grows
    assert noise_growth(parts).gain == pytest.approx(gain, rel=0.05)


@pytest.mark.parametrize("plane", PHOTOGRAPHS)
def test_the_standard_error_says_when_texture_spoils_the_gain(plane: np.ndarray) -> None:
    noisy = plane + 0.05 * np.random.default_rng(0).standard_normal(plane.shape)
    found = noise_growth([noisy])
    assert not found.grows
    for signal in (0.2, 0.5, 0.8):
        assert found.gain * signal + found.offset == pytest.approx(0.05**2, rel=0.15)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bright", [0.3, 0.8])
def test_a_dark_ground_does_not_hide_the_gain_of_cells(bright: float, seed: int) -> None:
    rng, gain, pedestal = np.random.default_rng(seed), 4.0, 3.0
    shape = gaussian_filter(rng.standard_normal((512, 512)), 25)
    cells = np.clip(2 * (shape - np.quantile(shape, 1 - bright)) / shape.std(), 0, 1)
    inside = gaussian_filter(rng.standard_normal(shape.shape), 1)
    counts = 0.02 + 20 * cells * np.exp(0.5 * inside / inside.std())
    noisy = np.round(gain * rng.poisson(counts) + pedestal + 0.3 * rng.standard_normal(shape.shape)).clip(0, 255)
    found = noise_growth([noisy])
    assert found.gain == pytest.approx(gain, rel=0.07)
    assert -found.offset / found.gain == pytest.approx(pedestal, abs=0.1)


def test_nothing_is_fitted_to_nothing() -> None:
    assert noise_growth([np.full((64, 64), 3.0)]) == Growth(0.0, 0.0, 0.0, 0.0)
    assert noise_growth([np.zeros((10, 10))]).offset_error == float("inf")
    ramp = np.repeat(np.arange(64.0), 64)[:, None] * np.ones(512)
    assert noise_growth([np.round(ramp)]) == Growth(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("plane", PHOTOGRAPHS)
@pytest.mark.parametrize("sigma", [15, 50])
def test_white_noise_does_not_correlate(plane: np.ndarray, sigma: float) -> None:
    noisy = plane + sigma / 255 * np.random.default_rng(0).standard_normal(plane.shape)
    found = noise_correlation(noisy)
    assert list(found) == list(LAGS)
    assert max(abs(value) for value, _ in found.values()) < 0.06
    assert all(0 < error < 0.02 for _, error in found.values())


def test_correlated_noise_is_found_in_its_direction() -> None:
    rng = np.random.default_rng(0)
    plane, noise = PHOTOGRAPHS[0], rng.standard_normal(PHOTOGRAPHS[0].shape)
    # Neighbours along a row share: correlation 1/2 one pixel apart, none further, none down the columns.
    shared = (noise + np.roll(noise, 1, axis=1)) / np.sqrt(2)
    found = noise_correlation(plane + 25 / 255 * shared)
    assert found[0, 1][0] > 0.35
    assert abs(found[1, 0][0]) < 0.1
    rows = noise_correlation(plane + 0.1 * noise + 0.05 * rng.standard_normal((plane.shape[0], 1)))
    assert min(rows[0, k][0] for k in (5, 6, 7)) > 0.08
    assert max(abs(rows[k, 0][0]) for k in (5, 6, 7)) < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (1, 500), (500, 7)])
def test_nothing_is_told_from_an_image_without_a_block(shape: tuple[int, int]) -> None:
    small = np.random.default_rng(0).standard_normal(shape)
    growth = noise_growth([small])
    assert (growth.gain, growth.grows, growth.offset_error) == (0.0, False, np.inf)
    assert np.isnan(noise_over_line([small], 1.0, 1.0))
    plane = 100 + np.random.default_rng(1).standard_normal((200, 200))
    assert noise_growth([plane, small]) == noise_growth([plane])


@pytest.mark.parametrize("sigma", [10, 25])
def test_noise_that_is_clipped_does_not_grow_with_the_signal(sigma: float) -> None:
    photograph = astronaut()[:384, :384, 1]
    noise = sigma * np.random.default_rng(1).standard_normal(photograph.shape)
    clipped = np.clip(np.round(photograph + noise), 0, 255)
    assert np.mean(clipped == 0) > 0.04
    found = noise_growth([clipped])
    assert not found.grows
    assert np.sqrt(found.gain * clipped.mean() + found.offset) == pytest.approx(sigma, rel=0.05)
    # Counts are 0 often, and grow all the same.
    assert noise_growth([np.random.default_rng(0).poisson(photograph / 12.0).astype(float)]).grows
