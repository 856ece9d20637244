"""BM3D behind the Anscombe transform, on small crops of a real photograph."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import skimage.data

from denoisebench.core.errors import UserError
from denoisebench.methods.anscombe_bm3d import AnscombeBM3D
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Need, NoiseInfo
from denoisebench.protocol.images import FloatImage, UIntImage, to_uint8
from denoisebench.protocol.metrics import psnr
from denoisebench.protocol.noise import Draw, add_noise, parse_noise
from denoisebench.toolbox import bm3d_filter

BOTH = frozenset({Need.FAMILY, Need.LEVEL})


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the filter by the identity; lists the sigma of each call."""
    calls: list[float] = []

    def record(image: Any, sigma: float, threads: int) -> Any:
        calls.append(sigma)
        return image

    monkeypatch.setattr(bm3d_filter, "bm3d", record)
    return calls


def face(channels: int, side: int = 96) -> UIntImage:
    return np.asarray(skimage.data.astronaut()[60 : 60 + side, 170 : 170 + side, :channels])


def draw(clean: UIntImage, noise: str) -> Draw:
    return add_noise(clean, parse_noise(noise), np.random.default_rng(1))


def denoise(method: AnscombeBM3D, noisy: FloatImage, level: float | None) -> FloatImage:
    """As the harness does it: the method is handed what it declared and nothing else."""
    known = NoiseInfo("anscombe_bm3d", method.told("poisson"), {Need.FAMILY: "poisson", Need.LEVEL: level})
    noisy.flags.writeable = False
    return np.asarray(method.denoise(noisy, known, np.random.default_rng(0)))


@functools.cache
def score(method: AnscombeBM3D, channels: int, noise: str) -> tuple[float, float]:
    """PSNR of the noisy and of the denoised image."""
    clean = face(channels)
    drawn = draw(clean, noise)
    result = denoise(method, drawn.noisy, drawn.level)
    assert result.shape == clean.shape
    assert result.dtype == np.float32
    return psnr(to_uint8(drawn.noisy), clean), psnr(to_uint8(result), clean)


def test_told_and_suited() -> None:
    method = AnscombeBM3D()
    assert method.told("poisson") == method.info.needs == BOTH
    for noise in ("gauss25", "gauss5_50-uint8"):
        assert method.unsuitable(parse_noise(noise), 3) == "takes Poisson or real noise; use bm3d"
    assert method.unsuitable(parse_noise("poisson5_50"), 1) is None
    assert "not 2" in str(method.unsuitable(parse_noise("poisson30"), 2))


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "least"), [(1, 9.0), (3, 10.0)])
def test_beats_the_noisy_image_by_far(channels: int, least: float) -> None:
    before, after = score(AnscombeBM3D(), channels, "poisson30")
    assert after > before + least


