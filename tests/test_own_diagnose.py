"""``denoisebench diagnose`` on photographs with noise of a known kind, and on captures of cameras and microscopes."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter
from skimage.data import astronaut, chelsea

from denoisebench.core.errors import UserError
from denoisebench.own.diagnose import Diagnosis, diagnose, mask_of
from denoisebench.own.model import Detector, camera_of
from denoisebench.own.stack import Stack, layout_of

CLEAN = np.asarray(chelsea(), np.float64)
RNG = np.random.default_rng(0)
DATA = Path(os.environ.get("DENOISEBENCH_DATA", ""))


def of(data: np.ndarray, name: str = "a.npy") -> Diagnosis:
    stack = Stack(Path(name), data, "YXS"[: data.ndim], lambda path, result: None, ".npy")
    return diagnose(stack, layout_of(stack, "auto"))


def said(found: Diagnosis) -> str:
    return " ".join([*found.facts, *found.advice])


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_white_noise(sigma: float) -> None:
    found = of(CLEAN + sigma * RNG.standard_normal(CLEAN.shape))
    assert found.independent is True
    assert found.level.sigma == pytest.approx(sigma, rel=0.03)
    assert "does not grow" in said(found) or "not told from 0" in said(found)
    assert "Self-supervised methods may be used" in said(found)
    assert "JPEG" not in said(found)
    assert "mosaic" not in said(found)


@pytest.mark.parametrize("sigma", [5, 10])
@pytest.mark.parametrize(("least", "independent"), [(0.2, True), (0.8, None)])
def test_white_noise_on_fine_texture_is_not_called_correlated(
    sigma: float, least: float, independent: bool | None
) -> None:
    rng = np.random.default_rng(4)
    # Texture everywhere, across the image from this many times the noise to four times more.
    texture = gaussian_filter(rng.standard_normal((512, 512)), 0.8)
    amplitude = sigma * (least + 4 * np.linspace(0, 1, 512))
    found = of(128 + amplitude * texture / texture.std() + sigma * rng.standard_normal(texture.shape))
    assert found.independent is independent
    if independent:
        assert found.level.sigma == pytest.approx(sigma, rel=0.05)
    # Every second pixel shows more there, so its level is a guess.
    assert ("cannot be told" in said(found)) == ("about" in found.facts[0]) == (independent is None)


def test_counts_of_a_microscope() -> None:
    signal = gaussian_filter(np.asarray(astronaut(), np.float64)[:, :, 1], 1.5)
    counts = 12 * RNG.poisson(signal / 12) + 100 + 5 * RNG.standard_normal(signal.shape)
    found = of(np.round(counts).astype(np.uint16))
    (channel,) = found.channels
    assert channel.growth.gain == pytest.approx(12, rel=0.05)
    # 25 of read noise and 1/12 of rounding, seen from an offset of 100.
    assert -channel.growth.offset / channel.growth.gain == pytest.approx(98, abs=5)
    assert "variance = 1" in said(found)
    assert "--noise camera" in said(found)


def test_noise_of_interpolated_pixels_and_of_rows() -> None:
    noise = gaussian_filter(RNG.standard_normal(CLEAN.shape), (0.7, 0.7, 0))
    found = of(CLEAN + 20 * noise / noise.std())
    assert found.independent is False
    assert "will keep such noise" in said(found)
    assert 20 * 0.95 < found.level.sigma < 20 * 1.25
    gray = CLEAN[:, :, 1]
    rows = of(gray + 10 * RNG.standard_normal(gray.shape) + 5 * RNG.standard_normal((gray.shape[0], 1)))
    assert rows.independent is False
    assert "whole rows share noise" in said(rows)
    assert "whole columns" not in said(rows)
    assert "structn2v[mask=row] does not look" in said(rows)


@pytest.mark.parametrize(("shape", "mask"), [((1, 5), "1x9"), ((3, 1), "5x1")])
def test_the_mask_that_is_named_covers_noise_that_belongs_together(shape: tuple[int, int], mask: str) -> None:
    white = np.random.default_rng(1).standard_normal(CLEAN.shape[:2])
    noise = uniform_filter(white, shape, mode="wrap")
    found = of(CLEAN[:, :, 1] + 20 * noise / noise.std())
    assert found.independent is not True
    assert mask_of(found) == mask
    assert f"structn2v[mask={mask}]" in said(found)
    assert mask_of(of(CLEAN[:, :, 1] + 20 * white)) == ""


def test_a_small_image_shows_a_mosaic_only_beyond_chance() -> None:
    rng = np.random.default_rng(1)
    white = [100 + 20 * rng.standard_normal((64, 64)) for _ in range(12)]
    assert not [found for found in map(of, white) if "colour mosaic" in said(found)]
    level = np.where(np.indices((64, 64)).sum(0) % 2, 40, 10)
    assert "colour mosaic" in said(of(100 + level * rng.standard_normal((64, 64))))


def test_clipping_steps_mosaic_and_jpeg() -> None:
    noisy = CLEAN + 20 * RNG.standard_normal(CLEAN.shape)
    clipped = of(np.clip(noisy * 1.5, 0, 255).astype(np.uint8))
    assert "clipped at the highest value" in said(clipped)
    assert clipped.channels[0].high > 0.01
    coarse = of((np.round(CLEAN[:, :, 1] / 64 + 0.2 * RNG.standard_normal(CLEAN.shape[:2]))).astype(np.uint8))
    assert "coarse beside the noise" in said(coarse)
    mosaic = np.where(np.indices(CLEAN.shape[:2]).sum(0) % 2, 30, 15) * RNG.standard_normal(CLEAN.shape[:2])
    assert "colour mosaic" in said(of(CLEAN[:, :, 1] + mosaic))
    stream = io.BytesIO()
    eight = np.clip(noisy, 0, 255).astype(np.uint8)
    Image.fromarray(eight).save(stream, "JPEG", quality=85)
    assert "JPEG" in said(of(np.asarray(Image.open(stream))))
    assert "JPEG" not in said(of(eight))


def test_captures_of_cameras_and_microscopes() -> None:
    if not (DATA / "sidd_srgb").is_dir() or not (DATA / "fmdd_pairs").is_dir():
        pytest.skip("needs SIDD and FMDD")
    for path in sorted((DATA / "sidd_srgb" / "noisy").glob("*.png"))[::10]:
        found = of(np.asarray(Image.open(path)))
        assert found.independent is False, path
    for path in sorted((DATA / "polyu" / "noisy").glob("*"))[::20]:
        found = of(np.asarray(Image.open(path)), path.name)
        assert found.independent is False, path
        assert "JPEG" in said(found)
    for path in sorted((DATA / "fmdd_pairs" / "noisy").glob("*BPAE*"))[:2]:
        found = of(np.asarray(Image.open(path)))
        assert found.independent is True, path
        assert found.channels[0].growth.grows


def test_small_and_constant_images_are_refused() -> None:
    with pytest.raises(UserError, match="24x20 pixels"):
        of(np.zeros((20, 24)))
    with pytest.raises(UserError, match="constant"):
        of(np.full((99, 99), 5.0))


def test_four_megapixels_take_less_than_five_seconds() -> None:
    large = np.tile(CLEAN[:, :, 1], (7, 5))[:2000, :2000] + 20 * RNG.standard_normal((2000, 2000))
    start = time.process_time()
    of(large.astype(np.float32))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("gain", [0.02, 0.05])
def test_a_camera_s_noise_has_one_level_after_the_transform(gain: float) -> None:
    signal = gaussian_filter(np.asarray(astronaut(), np.float64) / 255, (1.5, 1.5, 0))
    noisy = (gain * RNG.poisson(signal / gain) + 0.02 * RNG.standard_normal(signal.shape)).astype(np.float32)
    camera = camera_of([noisy], False)
    assert camera is not None
    shown = camera.forward(noisy)
    clean = camera.forward(signal.astype(np.float32))
    for low, high in ((0.2, 0.4), (0.4, 0.7), (0.7, 1.0)):
        members = (signal > low) & (signal < high)
        assert (shown - clean)[members].std() == pytest.approx(camera.level, rel=0.06)
    # What a perfect denoiser returns, the mean of the transformed noise, comes back without bias.
    flat = np.full((400, 400, 3), 0.3)
    counts = gain * RNG.poisson(flat / gain) + 0.02 * RNG.standard_normal(flat.shape)
    mean = camera.forward(counts.astype(np.float32)).mean(axis=(0, 1), keepdims=True)
    np.testing.assert_allclose(camera.inverse(mean), 0.3, rtol=0.02)


@pytest.mark.parametrize(("gain", "ratio"), [(12.0, 1.0), (3.0, 2.0), (48.0, 0.5)])
def test_a_gain_that_is_given_is_compared_with_the_noise_and_not_fitted(gain: float, ratio: float) -> None:
    signal = gaussian_filter(np.asarray(astronaut(), np.float64)[:, :, 1], 1.5) * 10
    counts = 12 * np.random.default_rng(7).poisson(signal / 12) + 100
    stack = Stack(Path("a.npy"), counts.astype(np.uint16), "YX", lambda path, result: None, ".npy")
    found = diagnose(stack, layout_of(stack, "auto"), Detector(gain, zero=100.0))
    assert found.ratio == pytest.approx(ratio, rel=0.05)
    assert f"as given: variance = {gain:g} x value - {100 * gain:g}" in said(found)
    assert ("Look at what was given" in said(found)) == (ratio != 1)
    assert "--noise camera" not in said(found)


def test_noise_that_a_file_cannot_have_is_refused_as_denoise_refuses_it(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    """A value without light above the values of the file: before, diagnose said that denoise would go by it."""
    np.save(tmp_path / "a.npy", RNG.normal(80, 9, (96, 96)).astype(np.float32))
    said = []
    for name, more in (("diagnose", ()), ("denoise", ("--method", "nlm", "--out", tmp_path / "o"))):
        ran = command(name, tmp_path / "a.npy", "--gain", "2", "--zero", "300", *more)
        assert ran.code == 2
        assert "-> With the same options" not in ran.out
        said.append(ran.err[ran.err.index("its values have a mean of ") :].strip())
    assert said[0] == said[1]
    assert said[0].endswith("(variance = 2 x value - 600) has none; the value without light, --zero, lies below them.")


def test_the_command_prints_and_counts_what_failed(command: Callable[..., Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CLEAN + 20 * RNG.standard_normal(CLEAN.shape))
    np.save(tmp_path / "b.npy", np.zeros((3, 4, 5, 6)))
    done = command("diagnose", tmp_path / "a.npy", tmp_path / "b.npy")
    assert done.code == 1
    assert "Standard deviation of the noise: " in done.out
    assert "b.npy has the shape 3x4x5x6" in done.err
    assert command("diagnose", tmp_path / "b.npy").code == 2


def test_a_stopped_command_says_how_many_files_were_done_and_what_failed(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from denoisebench.own import diagnose

    original, asked = diagnose.diagnose, []

    def stopped_at_the_second(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(diagnose, "diagnose", stopped_at_the_second)
    np.save(tmp_path / "b.npy", 0.5 + 0.1 * np.random.default_rng(0).standard_normal((64, 64)))
    np.save(tmp_path / "c.npy", np.load(tmp_path / "b.npy"))
    (tmp_path / "a.npy").write_bytes(b"no array")
    done = command("diagnose", *(tmp_path / f"{name}.npy" for name in "abc"))
    assert done.code == 130
    assert "b.npy: YX 64x64" in done.out
    assert f"Not diagnosed: {tmp_path / 'a.npy'}" in done.err
    assert done.err.splitlines()[-1] == "Stopped after 2 of 3 files; the same command begins anew."
