"""What filters for Gaussian noise share, with filters that do nothing, record, or know the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from skimage.data import astronaut

from denoisebench.core.errors import ContractError, UserError
from denoisebench.plugins.method import Info, Need, NoiseInfo
from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import estimate_level, estimate_sigma
from denoisebench.toolbox.gaussian import FloatArray, GaussianDenoiser, denoise_counts
from denoisebench.toolbox.vst import inverse_anscombe, inverse_anscombe_asymptotic, inverse_anscombe_closed

CLEAN = astronaut()[:128, 128:256] / 255.0
BOTH = frozenset({Need.FAMILY, Need.LEVEL})
CALLS: list[tuple[FloatArray, float]] = []


@dataclass(frozen=True)
class Recorder(GaussianDenoiser):
    """Does nothing but remember."""

    name = "recorder"
    info = Info(label="Recorder", licence="test", needs=BOTH)

    def filter(self, image: FloatArray, sigma: float) -> FloatArray:
        CALLS.append((image, sigma))
        return image


@pytest.fixture(autouse=True)
def _forget() -> None:
    CALLS.clear()


def denoise(method: GaussianDenoiser, noisy: FloatImage, family: str, level: float) -> FloatImage:
    known = NoiseInfo("recorder", method.told(family), {Need.FAMILY: family, Need.LEVEL: level})
    noisy.flags.writeable = False
    return method.denoise(noisy, known, np.random.default_rng(0))


def gaussian(level: float) -> FloatImage:
    return np.asarray(CLEAN + np.random.default_rng(0).normal(0, level, CLEAN.shape), np.float32)


def poisson(level: float) -> FloatImage:
    return np.asarray(np.random.default_rng(0).poisson(level * CLEAN) / level, np.float32)


def test_told_is_the_truth() -> None:
    assert Recorder().told("gauss") == {Need.FAMILY}
    assert Recorder(sigma="known").told("gauss") == BOTH
    assert Recorder().told("poisson") == Recorder(sigma="known").told("poisson") == BOTH


def test_sigma_is_estimated_or_told() -> None:
    noisy = gaussian(0.1)
    result = denoise(Recorder(), noisy, "gauss", 99.0)
    denoise(Recorder(sigma="known"), noisy, "gauss", 0.125)
    assert CALLS[0][1] == pytest.approx(0.1, rel=0.05)
    assert CALLS[1][1] == 0.125
    assert CALLS[0][0].dtype == np.float64
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, noisy)


def test_a_level_that_was_not_declared_is_not_seen() -> None:
    known = NoiseInfo("recorder", frozenset({Need.FAMILY}), {Need.FAMILY: "gauss"})
    with pytest.raises(ContractError, match="noise level"):
        Recorder(sigma="known").denoise(gaussian(0.1), known, np.random.default_rng(0))


def test_noise_of_strength_zero_is_left_alone() -> None:
    noisy = gaussian(0.1)
    result = denoise(Recorder(sigma="known"), noisy, "gauss", 0.0)
    np.testing.assert_array_equal(result, noisy)
    assert result is not noisy
    flat = np.full((64, 64, 1), 0.5, np.float32)
    np.testing.assert_allclose(denoise(Recorder(), flat, "gauss", 0.0), flat)


def test_too_small_for_an_estimate() -> None:
    with pytest.raises(UserError, match="noise level of a 8x8 image"):
        denoise(Recorder(), gaussian(0.1)[:8, :8].copy(), "gauss", 0.1)


@pytest.mark.parametrize("level", [5.0, 30.0])
def test_the_filter_sees_stabilised_counts_of_its_own_scale(level: float) -> None:
    noisy = poisson(level)
    denoise(Recorder(), noisy, "poisson", level)
    ((image, sigma),) = CALLS
    assert image.min() >= 0.15
    assert image.max() == pytest.approx(0.85)
    assert sigma == pytest.approx(0.7 / (2 * np.sqrt(level * noisy.max() + 0.375) - 2 * np.sqrt(0.375)))
    # Counts of a flat grey of at least four photons: the noise has the standard deviation the filter is told.
    flat = (np.random.default_rng(0).poisson(8, (200, 200, 1)) / level).astype(np.float32)
    denoise(Recorder(), flat, "poisson", level)
    assert CALLS[1][0].std() == pytest.approx(CALLS[1][1], rel=0.05)


def test_the_scale_starts_at_no_photon_even_where_every_pixel_has_some() -> None:
    """Not at the fewest of this image: what an image is filtered at must not hang on its darkest pixel."""
    counts = np.arange(4, 4 + 32 * 32).reshape(32, 32, 1)
    denoise(Recorder(), (counts / 30).astype(np.float32), "poisson", 30.0)
    ((image, sigma),) = CALLS
    zero, most = 2 * np.sqrt(0.375), 2 * np.sqrt(counts.max() + 0.375)
    np.testing.assert_allclose(sigma, 0.7 / (most - zero), rtol=1e-6)
    np.testing.assert_allclose(image, 0.15 + sigma * (2 * np.sqrt(counts + 0.375) - zero), rtol=1e-6)


@pytest.mark.parametrize("family", ["gauss", "real"])
def test_every_plane_of_a_raw_image_has_a_level_of_its_own(family: str) -> None:
    levels = [0.02, 0.05, 0.1, 0.2]
    noise = np.random.default_rng(0).standard_normal((96, 96, 4)) * levels
    noisy = np.asarray(0.5 + noise, np.float32)
    result = denoise(Recorder(), noisy.copy(), family, 99.0)
    np.testing.assert_array_equal(result, noisy)
    assert [image.shape for image, _ in CALLS] == [(96, 96, 1)] * 4
    estimate = estimate_sigma if family == "gauss" else lambda plane: estimate_level(plane).sigma
    assert [sigma for _, sigma in CALLS] == [estimate(noisy[:, :, c : c + 1]) for c in range(4)]
    assert CALLS[3][1] > 8 * CALLS[0][1]


@pytest.mark.parametrize("mean", [0.5, 2.0, 10.0])
def test_a_perfect_filter_leaves_no_bias(mean: float) -> None:
    level = 30.0
    noisy = (np.random.default_rng(0).poisson(mean, (600, 600, 1)) / level).astype(np.float32)

    def average(image: FloatArray, sigma: float) -> FloatArray:
        return np.full_like(image, image.mean())

    def bias(inverse: Callable[[FloatArray], FloatArray]) -> float:
        return float(level * denoise_counts(noisy, level, average, inverse).mean() - mean)

    assert abs(bias(inverse_anscombe)) < 0.02
    assert abs(bias(inverse_anscombe_closed)) < 0.04
    expected = {0.5: 0.133, 2.0: 0.019, 10.0: 0.0}[mean]
    assert bias(inverse_anscombe_asymptotic) - bias(inverse_anscombe) == pytest.approx(expected, abs=0.002)


def test_images_of_next_to_no_photons() -> None:
    dark = np.zeros((32, 32, 3), np.float32)
    np.testing.assert_array_equal(denoise(Recorder(), dark.copy(), "poisson", 5.0), dark)
    assert not CALLS
    dark[9, 9, 1] = 1 / 5
    assert np.isfinite(denoise(Recorder(), dark, "poisson", 5.0)).all()


def test_a_filter_must_be_written() -> None:
    class Lazy(GaussianDenoiser):
        info = Recorder.info

    with pytest.raises(NotImplementedError):
        denoise(Lazy(), gaussian(0.1), "gauss", 0.1)


def test_real_noise_need_not_be_white() -> None:
    """Of noise that neighbouring pixels share, the estimate for white noise finds a part."""
    noise = np.random.default_rng(0).normal(0, 0.3, (133, 133, 3))
    shared = sum(noise[i : i + 128, j : j + 128] for i in range(3) for j in range(3)) / 9
    noisy = np.asarray(CLEAN + shared, np.float32)
    denoise(Recorder(), noisy, "real", 99.0)
    denoise(Recorder(), noisy, "gauss", 99.0)
    assert CALLS[0][1] == pytest.approx(estimate_level(noisy).sigma)
    assert CALLS[1][1] == pytest.approx(estimate_sigma(noisy))
    assert CALLS[1][1] < 0.7 * CALLS[0][1]
