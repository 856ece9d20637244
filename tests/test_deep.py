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
from denoisebench.own.picture import png_bytes
from denoisebench.plugins.lookup import find_dataset

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 4096, (40, 52), dtype=np.uint16)
COLOUR = RNG.integers(0, 65536, (40, 52, 3), dtype=np.uint16)
FLOATS = RNG.normal(300, 90, (40, 52)).astype(np.float32)


def tif(pixels: np.ndarray, **more: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **more)
    return stream.getvalue()


def with_preview(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(pixels)
        writer.write(pixels[::2, ::2], subfiletype=1)
    return stream.getvalue()


def changed(data: bytes, tag: int, value: bytes) -> bytes:
    """A TIFF file with another value of a tag, the first of several."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[tag].valueoffset
    return data[:at] + value + data[at + len(value) :]


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
        ("colour.png", png_bytes(COLOUR, []), COLOUR),
        ("preview.tif", with_preview(GRAY), GRAY[:, :, None]),
        ("imagej.tif", tif(GRAY, imagej=True), GRAY[:, :, None]),
        ("ome.tif", tif(GRAY[None, None, None], ome=True, metadata={"axes": "TZCYX"}), GRAY[:, :, None]),
        ("zlib.tif", tif(GRAY, compression="zlib", predictor=True, bigtiff=True), GRAY[:, :, None]),
        ("tiles.tif", tif(FLOATS, tile=(16, 16)), FLOATS[:, :, None]),
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
        ("inverse.tif", tif(GRAY, photometric="miniswhite"), "its zero is white"),
        ("alpha.tif", tif(np.dstack([COLOUR, GRAY]), photometric="rgb", extrasamples=["unassalpha"]), "extra samples"),
        ("hidden.tif", tif(np.stack([GRAY] * 4), truncate=True, photometric="minisblack"), "4 pages, says its"),
        ("squeezed.tif", changed(tif(GRAY), 259, b"\5\0"), "cannot be read"),  # says that it is LZW
        ("holes.tif", changed(tif(GRAY, rowsperstrip=8), 279, bytes(2)), "a part of it was never written"),
        ("cut.tif", tif(GRAY)[:900], "cannot be read"),
        ("tiny.tif", tif(GRAY[:8, :8]), "8x8 pixels; SSIM needs at least 11"),
        (
            "signed8.tif",
            tif(GRAY.astype(np.int8)),
            "signed integers; convert it to unsigned 8 or 16 bits, or to floats",
        ),
        ("holes.tif", tif(np.where(FLOATS > 300, np.nan, FLOATS)), "NaN or infinite"),
        ("gray.pgm", b"P5 52 40 4095\n" + GRAY.astype(">u2").tobytes(), "12-bit"),
        ("text.png", b"hello", "does not begin as PNG"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=f"Image {name}.*{words}"):
        stored_pixels(data, Path(name))


def test_too_many_pixels_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoisebench.protocol.images.MOST_PIXELS", 40 * 52 - 1)
    for name, data in (("a.tif", tif(GRAY)), ("a.png", png(GRAY))):
        with pytest.raises(UserError, match="more than 2,079 pixels"):
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
    assert ran.out.count("Values of mine beyond 8 bits") == 1
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
        find_dataset(str(tmp_path / "flat"), ()).verify()


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


def test_every_file_is_read_once_before_it_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "mine", as_floats, 5)
    read: list[Path] = []

    def counted(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr("denoisebench.data.captures.image_bytes", counted)
    data = find_dataset(str(tmp_path / "mine"), ())
    assert isinstance(data, OwnPairs)
    data.verify()
    assert (len(data.data_hash), len(data.hashes)) == (64, 5)
    assert len(read) == len(set(read)) == 10


def test_a_reference_that_changes_does_not_move_black_and_white(tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", as_floats)
    data, again = (find_dataset(str(tmp_path / "mine"), ()) for _ in range(2))
    expected = again.load("0")
    tifffile.imwrite(tmp_path / "mine" / "clean" / "1.tif", 50_000 + GRAY[:40, :40].astype(np.float32))
    np.testing.assert_array_equal(data.load("0"), expected)
    with pytest.raises(UserError, match=r"1\.tif was changed while this run used it"):
        data.load("1")


@pytest.mark.parametrize(("place", "what"), [("noisy", "captures"), ("clean", "clean images")])
def test_one_type_is_asked_of_captures_and_one_of_references(place: str, what: str, tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", lambda clean: clean.astype(np.uint16), 3)
    path = tmp_path / "mine" / place / "2.tif"
    tifffile.imwrite(path, (tifffile.imread(path) >> 4).astype(np.uint8))
    with pytest.raises(
        UserError,
        match=rf"The {what} of .* \(uint16: 2 files, 0\.tif, 1\.tif; uint8: 1 file, 2\.tif\).*save all {what}",
    ):
        find_dataset(str(tmp_path / "mine"), ())


def test_all_damaged_files_are_named_at_once(tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", as_floats, 3)
    (tmp_path / "mine" / "noisy" / "1.tif").write_bytes(b"II*\0")
    path = tmp_path / "mine" / "clean" / "2.tif"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"(?s)clean.2\.tif cannot be read.*noisy.1\.tif is corrupt.*2 of 6 images"):
        find_dataset(str(tmp_path / "mine"), ())


@pytest.mark.parametrize("value", [65535, 0])
def test_a_hot_or_dead_pixel_of_a_reference_is_told(value: int, tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", lambda clean: clean.astype(np.uint16) // 8 + 30_000)
    assert "All but a few" not in find_dataset(str(tmp_path / "mine"), ()).note
    path = tmp_path / "mine" / "clean" / "1.tif"
    pixels = tifffile.imread(path)
    pixels[3, 5] = value
    tifffile.imwrite(path, pixels)
    note = find_dataset(str(tmp_path / "mine"), ()).note
    assert f"those of 1.tif reach from {pixels.min():g} to {pixels.max():g}: if these are hot or dead pixels" in note


def test_gray_and_colour_are_told_apart_before_anything_is_computed(tmp_path: Path) -> None:
    for place in ("noisy", "clean"):
        (tmp_path / place).mkdir()
        for name in "ab":
            Image.fromarray((COLOUR >> 8).astype(np.uint8)).save(tmp_path / place / f"{name}.png")
    Image.fromarray((GRAY >> 4).astype(np.uint8)).save(tmp_path / "noisy" / "b.png")
    with pytest.raises(UserError, match=r"b\.png has 1 channels, but data set .* has 3"):
        find_dataset(str(tmp_path), ()).verify()


def test_deep_images_are_turned_and_it_is_said(tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", as_floats)
    for place in ("noisy", "clean"):
        path = tmp_path / "mine" / place / "1.tif"
        tifffile.imwrite(path, tifffile.imread(path)[:, :30], extratags=[(274, "H", 1, 6, True)])
    data = find_dataset(str(tmp_path / "mine"), ())
    data.verify()
    assert "Turned as the orientation in the metadata says: 2 images" in data.note
    assert data.load("1").shape == data.capture("1", 0).shape == (30, 40, 1)


def test_no_manifest_is_made_of_deep_pairs(command: Callable[..., Any], tmp_path: Path) -> None:
    write_pairs(tmp_path / "mine", as_floats)
    ran = command("data", "manifest", tmp_path / "mine", "--out", tmp_path)
    assert ran.code == 2
    assert "have more than 8 bits, and a manifest lists 8-bit images" in ran.err
    assert not list(tmp_path.glob("*.toml"))


def test_a_decoder_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(page: object) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", lacking)
    with pytest.raises(UserError, match=r"LZW.*package\). Install it: pip install \"denoisebench\[formats\]\"\."):
        stored_pixels(tif(GRAY), Path("a.tif"))
