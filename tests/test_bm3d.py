"""BM3D on small crops of a real photograph."""

from __future__ import annotations

import builtins
import functools
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import skimage.data

from denoisebench.core.errors import ContractError, UserError
from denoisebench.methods.bm3d import BM3D
from denoisebench.plugins.method import Need, NoiseInfo
from denoisebench.protocol.images import FloatImage, UIntImage, to_uint8
from denoisebench.protocol.metrics import psnr
from denoisebench.protocol.noise import Draw, add_noise, parse_noise
from denoisebench.toolbox import bm3d_filter

RNG = np.random.default_rng(0)
BOTH = frozenset({Need.FAMILY, Need.LEVEL})


def needs(engine: str) -> None:
    if engine == "package":
        pytest.importorskip("bm3d")


def face(channels: int, side: int = 96) -> UIntImage:
    return np.asarray(skimage.data.astronaut()[60 : 60 + side, 170 : 170 + side, :channels])


def draw(clean: UIntImage, noise: str) -> Draw:
    return add_noise(clean, parse_noise(noise), np.random.default_rng(1))


def denoise(method: BM3D, noisy: FloatImage, family: str, level: float | None) -> FloatImage:
    """As the harness does it: the method is handed what it declared and nothing else."""
    known = NoiseInfo("bm3d", method.told(family), {Need.FAMILY: family, Need.LEVEL: level})
    noisy.flags.writeable = False
    return np.asarray(method.denoise(noisy, known, RNG))


@functools.cache
def gain(method: BM3D, channels: int, noise: str) -> float:
    """Decibels above the noisy image."""
    clean = face(channels)
    drawn = draw(clean, noise)
    result = denoise(method, drawn.noisy, parse_noise(noise).family, drawn.level)
    assert result.shape == clean.shape
    assert result.dtype == np.float32
    return psnr(to_uint8(result), clean) - psnr(to_uint8(drawn.noisy), clean)


# --- what it is told ---


def test_told_is_the_truth() -> None:
    assert BM3D().told("gauss") == {Need.FAMILY}
    assert BM3D(sigma="known").told("gauss") == BOTH
    assert BM3D.info.needs == BOTH


def test_poisson_noise_is_another_methods() -> None:
    for noise in ("poisson30", "poisson5_50-clip"):
        assert BM3D().unsuitable(parse_noise(noise), 3) == "takes Gaussian noise only; use anscombe_bm3d"
    assert BM3D().unsuitable(parse_noise("gauss5_50"), 1) is None
    assert "not 2" in str(BM3D().unsuitable(parse_noise("gauss25"), 2))


def test_estimate_never_looks_at_the_level(fast: list[float]) -> None:
    drawn = draw(face(3), "gauss25")
    known = NoiseInfo("bm3d", frozenset({Need.FAMILY}), {Need.FAMILY: "gauss", Need.LEVEL: drawn.level})
    BM3D().denoise(drawn.noisy, known, RNG)
    with pytest.raises(ContractError, match="noise level"):
        BM3D(sigma="known").denoise(drawn.noisy, known, RNG)
    assert 255 * fast[0] == pytest.approx(25, rel=0.05)


