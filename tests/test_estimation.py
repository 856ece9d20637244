"""The noise level estimator on real photographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from scipy.ndimage import gaussian_filter

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import FloatImage, UIntImage
from denoisebench.toolbox.estimation import Level, estimate_level, estimate_sigma

PHOTOGRAPHS = ["astronaut", "chelsea", "coffee"]


def photograph(name: str) -> UIntImage:
    return np.asarray(getattr(skimage.data, name)())


def add(clean: UIntImage, sigma: float, seed: int = 0) -> FloatImage:
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    return (clean / 255 + sigma / 255 * noise).astype(np.float32)


def literal(noisy: FloatImage) -> float:
    """The published steps one by one, over a plain list of 8x8xC patches."""
    tops, lefts = ([*range(0, side - 7, 3)] for side in noisy.shape[:2])
    for starts, side in ((tops, noisy.shape[0]), (lefts, noisy.shape[1])):
        if starts[-1] != side - 8:
            starts.append(side - 8)
    patches = np.array([noisy[t : t + 8, s : s + 8].ravel() for t in tops for s in lefts], np.float64)
    eigenvalues = sorted(np.linalg.eigvalsh(np.cov(patches, rowvar=False, bias=True)))
    for n in range(len(eigenvalues), 0, -1):
        tau = float(np.mean(eigenvalues[:n]))
        if sum(e > tau for e in eigenvalues[:n]) == sum(e < tau for e in eigenvalues[:n]):
            return float(tau**0.5)
    raise AssertionError("n = 1 always stops")


@pytest.mark.parametrize(("height", "width", "channels"), [(215, 213, 3), (124, 128, 1)])
@pytest.mark.parametrize("sigma", [5, 25])
def test_equals_the_published_steps(height: int, width: int, channels: int, sigma: float) -> None:
    noisy = add(photograph("coffee")[:height, :width, :channels], sigma)
    assert estimate_sigma(noisy) == pytest.approx(literal(noisy), rel=1e-9)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_within_two_percent(name: str, sigma: float) -> None:
    assert 255 * estimate_sigma(add(photograph(name), sigma)) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_weak_noise_is_overestimated_by_little(name: str) -> None:
    # Photographs carry noise of their own: JPEG and sensor noise of 1.8 grey levels make 5 into 5.31.
    assert 5.0 <= 255 * estimate_sigma(add(photograph(name), 5)) <= (5.0**2 + 1.8**2) ** 0.5


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("sigma", [5, 10, 25, 50])
def test_within_two_percent_where_a_photograph_has_no_noise_of_its_own(name: str, sigma: float) -> None:
    smooth = gaussian_filter(photograph(name).astype(np.float64), (0.7, 0.7, 0))
    noisy = smooth + sigma * np.random.default_rng(0).standard_normal(smooth.shape)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.02)


def test_joint_channels_beat_one_channel() -> None:
    noisy = add(photograph("astronaut"), 5)
    joint, single = estimate_sigma(noisy), estimate_sigma(noisy[:, :, :1])
    assert abs(255 * joint - 5) < abs(255 * single - 5)


def test_clipping_biases_strong_noise_downwards() -> None:
    noisy = add(photograph("astronaut"), 50)
    assert estimate_sigma(np.clip(noisy, 0, 1)) < 0.96 * estimate_sigma(noisy)


def test_pure_noise() -> None:
    noise = np.random.default_rng(4).standard_normal((512, 768, 3))
    assert estimate_sigma(noise) == pytest.approx(1.0, abs=0.01)


def test_estimate_scales_with_the_image_and_ignores_its_mean() -> None:
    noisy = add(photograph("coffee")[:99, :99], 25).astype(np.float64)
    assert estimate_sigma(1000 + 7 * noisy) == pytest.approx(7 * estimate_sigma(noisy), rel=1e-9)


def test_a_constant_image_has_no_noise() -> None:
    assert estimate_sigma(np.full((200, 200, 3), 0.3, np.float32)) == pytest.approx(0.0, abs=1e-9)


def test_a_clean_ramp_has_next_to_none() -> None:
    ramp = np.linspace(0, 1, 256)[:, None, None] * np.ones((1, 200, 3))
    assert 255 * estimate_sigma(ramp) < 0.01


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 48, 64, 96, 128, 200])
def test_small_images_use_smaller_patches(side: int, channels: int) -> None:
    noise = [np.random.default_rng(seed).standard_normal((side, side, channels)) for seed in range(12)]
    estimates = np.array([estimate_sigma(each) for each in noise])
    assert estimates.mean() == pytest.approx(1.0, abs=0.04)
    assert estimates.std() < 0.1


def test_fixed_patches_underestimate_in_small_images() -> None:
    noise = np.random.default_rng(0).standard_normal((64, 64, 3))
    assert estimate_sigma(noise, patch=8) < 0.7


@pytest.mark.parametrize(
    ("shape", "patch"), [((16, 16, 3), None), ((8, 8, 1), None), ((40, 40, 3), 8), ((7, 99, 1), 8)]
)
def test_too_small_images_are_refused(shape: tuple[int, int, int], patch: int | None) -> None:
    with pytest.raises(UserError, match=f"{shape[1]}x{shape[0]} image of {shape[2]} channels cannot"):
        estimate_sigma(np.zeros(shape), patch)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("sigma", [5, 10, 25, 50])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_noise_is_known_as_such(name: str, sigma: float, channels: int) -> None:
    noisy = add(photograph(name), sigma)[:, :, 1 : 1 + channels] if channels == 1 else add(photograph(name), sigma)
    found = estimate_level(noisy)
    assert (found.correlated, found.settled) == (False, True)
    assert 0.02 <= found.error < 0.15
    # Photographs have 1 to 2 grey levels of noise of their own.
    assert (1 - 0.03) * sigma < 255 * found.sigma < 1.025 * (sigma**2 + 1.5**2) ** 0.5


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_weak_noise_on_texture_in_gray_is_not_taken_for_more(name: str) -> None:
    noisy = add(photograph(name), 5)[:, :, 1:2]
    # All patches of a gray photograph are texture in part; its flattest blocks are not.
    assert 255 * estimate_sigma(noisy) > 6.4
    assert 255 * estimate_level(noisy).sigma < 5.3


@pytest.mark.parametrize("same", [False, True])
def test_a_gray_photograph_in_three_channels(same: bool) -> None:
    gray = np.repeat(photograph("coffee")[:, :, 1:2], 3, axis=2)
    noisy = add(gray, 10)
    noisy = np.repeat(noisy[:, :, :1], 3, axis=2) if same else noisy
    found = estimate_level(noisy)
    assert not found.correlated
    assert 255 * found.sigma == pytest.approx(10, rel=0.03)


def test_parts_without_noise_do_not_lower_the_level() -> None:
    noisy = np.round(255 * add(photograph("chelsea"), 10)[:, :, 1:2])
    plain = estimate_level(noisy).sigma
    framed, clipped = noisy.copy(), np.maximum(noisy, np.quantile(noisy, 0.2))
    framed[:60], framed[:, :80] = 40, 40
    assert plain == pytest.approx(10, rel=0.03)
    assert estimate_level(framed).sigma == pytest.approx(10, rel=0.05)
    assert estimate_level(clipped).sigma == pytest.approx(10, rel=0.05)


def test_of_a_large_image_tiles_are_enough() -> None:
    small = add(photograph("astronaut"), 10)[:, :, 1:2]
    large = add(np.tile(photograph("astronaut"), (3, 2, 1)), 10)[:, :, 1:2]
    assert large.size > 2**20
    assert estimate_level(large).sigma == pytest.approx(estimate_level(small).sigma, rel=0.02)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_noise_that_was_interpolated_is_measured_where_it_is_independent_again(name: str) -> None:
    clean = photograph(name) / 255
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(clean.shape), (0.7, 0.7, 0))
    noisy = clean + 20 / 255 * noise / noise.std()
    assert 255 * estimate_sigma(noisy) < 12
    found = estimate_level(noisy)
    assert found.correlated
    assert found.growth > 1.5
    assert 20 * 0.95 < 255 * found.sigma < 20 * 1.25


def test_real_camera_noise_is_found() -> None:
    folder = Path(os.environ.get("DENOISEBENCH_DATA", "")) / "sidd_srgb"
    if not (folder / "noisy").is_dir():
        pytest.skip("needs SIDD")
    ratios, gray = [], []
    for path in sorted((folder / "noisy").glob("*_N.png"))[::4]:
        noisy, clean = (
            np.asarray(Image.open(file), dtype=np.float32)
            for file in (path, folder / "clean" / path.name.replace("_N", "_CL"))
        )
        assert estimate_sigma(noisy) < 0.5 * (noisy - clean).std()
        ratios.append(estimate_level(noisy).sigma / (noisy - clean).std())
        gray.append(estimate_level(noisy[:, :, 1:2]).sigma / (noisy - clean)[:, :, 1].std())
    assert len(ratios) > 5
    assert np.median(ratios) == pytest.approx(1, abs=0.03)
    assert np.abs(np.array(ratios) - 1).max() < 0.15
    assert np.median(gray) == pytest.approx(1, abs=0.06)


def test_an_image_too_small_to_be_thinned_out_is_taken_as_white_and_said_to_be_unsettled() -> None:
    noise = np.random.default_rng(0).standard_normal((20, 20, 3))
    assert estimate_level(noise) == Level(estimate_sigma(noise), False, 1.0, False, 0.2)
    assert estimate_level(np.full((99, 99, 1), 0.5)).sigma == pytest.approx(0, abs=1e-9)