@pytest.mark.slow
def test_few_photons_ask_for_an_unbiased_inverse() -> None:
    dark = np.asarray(face(1) // 4)
    drawn = draw(dark, "poisson5")
    exact, closed, asymptotic = (
        psnr(to_uint8(denoise(AnscombeBM3D(inverse=name), drawn.noisy, drawn.level)), dark)
        for name in ("exact", "closed", "asymptotic")
    )
    assert exact == pytest.approx(closed, abs=0.1)
    assert exact > asymptotic + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_unbiased_when_the_filter_does_nothing(channels: int, fast: list[float]) -> None:
    drawn = draw(face(channels), "poisson30")
    result = denoise(AnscombeBM3D(), drawn.noisy, drawn.level)
    # The unbiased inverse of a value that was not averaged lies a quarter of a count above it.
    counts = drawn.noisy > 10 / 30
    assert np.abs(result - drawn.noisy - 0.25 / 30)[counts].max() < 2e-3
    # One standard deviation of the stabilised image, mapped to a range of 0.7.
    assert fast[0] == pytest.approx(0.7 / (2 * np.sqrt(30 * drawn.noisy.max() + 0.375) - 2 * np.sqrt(0.375)))


def test_each_inverse_is_its_own(fast: list[float]) -> None:
    # Counts 0, 1, 2 and 3, which the filter leaves alone.
    noisy = np.tile(np.arange(4) / 30, (32, 8))[:, :, None].astype(np.float32)
    names = ("closed", "asymptotic", "algebraic")
    results = [30 * denoise(AnscombeBM3D(inverse=name), noisy, 30.0)[0, :4, 0] for name in names]
    stabilised = 2 * np.sqrt(np.arange(4) + 0.375)
    np.testing.assert_allclose(results[1], stabilised**2 / 4 - 1 / 8, atol=1e-4)
    assert results[0][0] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(results[2], np.arange(4), atol=1e-4)


def test_channels_apart_are_three_gray_images(fast: list[float]) -> None:
    noisy = draw(face(3), "poisson30").noisy
    apart = denoise(AnscombeBM3D(colour="apart"), noisy.copy(), 30.0)
    assert len(set(fast)) == 3  # the range of each channel scales its own noise
    for channel in range(3):
        gray = denoise(AnscombeBM3D(), noisy[:, :, channel : channel + 1].copy(), 30.0)
        assert np.array_equal(apart[:, :, channel : channel + 1], gray)


def test_every_plane_of_a_raw_image_is_fitted_by_itself(fast: list[float]) -> None:
    rng = np.random.default_rng(0)
    signal = np.linspace(0.1, 0.9, 96)[:, None, None] * np.ones((1, 96, 4))
    gains = np.array([0.005, 0.01, 0.02, 0.04])
    noisy = np.asarray(gains * rng.poisson(signal / gains), np.float32)
    known = NoiseInfo("anscombe_bm3d", AnscombeBM3D().told("real"), {Need.FAMILY: "real"})

    def through(image: FloatImage) -> FloatImage:
        return AnscombeBM3D().denoise(image, known, rng)

    together = through(noisy)
    seen = list(fast)
    assert len(set(seen)) == 4
    for plane in range(4):
        np.testing.assert_array_equal(through(noisy[:, :, plane : plane + 1])[:, :, 0], together[:, :, plane])
    assert fast[4:] == seen


@pytest.mark.slow
def test_images_of_next_to_no_photons() -> None:
    dark = np.zeros((32, 32, 3), np.float32)
    assert np.array_equal(denoise(AnscombeBM3D(), dark.copy(), 5.0), dark)
    dark[9, 9, 1] = 1 / 5
    assert np.isfinite(denoise(AnscombeBM3D(), dark, 5.0)).all()


def test_settings() -> None:
    assert AnscombeBM3D().text == "anscombe_bm3d"
    assert parse_method("anscombe_bm3d[inverse=closed,threads=0]") == AnscombeBM3D(inverse="closed", threads=0)
    with pytest.raises(UserError, match="allowed values are exact, closed, asymptotic, algebraic"):
        parse_method("anscombe_bm3d[inverse=biased]")
    with pytest.raises(UserError, match=r"anscombe_bm3d\[threads=-1\]"):
        AnscombeBM3D(threads=-1)


def test_engine_is_a_setting() -> None:
    assert parse_method("anscombe_bm3d[engine=package]") == AnscombeBM3D(engine="package")
    assert AnscombeBM3D().info.packages == ("torch",)
    assert AnscombeBM3D(engine="package").info.packages == ("bm3d", "bm4d")
    assert "closed source, non-commercial" in AnscombeBM3D.info.licence


@pytest.mark.slow
def test_engines_agree() -> None:
    pytest.importorskip("bm3d")
    _, ours = score(AnscombeBM3D(), 1, "poisson30")
    _, theirs = score(AnscombeBM3D(engine="package"), 1, "poisson30")
    assert ours == pytest.approx(theirs, abs=0.1)
