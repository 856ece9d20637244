"""The growth of noise with the signal, estimated from one image, and filtering through it."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import camera

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import data_roots
from denoisebench.plugins.lookup import find_dataset
from denoisebench.toolbox.poisson_gaussian import PoissonGaussian, denoise_stabilised, estimate_poisson_gaussian


def clean() -> np.ndarray:
    return np.asarray(camera()) / 255.0


CAMERAS = [(0.02, 0.03, 0.0), (0.05, 0.0, 0.05), (0.03, 0.02, 0.1)]
# Neighbouring second differences (1, -2, 1) share noise: the squares of n of them count as n / sum of rho^2, where
# rho = (1, -4, 6, -4, 1) / 6 along each axis.
SHARED = (70 / 36) ** 2


def captured(x: np.ndarray, gain: float, sigma: float, pedestal: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.asarray(gain * rng.poisson(x / gain) + pedestal + sigma * rng.standard_normal(x.shape))


@pytest.mark.parametrize(("gain", "sigma", "pedestal"), CAMERAS)
def test_gain_and_offset_where_nothing_but_noise_varies(gain: float, sigma: float, pedestal: float) -> None:
    """A ramp has no second difference of its own: what is found is right but for the error of a weighted line."""
    x = np.linspace(0.05, 0.95, 512)[:, None] * np.ones((1, 512))
    found = estimate_poisson_gaussian(captured(x, gain, sigma, pedestal))
    # Of every level half the pixels; mean squares vary by 2 v^2 and by the fourth cumulant of the counts, gain^3 x.
    variance = gain * x + sigma**2
    weights = 0.5 / ((2 * SHARED * variance**2) + gain**3 * x)
    middle = np.average(x, weights=weights)
    slope = 1 / np.sqrt(np.sum(weights * (x - middle) ** 2))
    assert abs(found.gain - gain) < 4 * slope
    offset = np.hypot(1 / np.sqrt(np.sum(weights)), slope * (middle + pedestal))
    assert abs(found.offset - (sigma**2 - gain * pedestal)) < 4 * offset
    assert slope < 0.015 * gain


@pytest.mark.parametrize(("gain", "sigma", "pedestal"), CAMERAS)
def test_gain_and_offset_of_a_photograph(gain: float, sigma: float, pedestal: float) -> None:
    """Texture passes for noise where it is bright, in this one for up to 5 % of the gain; the random part is 1 %."""
    found = estimate_poisson_gaussian(captured(clean(), gain, sigma, pedestal))
    assert -0.04 < found.gain / gain - 1 < 0.09
    assert found.offset == pytest.approx(sigma**2 - gain * pedestal, abs=4e-4)


def test_gaussian_noise_has_next_to_no_gain() -> None:
    noisy = clean() + 0.1 * np.random.default_rng(0).standard_normal((512, 512))
    found = estimate_poisson_gaussian(noisy)
    variances = [found.gain * x + found.offset for x in (0.0, 1.0)]
    # The random part is 1 %, four of which are let pass; the texture of the bright parts adds up to 6 % of 0.1^2.
    assert all(-0.04 < variance / 0.01 - 1 < 0.1 for variance in variances)


def test_a_flat_image_has_one_level() -> None:
    noisy = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((256, 256))
    found = estimate_poisson_gaussian(noisy)
    # 31,752 squares, half of all.
    assert found.gain * 0.5 + found.offset == pytest.approx(0.01, rel=4 * (2 * SHARED / (252**2 / 2)) ** 0.5)
    assert estimate_poisson_gaussian(np.full((32, 32), 0.3)) == PoissonGaussian(0.0, 0.0)


def test_what_varies_most_is_left_out_of_a_level() -> None:
    """Squares of two pixels over nearly half of a ramp: all pixels together would give 10 % too much."""
    x = np.linspace(0.1, 0.9, 512)[:, None] * np.ones((1, 512))
    x[:, 288:] += 0.1 * np.kron(np.random.default_rng(1).choice([-1.0, 1.0], (256, 112)), np.ones((2, 2)))
    found = estimate_poisson_gaussian(captured(x.clip(0), 0.01, 0.0, 0.0))
    assert found.gain * 0.5 + found.offset == pytest.approx(0.005, rel=0.06)


def test_pedestal_and_sigma() -> None:
    assert PoissonGaussian(0.5, -0.1).pedestal == pytest.approx(0.2)
    assert PoissonGaussian(0.5, -0.1).sigma == 0
    assert PoissonGaussian(0.5, 0.04).pedestal == 0
    assert PoissonGaussian(0.5, 0.04).sigma == pytest.approx(0.2)
    assert PoissonGaussian(0.0, 0.04).sigma == pytest.approx(0.2)


@pytest.mark.parametrize(("gain", "offset"), [(0.02, 0.001), (0.02, -0.002), (0.0, 0.0025)])
def test_the_filter_sees_noise_of_the_deviation_it_is_told_and_the_mean_survives(gain: float, offset: float) -> None:
    noise = PoissonGaussian(gain, offset)
    rng = np.random.default_rng(0)
    x = np.repeat([0.2, 0.4, 0.8], 300)[:, None, None] * np.ones((1, 400, 1))
    counts = rng.poisson((x - noise.pedestal) / gain) * gain + noise.pedestal if gain else x
    noisy = counts + noise.sigma * rng.standard_normal(x.shape)

    def average(image: np.ndarray, sigma: float) -> np.ndarray:
        thirds = np.split(image, 3)
        assert [third.std() / sigma for third in thirds] == pytest.approx([1, 1, 1], abs=0.06)
        return np.concatenate([np.full_like(third, third.mean()) for third in thirds])

    restored = denoise_stabilised(noisy, noise, average)
    for level, third in zip((0.2, 0.4, 0.8), np.split(restored, 3), strict=True):
        assert third.mean() == pytest.approx(level, abs=0.004)


def test_a_capture_tells_what_all_captures_say() -> None:
    try:
        data = find_dataset("fmdd_bpae", data_roots())
        stack = np.stack([data.capture("19", k)[:, :, 0] for k in range(50)]) / 255.0
    except UserError as error:
        pytest.skip(str(error))
    mean, variance = stack.mean(axis=0), stack.var(axis=0, ddof=1)
    found = estimate_poisson_gaussian(stack[0])
    for low, high in ((4, 6), (6, 10), (20, 40), (40, 80), (80, 160)):
        members = (mean * 255 >= low) & (mean * 255 < high)
        expected = found.gain * mean[members].mean() + found.offset
        assert expected == pytest.approx(variance[members].mean(), rel=0.15), (low, high)
