"""BM3D in torch: against the authors' package on crops of photographs, and on images that are no photographs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from scipy.signal import convolve2d

from denoisebench.core.errors import UserError
from denoisebench.toolbox import collaborative
from denoisebench.toolbox.autocovariance import Autocovariance, filtered, spectrum
from denoisebench.toolbox.bm3d_filter import bm3d_filter
from denoisebench.toolbox.bm3d_transforms import dct_matrix, haar_matrix, overlaps, patch_matrix, wavelet_matrix
from denoisebench.toolbox.collaborative import GRAY, OPPONENT, FloatArray, bm3d


def photograph(channels: int, height: int = 96, width: int = 96) -> FloatArray:
    """A face, of astronaut, which nothing was tuned on."""
    whole = skimage.data.astronaut() / 255.0
    cut = whole[30 : 30 + height, 160 : 160 + width]
    return np.asarray(cut if channels == 3 else cut.mean(axis=2, keepdims=True).repeat(channels, axis=2))


def noise(shape: tuple[int, ...], seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape)


def psnr(image: FloatArray, clean: FloatArray) -> float:
    return float(-10 * np.log10(np.mean((image - clean) ** 2)))


# --- how well it does ---


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "level"), [(1, 25), (1, 50), (3, 25)])
def test_as_good_as_the_package_of_the_authors(channels: int, level: int) -> None:
    pytest.importorskip("bm3d")
    clean = photograph(channels)
    noisy = clean + level / 255 * noise(clean.shape)
    ours, theirs = (bm3d_filter(noisy, level / 255, engine=engine) for engine in ("torch", "package"))
    assert psnr(ours, clean) > psnr(theirs, clean) - 0.1
    # They differ from each other far less than from the photograph.
    assert psnr(ours, theirs) > psnr(theirs, clean) + 6


def test_the_second_stage_adds_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = photograph(1, 64, 64)
    noisy = clean + 0.1 * noise(clean.shape)
    stages: list[torch.Tensor] = []
    real = collaborative._stage

    def record(*arguments: Any) -> torch.Tensor:
        stages.append(real(*arguments))
        return stages[-1]

    monkeypatch.setattr(collaborative, "_stage", record)
    bm3d(noisy, 0.1)
    first, second = (psnr(one[0].double().numpy()[:, :, None] / 255, clean) for one in stages)
    assert psnr(noisy, clean) + 5 < first < second


def weave(side: int = 80) -> FloatArray:
    """Fine cloth: its lowest 32 cosine coefficients hold next to nothing of it."""
    y, x = np.mgrid[:side, :side]
    threads = np.cos(2 * np.pi * (0.31 * x + 0.05 * y)) * np.cos(2 * np.pi * (0.29 * y - 0.04 * x))
    return np.asarray(0.5 + 0.15 * threads + 0.1 * np.sin(x / 50))[:, :, None]


def test_fine_texture_is_compared_by_the_coefficients_it_has() -> None:
    clean = weave()
    noisy = clean + 0.1 * noise(clean.shape)
    lowest = bm3d(noisy, 0.1, profile=replace(GRAY, weak=1e9))
    assert psnr(bm3d(noisy, 0.1), clean) > psnr(lowest, clean) + 3


def test_compared_are_the_strongest_coefficients_and_of_the_weak_the_lowest() -> None:
    transform = torch.from_numpy(patch_matrix(dct_matrix())).float()
    # The plane repeats one patch of three coefficients: its patches 8 pixels apart have those and no others.
    strengths = torch.zeros(64)
    strengths[[0, 40, 50]] = torch.tensor([9.0, 3.0, 0.1])
    plane = (strengths @ transform).view(8, 8)
    white = torch.ones(64, dtype=torch.float64)

    def found(count: int, noise: torch.Tensor, weak: float, noisy: bool = True) -> list[int]:
        return list(collaborative._telling(plane, count, noise, weak, noisy).indices.tolist())

    assert found(4, white, 0.5, noisy=False) == [0, 1, 2, 40]
    assert found(5, white, 1e-6, noisy=False) == [0, 1, 2, 40, 50]
    assert found(4, white, 0.5) == [0, 1, 2, 40]
    assert found(4, 10 * white, 0.05) == [0, 1, 2, 3], "noise explains the ninth"
    low = white.clone()
    low[40] = 9.0
    assert found(4, low, 0.02) == [0, 1, 2, 3], "and what it explains of a coefficient depends on its spectrum"


def test_what_is_compared_is_weighed_by_its_noise() -> None:
    noise = torch.full((64,), 4.0, dtype=torch.float64)
    noise[0] = 16.0
    compared = collaborative._telling(torch.zeros(16, 16), 3, noise, 0.1, noisy=False)
    assert compared.indices.tolist() == [0, 1, 2]
    assert compared.noise == 8
    np.testing.assert_allclose(compared.weights, [0.5**0.5, 2**0.5, 2**0.5])


# --- what it must not depend on ---


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = photograph(1, 130, 121) + 0.1 * noise((130, 121, 1))
    whole = bm3d(noisy, 0.1)
    assert np.array_equal(bm3d(noisy, 0.1), whole)
    monkeypatch.setattr(collaborative, "_BLOCK", (12, 16))
    parts = bm3d(noisy, 0.1)
    # The order of sums differs, and with it the last bits; a coefficient at the threshold may fall the other way, which
    # shows in a few pixels of one patch.
    assert np.sum(np.abs(parts - whole) > 1e-3) < 8
    assert np.abs(parts - whole).max() < 0.01
    assert np.sqrt(np.mean((parts - whole) ** 2)) < 1e-4
    assert np.array_equal(bm3d(noisy, 0.1, threads=3), parts), "to the last bit, whoever works on which block"


@pytest.mark.parametrize("outer", [1, 2])
def test_the_threads_of_torch_are_left_as_they_were(outer: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(outer)
        bm3d(photograph(1, 40, 40), 0.1, threads=2)
        assert torch.get_num_threads() == outer
    finally:
        torch.set_num_threads(before)


def test_layout_in_memory_does_not_count() -> None:
    noisy = photograph(3, 48, 40) + 0.1 * noise((48, 40, 3))
    expected = bm3d(noisy, 0.1)
    reversed_twice = noisy[::-1].copy()[::-1]
    frozen = np.asfortranarray(noisy)
    frozen.flags.writeable = False
    for other in (reversed_twice, frozen):
        assert np.array_equal(bm3d(other, 0.1), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_scale_does_not_count_where_noise_is_strong(channels: int) -> None:
    noisy = photograph(channels, 40, 40) + 2 * noise((40, 40, channels))
    np.testing.assert_allclose(bm3d(1e6 * noisy, 2e6) / 1e6, bm3d(noisy, 2.0), atol=1e-4)


# --- levels ---


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_without_noise_nothing_changes(channels: int) -> None:
    image = photograph(channels, 20, 24)
    assert np.array_equal(bm3d(image, 0.0), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("level", [1e-12, 1e-4, 1e12])
def test_tiny_and_huge_levels(channels: int, level: float) -> None:
    image = photograph(channels, 24, 20)
    result = bm3d(image, level)
    assert np.isfinite(result).all()
    if level < 1:
        assert np.abs(result - image).max() < max(3 * level, 1e-6)
    else:
        assert np.abs(result - image.mean(axis=(0, 1))).max() < 0.5, "all is noise, and the mean is left"


def test_a_level_for_each_channel() -> None:
    image = photograph(4, 40, 40) + 0.1 * noise((40, 40, 4))
    levels = [0.1, 0.0, 0.05, 0.2]
    result = bm3d(image, levels)
    for channel, level in enumerate(levels):
        assert np.array_equal(result[:, :, [channel]], bm3d(image[:, :, [channel]], level))


@pytest.mark.slow
def test_levels_of_colours_are_those_of_the_opponent_channels() -> None:
    clean, levels = photograph(3), np.array([0.04, 0.2, 0.06])
    noisy = clean + levels * noise(clean.shape)
    told = psnr(bm3d(noisy, levels.tolist()), clean)
    mean = psnr(bm3d(noisy, float(np.sqrt(np.mean(levels**2)))), clean)
    assert told > mean
    np.testing.assert_allclose(OPPONENT @ OPPONENT.T, np.eye(3), atol=1e-12)


def test_a_channel_without_noise_beside_one_with() -> None:
    image = photograph(3, 40, 40)
    image[:, :, 1] += 0.1 * noise((40, 40))
    clean, result = photograph(3, 40, 40), bm3d(image, [0.0, 0.1, 0.0])
    assert psnr(result, clean) > psnr(image, clean) + 3


# --- correlated noise ---


def correlated(kernel: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """Noise of variance 1, channels independent."""
    tall, wide = (side + more - 1 for side, more in zip(shape, kernel.shape, strict=False))
    planes = [convolve2d(noise((tall, wide), seed), kernel, "valid") for seed in range(shape[2])]
    return np.stack(planes, axis=2) / float(np.sqrt(np.sum(kernel**2)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_white_spectrum_is_a_level(channels: int) -> None:
    noisy = photograph(channels, 48, 48) + 0.1 * noise((48, 48, channels))
    levels = [0.1, 0.08, 0.12, 0.2][:channels]
    np.testing.assert_allclose(bm3d(noisy, filtered(np.ones((1, 1)), levels)), bm3d(noisy, levels), atol=1e-6)
    wide = np.zeros((7, 7, channels, channels))
    wide[3, 3] = np.diag(np.square(levels))
    np.testing.assert_allclose(bm3d(noisy, Autocovariance(wide)), bm3d(noisy, levels), atol=1e-6)


@pytest.mark.parametrize("kernel", [np.ones((1, 5)), np.outer([1.0, 2, 1], [1, 2, 1]), np.outer([1.0, -1], [1, -1])])
@pytest.mark.parametrize("channels", [1, 3])
def test_correlated_noise_is_removed_by_who_is_told(kernel: FloatArray, channels: int) -> None:
    clean = photograph(channels)
    noisy = clean + 0.1 * correlated(kernel, clean.shape)
    told = bm3d(noisy, filtered(kernel, [0.1] * channels))
    assert psnr(told, clean) > psnr(bm3d(noisy, 0.1), clean) + 1
    assert psnr(told, clean) > psnr(noisy, clean) + 4


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [np.ones((1, 5)), np.outer([1.0, 2, 1], [1, 2, 1]), np.outer([1.0, -1], [1, -1])])
def test_as_good_as_the_package_that_is_told_the_spectrum(kernel: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("bm3d")
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # bm4d 4.2 looks for it
    clean = photograph(1)
    noisy, told = clean + 0.1 * correlated(kernel, clean.shape), filtered(kernel, [0.1])
    power = spectrum(told.values, *clean.shape[:2])[:, :, 0, 0].clip(min=0) * clean.size
    theirs = package.bm3d(noisy[:, :, 0], power)[:, :, None]
    assert psnr(bm3d(noisy, told), clean) > psnr(theirs, clean) - 0.1


def test_noise_that_channels_share_is_told() -> None:
    clean = photograph(3)
    shared = np.repeat(correlated(np.ones((1, 3)), (96, 96, 1)), 3, axis=2)
    told = filtered(np.ones((1, 3)), [0.1] * 3).values[:, :, :1, :1] * np.ones((3, 3))
    noisy = clean + 0.1 * shared
    result = bm3d(noisy, Autocovariance(told))
    assert psnr(result, clean) > psnr(bm3d(noisy, filtered(np.ones((1, 3)), [0.1] * 3)), clean) + 0.3
    # The differences of the colours have no noise, and are left as they are.
    np.testing.assert_allclose(result[:, :, 0] - result[:, :, 1], clean[:, :, 0] - clean[:, :, 1], atol=0.01)


def test_a_spectrum_that_is_negative_somewhere_gives_no_nonsense() -> None:
    values = filtered(np.ones((1, 1)), [0.1]).values
    values = np.pad(values, ((1, 1), (1, 1), (0, 0), (0, 0)))
    values[1, 0] = values[1, 2] = 0.009
    clean = photograph(1, 48, 48)
    noisy = clean + 0.1 * correlated(np.ones((1, 2)), (48, 48, 1))
    assert psnr(bm3d(noisy, Autocovariance(values)), clean) > psnr(noisy, clean) + 3


def test_noise_of_other_channels_is_refused() -> None:
    with pytest.raises(UserError, match="noise is of 1 channels, the image of 3"):
        bm3d(photograph(3, 20, 20), filtered(np.ones((1, 3)), [0.1]))


# --- odd images ---


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 7), (8, 8), (8, 40), (9, 13)])
def test_any_size(shape: tuple[int, int], channels: int) -> None:
    noisy = photograph(channels, *shape) + 0.05 * noise((*shape, channels))
    result = bm3d(noisy, 0.05)
    assert result.shape == noisy.shape
    assert result.dtype == np.float64
    assert np.abs(result - photograph(channels, *shape)).max() < 0.25


@pytest.mark.parametrize("value", [0.0, 0.4, -3.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_image_stays_constant(value: float, channels: int) -> None:
    result = bm3d(np.full((30, 30, channels), value), 0.1)
    np.testing.assert_allclose(result, value, atol=2e-6)


def test_gray_in_three_channels_stays_gray() -> None:
    noisy = np.repeat(photograph(1, 40, 40) + 0.1 * noise((40, 40, 1)), 3, axis=2)
    result = bm3d(noisy, 0.1)
    np.testing.assert_allclose(result, result[:, :, :1].repeat(3, axis=2), atol=1e-5)
    assert np.abs(result - noisy).max() > 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    image = np.zeros((10, 10, 1))
    with pytest.raises(UserError, match=r"noise level .* must be finite"):
        bm3d(image, bad)
    with pytest.raises(UserError, match="noise level -1 must be"):
        bm3d(image, -1)
    image[3, 3] = bad
    with pytest.raises(UserError, match="NaN or infinite"):
        bm3d(image, 0.1)


def test_a_flat_image_is_not_grouped_by_its_noise() -> None:
    """The nearest of patches with nothing but noise are those with the same noise, and their mean keeps it."""
    noisy = 0.5 + 0.2 * noise((96, 96, 1))
    clean = np.full_like(noisy, 0.5)
    nearest = bm3d(noisy, 0.2, profile=replace(GRAY, alike=(1e-6, 1e-6)))
    assert psnr(bm3d(noisy, 0.2), clean) > psnr(nearest, clean) + 1


def test_groups_of_one_leave_a_filter_of_single_patches() -> None:
    """With no patch similar enough, what is left is a transform of each patch, which still removes noise."""
    clean = photograph(1, 48, 48)
    noisy = clean + 0.1 * noise(clean.shape)
    alone = bm3d(noisy, 0.1, profile=replace(GRAY, similar=((0.0, 0.0), (0.0, 0.0))))
    together = bm3d(noisy, 0.1)
    assert psnr(noisy, clean) + 3 < psnr(alone, clean) < psnr(together, clean)


@pytest.mark.parametrize("stage", ["threshold", "wiener"])
def test_groups_are_shrunk_and_weighted_as_the_page_says(stage: str) -> None:
    """Group by group from docs/bm3d.md, for patches that do not overlap."""
    rng = torch.Generator().manual_seed(0)
    noisy, pilot = torch.randn(2, 8, 1, 64, generator=rng, dtype=torch.float64)
    members = torch.tensor([[0, 5], [3, 4], [6, 7], [1, 2]])
    rows, columns = 8 * members, torch.zeros_like(members)
    variance = torch.tensor([0.3], dtype=torch.float64)
    haar = torch.from_numpy(haar_matrix(4))
    if stage == "threshold":
        shared = overlaps(wavelet_matrix(), [np.ones((1, 1))], variance)
        shrunk, weight = collaborative._threshold(variance, shared, 2.0, members, rows, columns, [noisy])
    else:
        shrunk, weight = collaborative._wiener(variance, None, members, rows, columns, [noisy, pilot])
    for group, those in enumerate(members.T):
        c, b = haar @ noisy[those, 0], haar @ pilot[those, 0]
        gain = (c.square() > 2.0 * 0.3).double() if stage == "threshold" else b.square() / (b.square() + 0.3)
        gain[0, 0] = 1
        assert 0 < int((gain < 0.5).sum()) < gain.numel()
        torch.testing.assert_close(shrunk[:, group, 0], haar.T @ (gain * c))
        scale = 0.3 if stage == "threshold" else 1.0
        torch.testing.assert_close(weight[group, 0], 1 / (scale * gain.square().sum()))
