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


@pytest.mark.parametrize(("gain", "sigma", "pedestal"), [(0.02, 0.03, 0.0), (0.05, 0.0, 0.05), (0.03, 0.02, 0.1)])
def test_gain_and_offset_of_a_photograph(gain: float, sigma: float, pedestal: float) -> None:
    rng = np.random.default_rng(0)
    x = clean()
    noisy = gain * rng.poisson(x / gain) + pedestal + sigma * rng.standard_normal(x.shape)
    found = estimate_poisson_gaussian(noisy)
    assert found.gain == pytest.approx(gain, rel=0.1)
    # Texture passes for noise: what is found lies above, by about 0.02^2 here.
    assert found.offset == pytest.approx(sigma**2 - gain * pedestal, abs=5e-4)


def test_gaussian_noise_has_next_to_no_gain() -> None:
    noisy = clean() + 0.1 * np.random.default_rng(0).standard_normal((512, 512))
    found = estimate_poisson_gaussian(noisy)
    variances = [found.gain * x + found.offset for x in (0.0, 1.0)]
    assert variances == pytest.approx([0.01, 0.01], rel=0.1)


def test_a_flat_image_has_one_level() -> None:
    noisy = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((64, 64))
    found = estimate_poisson_gaussian(noisy)
    assert found.gain * 0.5 + found.offset == pytest.approx(0.01, rel=0.2)
    assert estimate_poisson_gaussian(np.full((32, 32), 0.3)) == PoissonGaussian(0.0, 0.0)


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
