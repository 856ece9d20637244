"""Image files of more than 8 bits: what is read of them, and pairs of them that are scored as floats."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from denoisebench.core.errors import UserError
from denoisebench.data.captures import OwnPairs
from denoisebench.data.deep import stored_pixels
from denoisebench.plugins.lookup import find_dataset

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 4096, (40, 52), dtype=np.uint16)
COLOUR = RNG.integers(0, 65536, (40, 52, 3), dtype=np.uint16)
FLOATS = RNG.normal(300, 90, (40, 52)).astype(np.float32)


def tif(pixels: np.ndarray, **more: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **more)
    return stream.getvalue()


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("gray.tif", tif(GRAY), GRAY[:, :, None]),
        ("big_endian.tif", tif(GRAY, byteorder=">"), GRAY[:, :, None]),
        ("colour.tif", tif(COLOUR, photometric="rgb"), COLOUR),
        ("planes.tif", tif(COLOUR.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), COLOUR),
        ("floats.tif", tif(FLOATS), FLOATS[:, :, None]),
        ("wide.tiff", tif(FLOATS.astype(np.float64)), FLOATS[:, :, None]),
        ("turned.tif", tif(GRAY, extratags=[(274, "H", 1, 6, True)]), np.rot90(GRAY, -1)[:, :, None]),
        ("gray.png", png(GRAY), GRAY[:, :, None]),
        ("eight.png", png((GRAY >> 4).astype(np.uint8)), (GRAY >> 4).astype(np.uint8)[:, :, None]),
    ],
)
def test_pixels_are_read_as_they_are_stored(name: str, data: bytes, expected: np.ndarray) -> None:
    found = stored_pixels(data, Path(name))
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("stack.tif", tif(np.stack([GRAY, GRAY])), "2 pages"),
        ("signed.tif", tif(GRAY.astype(np.int16)), "signed"),
        ("long.tif", tif(GRAY.astype(np.uint32)), "32-bit"),
        ("inverse.tif", tif(GRAY, photometric="miniswhite"), "16-bit"),
        ("alpha.tif", tif(np.dstack([COLOUR, GRAY]), photometric="rgb", extrasamples=["unassalpha"]), "16-bit"),
        ("cut.tif", tif(GRAY)[:900], ""),
        ("tiny.tif", tif(GRAY[:8, :8]), "16-bit"),
        ("holes.tif", tif(np.where(FLOATS > 300, np.nan, FLOATS)), "NaN or infinite"),
        ("gray.pgm", b"P5 52 40 4095\n" + GRAY.astype(">u2").tobytes(), "12-bit"),
        ("text.png", b"hello", "does not begin as PNG"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=f"Image {name}.*{words}"):
        stored_pixels(data, Path(name))


def test_too_many_pixels_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoisebench.data.deep.MOST_PIXELS", 40 * 52 - 1)
    for name, data in (("a.tif", tif(GRAY)), ("a.png", png(GRAY))):
        with pytest.raises(UserError, match="16-bit"):
            stored_pixels(data, Path(name))


# --- pairs ---


def write_pairs(folder: Path, reference: Callable[[np.ndarray], np.ndarray], count: int = 2) -> list[tuple[Any, Any]]:
    """Captures of 12 bits in 16, and their references in the type that ``reference`` makes of them."""
    rng, found = np.random.default_rng(3), []
    for place in ("noisy", "clean"):
        (folder / place).mkdir(parents=True)
    for number in range(count):
        clean = 200 + 3000 * rng.random((5, 5)).repeat(8, 0).repeat(8, 1) * (number + 1) / count
        noisy = rng.poisson(clean).astype(np.uint16)
        tifffile.imwrite(folder / "noisy" / f"{number}.tif", noisy)
        tifffile.imwrite(folder / "clean" / f"{number}.tif", reference(clean))
        found.append((noisy.astype(float), reference(clean).astype(float)))
    return found


def as_floats(clean: np.ndarray) -> np.ndarray:
    return clean.astype(np.float32)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_deep_pairs_are_scored_on_the_range_of_their_references(
    kind: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    def reference(clean: np.ndarray) -> np.ndarray:
        return (np.round(clean) if kind == "uint16" else clean).astype(kind)

    values = write_pairs(tmp_path / "mine", reference)
    black, white = min(clean.min() for _, clean in values), max(clean.max() for _, clean in values)
    ran = command("run", "--methods", "identity", "--noise", "real", "--datasets", tmp_path / "mine",
                  "--out", tmp_path / "o")  # fmt: skip
    assert ran.code == 0
    assert f"black is {black:g} and white {white:g}, the least and the largest of all clean images" in ran.out
    assert ran.out.count("Values beyond 8 bits") == 1
    rows = (tmp_path / "o" / "scores.csv").read_text(encoding="utf-8").splitlines()
    at = {name: place for place, name in enumerate(rows[0].split(","))}
    for row, (noisy, clean) in zip(rows[1:], values, strict=True):
        cells = row.split(",")
        result, target = (np.clip((image - black) / (white - black), 0, 1) for image in (noisy, clean))
        assert float(cells[at["psnr"]]) == pytest.approx(
            peak_signal_noise_ratio(target, result, data_range=1), abs=1e-3
        )
        ssim = structural_similarity(
            target, result, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(cells[at["ssim"]]) == pytest.approx(ssim, abs=5e-3), "borders are left out"


def test_deep_captures_and_references_on_two_scales_are_told(tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", lambda clean: (clean * 16).astype(np.uint16))
    assert "are not on one scale of brightness" in find_dataset(str(tmp_path / "mine"), ()).note


def test_deep_pairs_say_what_does_not_fit(tmp_path: Path) -> None:
    write_pairs(tmp_path / "size", as_floats)
    tifffile.imwrite(tmp_path / "size" / "noisy" / "1.tif", GRAY[:, :40])
    data = find_dataset(str(tmp_path / "size"), ())
    data.verify()
    tifffile.imwrite(tmp_path / "size" / "noisy" / "1.tif", GRAY)
    with pytest.raises(UserError, match=r"1\.tif has 52x40 pixels, its reference .*1\.tif has 40x40"):
        find_dataset(str(tmp_path / "size"), ()).verify()
    write_pairs(tmp_path / "flat", lambda clean: np.full(clean.shape, 7, np.uint16))
    with pytest.raises(UserError, match=r"are constant \(every value is 7\)"):
        _ = find_dataset(str(tmp_path / "flat"), ()).note


def test_deep_pairs_are_trained_on(command: Callable[..., Any], tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", as_floats)
    data = find_dataset(str(tmp_path / "mine"), ())
    assert isinstance(data, OwnPairs)
    assert (data.scoring, data.channels, str(data.load("0").dtype)) == ("raw", 1, "float32")
    assert min(data.load(image).min() for image in data.images) == 0
    ran = command(
        "run", "--methods", "n2v[network=dncnn]", "--noise", "real", "--datasets", tmp_path / "mine", "--train-data",
        tmp_path / "mine", "--budget", "1steps", "--crop", 32, "--out", tmp_path / "o",
    )  # fmt: skip
    assert ran.code == 0
    assert "trained on 2 images of the test set, not seeing their references" in ran.out
