"""What a result took away and left: local means, whiteness, and the detail that two captures share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut

from denoisebench.own.residual import FINEST, MOVED, Checks, checks_of, resolution, ring_correlation, worst
from denoisebench.protocol.images import FloatImage

CLEAN: FloatImage = (np.asarray(astronaut(), np.float32) / np.float32(255))[:, :, 1:2]
SIGMA = 0.08
SIDE = 256


def noisy(seed: int) -> FloatImage:
    return (CLEAN + SIGMA * np.random.default_rng(seed).standard_normal(CLEAN.shape)).astype(np.float32)


def variance() -> np.ndarray:
    return np.full(CLEAN.shape, SIGMA**2)


def test_a_perfect_result_leaves_noise_alone() -> None:
    found = checks_of(noisy(0), [CLEAN], variance())
    # 1024 blocks of 16x16.
    assert found.moved == pytest.approx(1, abs=4 / (2 * 1024) ** 0.5)
    assert abs(found.correlation) < 0.05
    assert math.isnan(found.resolution)


def test_brightness_that_moved_and_structure_that_went_are_found() -> None:
    # A twentieth darker; and a bias in the dark alone, as of a transform undone without care.
    assert checks_of(noisy(0), [CLEAN * np.float32(0.95)], variance()).moved > MOVED
    grown = 0.02 * CLEAN.astype(np.float64)
    counts = (0.02 * np.random.default_rng(0).poisson(CLEAN / 0.02)).astype(np.float32)
    assert checks_of(counts, [CLEAN], grown).moved < MOVED
    assert checks_of(counts, [np.maximum(CLEAN, np.float32(0.1))], grown).moved > MOVED
    blurred = gaussian_filter(noisy(0), (3, 3, 0))
    assert checks_of(noisy(0), [blurred], variance()).correlation > 0.1


def test_correlated_noise_is_not_taken_for_a_bias() -> None:
    tied = [gaussian_filter(np.random.default_rng(seed).standard_normal(CLEAN.shape), (2, 2, 0)) for seed in (0, 1)]
    one, two = ((CLEAN + SIGMA * noise / noise.std()).astype(np.float32) for noise in tied)
    assert checks_of(one, [CLEAN], variance()).moved > MOVED
    assert checks_of(one, [CLEAN, CLEAN], variance(), two).moved == pytest.approx(1, abs=0.15)


def distance() -> np.ndarray:
    return np.asarray(np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)))


def pair(amplitude: np.ndarray, sigma: float, seed: int) -> list[FloatImage]:
    """Two captures of one view whose spectrum has an amplitude, with white noise."""
    rng = np.random.default_rng(seed)
    view = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) * amplitude).real
    noise = sigma * rng.standard_normal((2, SIDE, SIDE))
    return [np.asarray(view + one, np.float32)[:, :, None] for one in noise]


@pytest.mark.parametrize("cut", [0.1, 0.2, 0.35])
def test_the_resolution_of_a_band_limited_view_is_that_of_its_band(cut: float) -> None:
    amplitude = (distance() < cut).astype(float)
    amplitude /= np.sqrt(np.mean(np.square(amplitude)))
    found = [resolution(*pair(amplitude, 0.3, seed)) for seed in range(3)]
    # A Hann window spreads over two rings, the mean is over three.
    assert 1 / np.mean(found) == pytest.approx(cut, abs=4 / SIDE)


def test_the_resolution_of_a_spectrum_that_falls_is_where_noise_is_six_times_the_signal() -> None:
    """FRC = S / (S + N) = 1/7 at S = N / 6, here at 0.2 cycles per pixel by design."""
    amplitude = np.sqrt((np.maximum(distance(), 1 / SIDE) / 0.2) ** -6.0 / 6)
    found = [resolution(*pair(amplitude, 1.0, seed)) for seed in range(8)]
    assert 1 / np.mean(found) == pytest.approx(0.2, rel=0.06)
    frequency, correlation = ring_correlation(*pair(amplitude, 1.0, 0))
    signal = (frequency / 0.2) ** -6.0 / 6
    inside = (frequency > 0.08) & (frequency < 0.3)
    np.testing.assert_allclose(correlation[inside], (signal / (signal + 1))[inside], atol=0.2)
    assert frequency[-1] == 0.5


def test_a_blur_changes_nothing_and_nothing_in_common_has_no_resolution() -> None:
    one, two = pair(np.minimum(0.02 / np.maximum(distance(), 0.005), 1), 0.02, 0)
    sharp, soft = resolution(one, two), resolution(*(gaussian_filter(image, (1, 1, 0)) for image in (one, two)))
    assert soft == pytest.approx(sharp, rel=0.05)
    assert resolution(one, one) == FINEST
    apart = [np.random.default_rng(seed).standard_normal((99, 140, 3)).astype(np.float32) for seed in (0, 1)]
    assert math.isinf(resolution(*apart))
    assert math.isinf(resolution(np.zeros((64, 64, 1), np.float32), np.zeros((64, 64, 1), np.float32)))


def test_the_worst_of_several() -> None:
    found = worst([Checks(-0.3, 1.0), Checks(0.1, 2.0, 4.0)])
    assert found == Checks(-0.3, 2.0, 4.0)
    assert math.isnan(worst([]).moved)