def test_known_takes_the_level_it_is_told(fast: list[float]) -> None:
    denoise(BM3D(sigma="known"), draw(face(3), "gauss25").noisy, "gauss", 0.125)
    assert fast == [0.125]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the filter by the identity; lists the sigma of each call."""
    calls: list[float] = []

    def record(image: Any, sigma: float, threads: int) -> Any:
        calls.append(sigma)
        return image

    monkeypatch.setattr(bm3d_filter, "bm3d", record)
    return calls


def grain(side: int = 96) -> FloatImage:
    """Noise of variance 1 that neighbours of a row share, three channels."""
    drawn = np.random.default_rng(0).normal(size=(side, side + 2, 3))
    return np.asarray((drawn[:, :-2] + drawn[:, 1:-1] + drawn[:, 2:]) / 3**0.5, np.float32)


def test_correlation_of_the_image_comes_with_its_level() -> None:
    clean = face(3) / np.float32(255)
    known = NoiseInfo("bm3d", frozenset({Need.FAMILY}), {Need.FAMILY: "real"})
    scores = {}
    for method in (BM3D(sigma=25.5), BM3D(correlation="image"), BM3D(correlation="1x3", sigma=25.5)):
        result = method.denoise(clean + np.float32(0.1) * grain(), known, RNG)
        scores[method.text] = psnr(to_uint8(result), face(3))
        if method.measures_noise:
            assert known.noted == pytest.approx(0.1, rel=0.15)
    white, measured, told = scores.values()
    assert white + 1.5 < measured < told


def test_a_level_that_is_told_keeps_the_correlation_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, calls = 0.5 + np.float32(0.1) * grain(), list[Any]()

    def record(image: Any, noise: Any, threads: int) -> Any:
        calls.append(noise)
        return image

    monkeypatch.setattr(bm3d_filter, "bm3d", record)
    denoise(BM3D(sigma="known", correlation="image"), noisy, "gauss", 0.2)
    denoise(BM3D(sigma="known", correlation="1x3"), noisy, "gauss", 0.2)
    measured, box = (np.diagonal(one.values, axis1=2, axis2=3) for one in calls)
    assert [one.sigma for one in calls] == pytest.approx([0.2, 0.2])
    np.testing.assert_allclose(measured[5, 3:8], box[2], atol=0.006)
    assert not BM3D(sigma="known", correlation="image").measures_noise


# --- how well it does ---


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "least"), [(1, 7.5), (3, 9.0)])
def test_beats_the_noisy_image_by_far(channels: int, least: float) -> None:
    assert gain(BM3D(), channels, "gauss25") > least


@pytest.mark.slow
def test_estimated_and_known_sigma_score_alike() -> None:
    known = BM3D(sigma="known")
    assert abs(gain(BM3D(), 3, "gauss25") - gain(known, 3, "gauss25")) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "package"])
def test_one_thread_repeats_to_the_last_bit(engine: Literal["torch", "package"]) -> None:
    needs(engine)
    noisy = draw(face(1, 64), "gauss25").noisy
    once, twice, several = (denoise(BM3D(threads=n, engine=engine), noisy, "gauss", 0.1) for n in (1, 1, 2))
    assert np.array_equal(once, twice)
    np.testing.assert_allclose(several, once, atol=1e-3)


# --- odd images ---


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "package"])
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (11, 40)])
def test_tiny_images_are_padded(shape: tuple[int, int], engine: Literal["torch", "package"]) -> None:
    needs(engine)
    noisy = draw(face(3)[: shape[0], : shape[1]], "gauss25").noisy
    result = denoise(BM3D(sigma="known", engine=engine), noisy, "gauss", 25 / 255)
    assert result.shape == noisy.shape
    assert np.isfinite(result).all()


def test_sigma_of_a_tiny_image_cannot_be_estimated() -> None:
    with pytest.raises(UserError, match=r"noise level of a 8x8 image .* cannot be estimated.*nlm\[sigma=17\]"):
        denoise(BM3D(), draw(face(3, 8), "gauss25").noisy, "gauss", 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "package"])
def test_images_without_colour_or_noise_give_no_nan(engine: Literal["torch", "package"]) -> None:
    needs(engine)
    method = BM3D(sigma="known", engine=engine)
    gray = np.repeat(draw(face(1, 32), "gauss25").noisy, 3, axis=2)
    result = denoise(method, gray, "gauss", 25 / 255)
    assert np.isfinite(result).all()
    assert np.abs(result - gray).max() > 0.01
    # The Wiener stage of the package shrinks even a flat image by a part in 10^4, which no 8-bit image shows.
    flat = np.full((32, 32, 3), 0.4, np.float32)
    assert np.all(to_uint8(denoise(method, flat, "gauss", 0.1)) == 102)


# --- settings and packaging ---


def test_settings() -> None:
    assert BM3D().text == "bm3d"
    assert BM3D.from_settings({"sigma": "known", "threads": "0"}) == BM3D(sigma="known", threads=0)
    with pytest.raises(UserError, match="allowed values are estimate, known"):
        BM3D.from_settings({"sigma": "some"})
    with pytest.raises(UserError, match=r"bm3d\[threads=-1\]"):
        BM3D(threads=-1)
    assert BM3D(engine="package").text == "bm3d[engine=package]"
    with pytest.raises(UserError, match="allowed values are torch, package"):
        BM3D.from_settings({"engine": "matlab"})
    assert BM3D.from_settings({"correlation": "1x15"}).text == "bm3d[correlation=1x15]"
    for bad in ("1x16", "0x3", "3", "gauss", "3x3x3"):
        with pytest.raises(UserError, match=r"allowed are none, image, and rows x columns from 1x1 to 15x15"):
            BM3D(correlation=bad)
    with pytest.raises(UserError, match=r"drop engine=package"):
        BM3D(correlation="image", engine="package")


def test_results_that_were_stored_before_noise_could_be_correlated_keep_their_key() -> None:
    assert BM3D().keyed_settings() == {"sigma": "estimate", "threads": 1, "engine": "torch"}
    assert BM3D(correlation="image").keyed_settings() == {
        "sigma": "estimate", "threads": 1, "engine": "torch", "correlation": "image",
    }  # fmt: skip


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name == "bm3d":
            raise ImportError("No module named 'bm3d'")
        return real(name, *rest, **named)

    monkeypatch.delitem(sys.modules, "bm3d", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("without_package")
def test_missing_package_is_missed_by_its_engine_only() -> None:
    noisy = draw(face(1, 32), "gauss25").noisy
    with pytest.raises(UserError, match=r"engine=package needs .*pip install bm3d"):
        denoise(BM3D(sigma="known", engine="package"), noisy, "gauss", 0.1)
    assert np.isfinite(denoise(BM3D(sigma="known"), noisy, "gauss", 0.1)).all()


def test_licence_and_versions_are_those_of_the_engine() -> None:
    assert "engine=package" in BM3D.info.licence
    assert "closed source, non-commercial" in BM3D.info.licence
    assert BM3D().info.packages == ("torch",)
    assert BM3D(engine="package").info.packages == ("bm3d", "bm4d")
