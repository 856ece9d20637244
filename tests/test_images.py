"""Reading is strict and every refusal says what to do; padding and rounding are the papers'."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import (
    checked,
    left_out,
    list_images,
    overshoot,
    pad,
    padded_size,
    pixel_hash,
    read_image,
    to_channels,
    to_float,
    to_uint8,
)

SIDES = st.integers(11, 40)
UINT_IMAGES = st.tuples(SIDES, SIDES, st.sampled_from([1, 3])).flatmap(lambda shape: arrays(np.uint8, shape))


def picture(mode: str, size: tuple[int, int] = (21, 17)) -> Image.Image:
    """A reproducible image that is not constant."""
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def save(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)
    return path


def deep_png(path: Path, channels: int) -> None:
    """A 16-bit PNG; Pillow can write no colour ones."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 16, 16, 16, 2 if channels == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(range(32)) * channels for _ in range(16))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@settings(max_examples=settings().max_examples // 4)
@given(image=UINT_IMAGES, extension=st.sampled_from(["png", "bmp", "tif"]))
def test_lossless_files_give_back_their_pixels(
    image: npt.NDArray[np.uint8], extension: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = save(tmp_path_factory.mktemp("image") / f"x.{extension}", image)
    read = read_image(path)
    np.testing.assert_array_equal(read, image)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_read_as_pillow_decodes_it(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    picture(mode).save(path)
    read = read_image(path)
    assert read.shape == (17, 21, 1 if mode == "L" else 3)
    np.testing.assert_array_equal(read.squeeze(), np.asarray(Image.open(path)))


@pytest.mark.parametrize(
    ("mode", "extension", "why"),
    [
        ("P", "png", "palette"),
        ("1", "png", "1-bit"),
        ("RGBA", "png", "alpha"),
        ("LA", "png", "alpha"),
        ("CMYK", "jpg", "CMYK"),
        ("F", "tif", "floating-point"),
        ("I", "tif", "signed integers"),
    ],
)
def test_other_modes_are_refused_with_the_reason(mode: str, extension: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{extension}"
    picture("RGB" if mode in ("RGBA", "P", "1", "CMYK") else "L").convert(mode).save(path)
    with pytest.raises(UserError, match=why) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "allowed are 8-bit gray (mode L) and 8-bit RGB images" in str(caught.value)


def test_a_16_bit_gray_png_is_refused(tmp_path: Path) -> None:
    deep_png(tmp_path / "x.png", 1)
    with pytest.raises(UserError, match=r"x\.png cannot be used: it is a 16-bit image; convert .*; allowed are 8-bit"):
        read_image(tmp_path / "x.png")


def test_a_16_bit_colour_png_is_refused(tmp_path: Path) -> None:
    deep_png(tmp_path / "x.png", 3)
    with pytest.raises(UserError, match="16-bit image"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_truncated_image_is_called_corrupt(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{extension}"
    picture("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(UserError, match=r"is corrupt or no image .*; allowed are 8-bit") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_a_file_that_is_no_image_is_called_corrupt(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.png is corrupt or no image"):
        read_image(tmp_path / "x.png")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.png does not exist"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (1, 1)])
def test_an_image_below_the_ssim_window_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    picture("L", size).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=rf"x\.png is {size[0]}x{size[1]} pixels; SSIM needs at least 11"):
        read_image(tmp_path / "x.png")


def test_listing_is_sorted_and_ignores_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "c.tiff", "._a.jpg", "Thumbs.db", ".DS_Store", "d.gif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "@eaDir").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.tiff"]
    assert left_out(tmp_path) == ["d.gif", "folder.png/", "notes.txt"]


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").symlink_to("gone.jpg")
    with pytest.raises(UserError, match=r"b\.jpg is a link to gone\.jpg, which is not there"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((12, 12), np.uint8), "X is uint8 of shape 12x12; allowed are"),
        (np.zeros((12, 12, 1), np.int16), "X is int16 of shape 12x12x1; allowed are"),
        (np.float64(1.0), "X is float64 of shape a single value"),
        (np.array([[[0.0, np.nan, np.inf, -np.inf]]]), "X holds 3 values of 4 that are NaN or infinite"),
    ],
)
def test_what_is_no_image_is_refused_at_the_border(image: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        checked(image, "X")


def test_an_image_of_a_data_set_passes_the_border_as_it_is() -> None:
    for kind in (np.uint8, np.uint16, np.float32, np.float64):
        image = np.ones((12, 13, 4), kind)
        assert checked(image, "X") is image


def test_listing_an_empty_or_absent_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no image \(\.png, "):
        list_images(tmp_path)
    with pytest.raises(UserError, match="gone does not exist"):
        list_images(tmp_path / "gone")
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=r"a\.txt is a file, and a folder is needed"):
        list_images(tmp_path / "a.txt")


@settings(max_examples=settings().max_examples // 2)
@given(image=UINT_IMAGES, multiple=st.sampled_from([1, 2, 8, 32]), square=st.booleans())
def test_padding_is_numpys_reflection_to_the_bottom_and_right(
    image: npt.NDArray[np.uint8], multiple: int, square: bool
) -> None:
    height, width = image.shape[:2]
    tall, wide = padded_size(height, width, multiple, square)
    padded = pad(image.astype(np.float32), multiple, square)
    assert padded.shape == (tall, wide, image.shape[2])
    assert tall % multiple == wide % multiple == 0
    assert tall - height < multiple or square
    assert tall == wide or not square
    expected = np.stack(
        [
            np.pad(channel, ((0, tall - height), (0, wide - width)), mode="reflect")
            for channel in np.moveaxis(image.astype(np.float32), 2, 0)
        ],
        axis=2,
    )
    np.testing.assert_array_equal(padded, expected)


def test_square_padding_is_that_of_the_papers() -> None:
    assert padded_size(512, 768, 32, square=True) == (768, 768)
    assert padded_size(481, 321, 32, square=True) == (512, 512)
    assert padded_size(481, 321, 32, square=False) == (512, 352)


def test_padding_does_not_repeat_the_edge() -> None:
    image = np.arange(11 * 11, dtype=np.float32).reshape(11, 11, 1)
    padded = pad(image, 4, square=False)
    assert padded[11, 0] == image[9, 0]
    assert padded[0, 11] == image[0, 9]


def test_rounding_to_8_bits_is_that_of_the_released_tests() -> None:
    values = np.array([-1.0, 0.0, 0.49 / 255, 0.5 / 255, 1.5 / 255, 254.6 / 255, 1.0, 7.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 2, 255, 255, 255]


@settings(max_examples=settings().max_examples // 4)
@given(image=UINT_IMAGES)
def test_8_bits_survive_the_way_through_floats(image: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(to_uint8(image.astype(np.float32) / np.float32(255)), image)


@settings(max_examples=settings().max_examples // 4)
@given(image=UINT_IMAGES, data=st.data())
def test_the_pixel_hash_changes_with_any_pixel_and_with_the_shape(
    image: npt.NDArray[np.uint8], data: st.DataObject
) -> None:
    other = image.copy()
    assert pixel_hash(other) == pixel_hash(image)
    other.flat[data.draw(st.integers(0, image.size - 1))] ^= 1
    assert pixel_hash(other) != pixel_hash(image)
    assert pixel_hash(image.reshape(1, -1, image.shape[2])) != pixel_hash(image)


def test_the_pixel_hash_does_not_depend_on_memory_layout() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    assert pixel_hash(np.asfortranarray(image)) == pixel_hash(image)


def test_gray_becomes_colour_by_repetition_and_back() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    colour = to_channels(gray, 3)
    assert colour.shape == (16, 16, 3)
    np.testing.assert_array_equal(to_channels(colour, 1), gray)
    assert to_channels(gray, 1) is gray


@settings(max_examples=settings().max_examples // 4)
@given(image=arrays(np.uint8, (12, 13, 3)))
def test_luma_is_within_one_level_of_pillows(image: npt.NDArray[np.uint8]) -> None:
    pillow = np.asarray(Image.fromarray(image).convert("L"), dtype=int)
    assert np.abs(to_channels(image, 1)[:, :, 0].astype(int) - pillow).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_white_is_one_in_floats(kind: type[np.unsignedinteger]) -> None:
    white = np.iinfo(kind).max
    values = to_float(np.array([[[0, white // 5, white]]], kind))
    assert values.dtype == np.float32
    assert values.tolist() == [[[0.0, float(np.float32(0.2)), 1.0]]]


def test_values_beyond_those_of_the_noisy_image_are_measured_in_its_range() -> None:
    noisy = np.array([[0.2, 0.7]], np.float32)
    assert overshoot(np.array([[0.3, 0.6]]), noisy) == 0
    assert overshoot(np.array([[0.3, 1.7]]), noisy) == pytest.approx(2)
    assert overshoot(np.array([[0.0, 0.8]]), noisy) == pytest.approx(0.4)
    assert overshoot(np.array([[0.3, np.nan]]), noisy) == np.inf
