"""Every format is judged by what its file says before it is decoded; each refusal says what the file is."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from denoisebench.core.errors import UserError
from denoisebench.protocol.imagefiles import FORMATS, Corrupt, Unsuitable, read_header
from denoisebench.protocol.images import list_images, read_image, read_picture

HEIGHT, WIDTH = 16, 24
_RNG = np.random.default_rng(0)
COLOUR = _RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GRAY = COLOUR[:, :, 0]
ALPHA = COLOUR[:, :, 1]
DEEP = COLOUR.astype(np.uint16) * 257


def planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def tif(image: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path.with_suffix(".tif"), image, **options)


def raw(suffix: str, data: bytes) -> Callable[[Path], object]:
    return lambda path: path.with_suffix(suffix).write_bytes(data)


def pil(suffix: str, image: Image.Image, **options: Any) -> Callable[[Path], object]:
    return lambda path: image.save(path.with_suffix(suffix), **options)


def portable(head: str, values: np.ndarray) -> bytes:
    return f"{head}\n".encode() + values.tobytes()


def bmp(bits: int, values: np.ndarray) -> bytes:
    """A bottom-up BMP with a header of 40 bytes."""
    size = HEIGHT * WIDTH * bits // 8
    fields = (b"BM", 54 + size, 0, 0, 54, 40, WIDTH, HEIGHT, 1, bits, 0, size, 0, 0, 0, 0)
    return struct.pack("<2sIHHIIiiHHIIiiII", *fields) + values.tobytes()[:size].ljust(size, b"\0")


def preview(first: bool) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(path.with_suffix(".tif")) as out:
            for small in (True, False) if first else (False, True):
                image = np.ascontiguousarray(COLOUR[::2, ::2] if small else COLOUR)
                out.write(image, subfiletype=int(small), photometric="rgb")

    return write


def long_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "z" * 3_000_000, zip=True)
    return info


def jpeg(**options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(COLOUR).save(out, "JPEG", **options)
    return out.getvalue()


def stereo(path: Path) -> None:
    """A photograph with a second one behind it, as phones write them."""
    Image.fromarray(COLOUR).save(
        path.with_suffix(".mpo"), save_all=True, append_images=[Image.fromarray(255 - COLOUR)], quality=100
    )
    path.with_suffix(".mpo").rename(path.with_suffix(".jpg"))


XMP = b'<rdf:Description tiff:Orientation="6"/>'
RIGHT: dict[str, tuple[Callable[[Path], object], np.ndarray]] = {
    "planar": (tif(planes(COLOUR), photometric="rgb", planarconfig="separate"), COLOUR),
    "planar deflate": (
        tif(planes(COLOUR), photometric="rgb", planarconfig="separate", compression="zlib"),
        COLOUR,
    ),
    "big": (tif(COLOUR, photometric="rgb", bigtiff=True), COLOUR),
    "big-endian": (tif(COLOUR, photometric="rgb", byteorder=">"), COLOUR),
    "tiles": (tif(COLOUR, photometric="rgb", tile=(16, 16)), COLOUR),
    "predictor": (tif(COLOUR, photometric="rgb", compression="zlib", predictor=True), COLOUR),
    "white is zero": (tif(GRAY, photometric="miniswhite"), 255 - GRAY),
    "imagej": (tif(GRAY, imagej=True), GRAY),
    "preview behind": (preview(first=False), COLOUR),
    "xmp turns nothing": (tif(COLOUR, photometric="rgb", extratags=[(700, "B", len(XMP), XMP, True)]), COLOUR),
    "comments": (raw(".ppm", portable(f"P6 # a\n{WIDTH} # b\n{HEIGHT}\n255", COLOUR)), COLOUR),
    "plain": (raw(".pgm", f"P2 {WIDTH} {HEIGHT} 255\n{' '.join(map(str, GRAY.ravel()))}".encode()), GRAY),
    "bmp with an empty byte": (
        raw(".bmp", bmp(32, np.dstack([COLOUR[::-1, :, ::-1], np.zeros_like(GRAY)]))),
        COLOUR,
    ),
    "webp": (pil(".webp", Image.fromarray(COLOUR), lossless=True), COLOUR),
    "long text": (pil(".png", Image.fromarray(COLOUR), pnginfo=long_text()), COLOUR),
    "large profile": (pil(".png", Image.fromarray(COLOUR), icc_profile=os.urandom(1_500_000)), COLOUR),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_8_bit_gray_or_rgb_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    write, truth = RIGHT[name]
    write(tmp_path / "x")
    (path,) = list_images(tmp_path)
    np.testing.assert_array_equal(read_image(path).squeeze(), truth)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "planar 16": (tif(planes(DEEP), photometric="rgb", planarconfig="separate"), "16-bit image"),
    "signed": (tif(GRAY.view(np.int8)), "signed integers"),
    "signed 16": (tif(GRAY.astype(np.int16)), "signed integers"),
    "float": (tif(GRAY.astype(np.float32) / 255), "floating-point values"),
    "nan": (tif(np.full(GRAY.shape, np.nan, np.float32)), "floating-point values"),
    "complex": (tif(GRAY.astype(np.complex64)), "complex values"),
    "bilevel": (tif(GRAY > 9), "1-bit image"),
    "stack": (tif(np.stack([GRAY, GRAY, GRAY]), photometric="minisblack"), "3 pages"),
    "imagej stack": (tif(np.stack([GRAY] * 4), imagej=True), "4 pages"),
    "hidden stack": (
        tif(np.stack([GRAY] * 4), truncate=True, photometric="minisblack"),
        "4 pages, says its description",
    ),
    "channels first": (tif(planes(COLOUR), photometric="minisblack"), "3 pages"),
    "alpha": (tif(np.dstack([COLOUR, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]), "1 extra samples"),
    "five": (
        tif(np.dstack([COLOUR, ALPHA, ALPHA]), photometric="rgb", extrasamples=["unspecified"] * 2),
        "2 extra samples",
    ),
    "cmyk": (tif(np.dstack([COLOUR, ALPHA]), photometric="separated"), "CMYK"),
    "lab": (tif(COLOUR, photometric="cielab"), r"L\*a\*b"),
    "palette": (tif(GRAY, photometric="palette", colormap=np.zeros((3, 256), np.uint16)), "palette"),
    "preview first": (preview(first=True), "first page is a preview"),
    "deep ppm": (raw(".ppm", portable(f"P6 {WIDTH} {HEIGHT} 65535", DEEP.astype(">u2"))), "16-bit image"),
    "12-bit ppm": (raw(".ppm", portable(f"P6 {WIDTH} {HEIGHT} 4095", DEEP.astype(">u2"))), "12-bit image"),
    "deep pgm": (raw(".pgm", portable(f"P5 {WIDTH} {HEIGHT} 65535", GRAY.astype(">u2"))), "16-bit image"),
    "dark pgm": (raw(".pgm", portable(f"P5 {WIDTH} {HEIGHT} 100", GRAY)), "largest value is 100"),
    "two pgm": (raw(".pgm", 2 * portable(f"P5 {WIDTH} {HEIGHT} 255", GRAY)), "follow the image"),
    "bitmap": (raw(".pgm", portable(f"P4 {WIDTH} {HEIGHT}", GRAY)), "1-bit"),
    "16-bit bmp": (raw(".bmp", bmp(16, COLOUR)), "16-bit image"),
    "bmp with alpha": (raw(".bmp", bmp(32, np.dstack([COLOUR, ALPHA]))), "fourth byte per pixel"),
    "transparent colour": (pil(".png", Image.fromarray(COLOUR), transparency=(1, 2, 3)), "tRNS"),
    "transparent gray": (pil(".png", Image.fromarray(GRAY), transparency=3), "tRNS"),
    "animated png": (
        pil(".png", Image.fromarray(COLOUR), save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
        "animated",
    ),
    "animated webp": (
        pil(".webp", Image.fromarray(COLOUR), save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
        "animated",
    ),
    "webp with alpha": (pil(".webp", Image.fromarray(np.dstack([COLOUR, ALPHA]))), "alpha"),
    "lossless webp with alpha": (pil(".webp", Image.fromarray(np.dstack([COLOUR, ALPHA])), lossless=True), "alpha"),
    "12-bit jpeg": (raw(".jpg", jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")), "12-bit image"),
    "postscript": (raw(".png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"), "PostScript"),
    "jpeg named png": (raw(".png", jpeg()), "content is JPEG, but the name says PNG"),
    "png named jpg": (pil(".jpg", Image.fromarray(COLOUR), format="PNG"), "content is PNG, but the name says JPEG"),
    "gif named png": (pil(".png", Image.fromarray(GRAY), format="GIF"), "content is GIF"),
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_refused_with_what_it_is(name: str, tmp_path: Path) -> None:
    write, words = WRONG[name]
    write(tmp_path / "x")
    (path,) = list_images(tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "allowed are 8-bit gray (mode L) and 8-bit RGB images" in str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "deflate.tif", "jpg"])
def test_orientation_is_followed_in_every_format(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    if path.suffix == ".tif":
        packed = "zlib" if suffix.startswith("deflate") else None
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, COLOUR, photometric="rgb", compression=packed, extratags=tags)
    else:
        more: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
        Image.fromarray(COLOUR).save(path, exif=exif, **more)
    stored = Image.open(path) if suffix == "jpg" else Image.fromarray(COLOUR)
    stored.getexif()[274] = orientation
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(stored)))
    assert picture.turned == (orientation != 1)


def test_a_photograph_with_another_behind_it_is_the_first(tmp_path: Path) -> None:
    stereo(tmp_path / "x")
    with Image.open(tmp_path / "x.jpg") as image:
        np.testing.assert_array_equal(read_image(tmp_path / "x.jpg"), np.asarray(image))


def test_metadata_of_a_jpeg_changes_no_pixel(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    (tmp_path / "b.jpg").write_bytes(jpeg(icc_profile=os.urandom(300_000), comment=b"z" * 60_000))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), read_image(tmp_path / "b.jpg"))


def test_a_damaged_orientation_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    assert not read_picture(tmp_path / "a.jpg").turned


def test_content_never_starts_a_decoder_that_the_name_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    for name in ("Popen", "run", "check_call", "call"):
        monkeypatch.setattr(subprocess, name, refuse)
    for suffix in FORMATS:
        path = tmp_path / f"photo{suffix}"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n")
        with pytest.raises(UserError, match="its content is PostScript"):
            read_image(path)


def test_pipes_and_folders_are_no_images_and_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png cannot be used: it is no regular file"):
        read_image(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png cannot be used: it is no regular file; remove it"):
        list_images(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"folder\.png cannot be read"):
        read_image(tmp_path / "folder.png")


def test_directories_without_end_are_refused_at_once() -> None:
    tags, count = 4000, 5000  # twenty million tags in 100 kB: every directory overlaps the one before it
    data = bytearray(b"II*\0\x08\0\0\0".ljust(12 * tags + 8 * count + 64, b"\0"))
    for place in range(8, 8 + 8 * count, 8):
        struct.pack_into("<H", data, place, tags)
        struct.pack_into("<I", data, place + 2 + 12 * tags, place + 8)
    start = time.monotonic()
    with pytest.raises(Corrupt, match="without end"):
        read_header(bytes(data), ".tif")
    assert time.monotonic() - start < 5
    circle = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 256, 3, 1, 20) + struct.pack("<I", 8)
    with pytest.raises(Corrupt, match="circle"):
        read_header(circle, ".tif")


def samples() -> list[tuple[str, bytes]]:
    """An intact file of every format, with metadata."""
    exif = Image.Exif()
    exif[274] = 6
    found = []
    for suffix, options in ((".png", {"exif": exif}), (".jpg", {"exif": exif}), (".webp", {"exif": exif}), (".bmp", {}),
                            (".tif", {"compression": "tiff_deflate"}), (".ppm", {})):  # fmt: skip
        out = io.BytesIO()
        Image.fromarray(COLOUR).save(out, FORMATS[suffix], **options)
        found.append((suffix, out.getvalue()))
    return found


@settings(max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(which=st.sampled_from(samples()), where=st.integers(0, 10**6), noise=st.binary(min_size=1, max_size=12),
       cut=st.booleans())  # fmt: skip
def test_headers_of_damaged_files(which: tuple[str, bytes], where: int, noise: bytes, cut: bool) -> None:
    suffix, data = which
    where %= len(data)
    damaged = data[:where] + (b"" if cut else noise + data[where + len(noise) :])
    try:
        header = read_header(damaged, suffix)
    except (Unsuitable, Corrupt):
        return
    except OSError:
        assert suffix == ".webp", "Pillow opens it"
        return
    assert min(header.size) >= 0


def test_a_png_is_held_to_its_checksums(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(COLOUR).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[data.index(b"IDAT") + 10] ^= 1
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(UserError, match=r"corrupt or no image \(the checksum of its chunk 'IDAT' differs\)"):
        read_image(tmp_path / "x.png")


def test_a_chunk_that_no_standard_knows_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(COLOUR).save(out, "PNG")
    data = out.getvalue()
    chunk = b"\0\0\0\x01ABCDx" + struct.pack(">I", zlib.crc32(b"ABCDx"))
    (tmp_path / "x.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(UserError, match="needs the chunk 'ABCD'"):
        read_image(tmp_path / "x.png")
