"""A folder of images of all kinds: what is wrong is told at once, skipped, or made gray or RGB."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError, UserErrors
from denoisebench.data.captures import folder_set
from denoisebench.data.dataset import AnyFolder
from denoisebench.data.unusual import MOST_NAMED, check_choice, converted, rounded
from denoisebench.own.picture import png_bytes
from denoisebench.plugins.dataset_template import write_dataset

Command = Callable[..., Any]
COLOUR = np.random.default_rng(5).integers(0, 256, (20, 24, 3), dtype=np.uint8)
GRAY = COLOUR[:, :, 0]
#: What cannot be used as it is, and what says so.
UNUSUAL = {
    "alpha.png": "alpha channel",
    "black.png": "1-bit",
    "cmyk.jpg": "CMYK",
    "deep.png": "16-bit",
    "deepcolour.png": "16-bit",
    "palette.png": "palette",
    "see.png": "transparent colour",
}


def usual(folder: Path) -> Path:
    folder.mkdir()
    for name in ("a.png", "b.png", "c.bmp"):
        Image.fromarray(COLOUR).save(folder / name)
    return folder


def unusual(folder: Path) -> None:
    Image.fromarray(np.dstack([COLOUR, GRAY])).save(folder / "alpha.png")
    Image.fromarray(GRAY).convert("1").save(folder / "black.png")
    Image.fromarray(COLOUR).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(GRAY.astype(np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(COLOUR).quantize(16).save(folder / "palette.png")
    Image.fromarray(COLOUR).save(folder / "see.png", transparency=(0, 0, 0))
    (folder / "deepcolour.png").write_bytes(png_bytes(COLOUR.astype(np.uint16) * 257, []))


def broken(folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "empty.png").touch()
    Image.fromarray(COLOUR[:5]).save(folder / "tiny.png")


def sentences(caught: pytest.ExceptionInfo[UserError]) -> list[str]:
    return [str(one) for one in getattr(caught.value, "errors", [caught.value])]


def test_all_that_is_wrong_with_a_folder_is_told_at_once(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    unusual(folder)
    broken(folder)
    Image.fromarray(GRAY).save(folder / "gray.png")
    with pytest.raises(UserErrors) as caught:
        AnyFolder(folder)
    said = sentences(caught)
    for name, words in {**UNUSUAL, "broken.png": "corrupt", "empty.png": "corrupt", "tiny.png": "24x5"}.items():
        assert [one for one in said if f"{name} " in one and words in one], name
    assert said[-2].startswith("10 of 14 images cannot be used as they are; of --on-unusual, convert")
    assert "mixes gray and colour images (gray: gray.png; colour: a.png)" in said[-1]
    assert len(said) == 12


def test_of_many_mistakes_some_are_told_and_the_others_counted(tmp_path: Path) -> None:
    folder = usual(tmp_path / "many")
    for number in range(MOST_NAMED + 12):
        (folder / f"x{number}.png").touch()
    with pytest.raises(UserErrors) as caught:
        AnyFolder(folder)
    assert "There is the same to say of 12 images more." in sentences(caught)
    assert len(sentences(caught)) == MOST_NAMED + 2


def test_skipped_images_are_named_and_the_set_is_that_of_the_others(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    before = AnyFolder(folder)
    unusual(folder)
    broken(folder)
    Image.fromarray(GRAY).save(folder / "gray.png")
    data = AnyFolder(folder, "skip")
    assert list(data.images) == ["a", "b", "c"]
    assert data.channels == 3
    assert data.data_hash == before.data_hash
    assert "11 images left out: alpha.png, black.png, broken.png, cmyk.jpg, deep.png, ..." in data.note
    for name in [*UNUSUAL, "broken.png", "empty.png", "tiny.png", "gray.png"]:
        assert sum(name in line for line in data.advice.splitlines()) == 1, name


def test_converted_images_are_what_they_show_and_named(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    unusual(folder)
    Image.fromarray(GRAY).save(folder / "gray.png")
    data = AnyFolder(folder, "convert")
    assert list(data.images) == sorted(Path(name).stem for name in ["a.png", "b.png", "c.bmp", "gray.png", *UNUSUAL])
    images = {name: data.load(name) for name in data.images}
    assert {image.shape for image in images.values()} == {(20, 24, 3)}
    for name in ("a", "alpha", "deepcolour", "see"):
        np.testing.assert_array_equal(images[name], COLOUR)
    for name in ("gray", "deep"):
        np.testing.assert_array_equal(images[name], np.dstack([GRAY] * 3))
    palette = np.asarray(Image.open(folder / "palette.png").convert("RGB"))
    np.testing.assert_array_equal(images["palette"], palette)
    assert set(np.unique(images["black"])) == {0, 255}
    for words in ("8 images converted", "alpha: alpha.png", "16 bits: deep.png, deepcolour.png", "gray.png"):
        assert words in data.note


def test_gray_images_among_few_colour_ones_stay_gray(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(GRAY).save(tmp_path / f"{name}.png")
    Image.fromarray(COLOUR).save(tmp_path / "c.png")
    data = AnyFolder(tmp_path, "convert")
    assert data.channels == 1
    np.testing.assert_allclose(data.load("c")[:, :, 0], COLOUR @ [0.299, 0.587, 0.114], atol=0.51)
    assert list(AnyFolder(tmp_path, "skip").images) == ["a", "b"]
    assert AnyFolder(tmp_path, "skip").load("a").shape == (20, 24, 1)


def test_what_is_converted_counts_among_what_identifies_a_set(tmp_path: Path) -> None:
    gray, mixed = tmp_path / "gray", usual(tmp_path / "mixed")
    gray.mkdir()
    for folder in (gray, mixed):
        Image.fromarray(GRAY).save(folder / "z.png")
    hashes = {entry.image: entry.pixels for entry in AnyFolder(mixed, "convert").entries}
    assert hashes["z"] != AnyFolder(gray).entries[0].pixels
    Image.fromarray(GRAY[::-1]).save(mixed / "z.png")
    data = AnyFolder(mixed, "convert")
    Image.fromarray(GRAY).save(mixed / "z.png")
    with pytest.raises(UserError, match=r"z\.png was changed while this run used it"):
        data.load("z")


def test_converting_does_not_hide_what_is_broken(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    unusual(folder)
    broken(folder)
    with pytest.raises(UserErrors) as caught:
        AnyFolder(folder, "convert")
    said = sentences(caught)
    assert [one for one in said if any(name in one for name in UNUSUAL)] == []
    assert [name for name in ("broken.png", "empty.png", "tiny.png") if not any(name in one for one in said)] == []
    assert "convert makes" not in said[-1]


def test_a_folder_of_nothing_usable_is_no_set_whatever_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    for choice in ("stop", "skip", "convert"):
        with pytest.raises(UserError, match=r"x\.png is corrupt or no image"):
            AnyFolder(tmp_path, choice)


def test_usual_images_are_the_same_set_whatever_is_asked_for(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    sets = [AnyFolder(folder, choice) for choice in ("stop", "skip", "convert")]
    assert len({data.data_hash for data in sets}) == 1
    assert {(data.note, data.channels, data.advice) for data in sets} == {("", 3, sets[0].advice)}


def test_another_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "x.png"
    Image.fromarray(np.dstack([COLOUR, GRAY])).save(path, exif=exif)
    pixels, what = converted(path.read_bytes(), path)
    np.testing.assert_array_equal(pixels, np.rot90(COLOUR, -1))
    assert what == "alpha"


def test_16_bits_are_rounded() -> None:
    values = np.array([0, 128, 129, 257, 65406, 65407, 65535], np.uint16)
    np.testing.assert_array_equal(rounded(values), [0, 0, 1, 1, 254, 255, 255])


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits whose rows are stored as differences of neighbouring pixels."""
    height, width, samples = values.shape
    pixels = values.astype(">u2").view(np.uint8).reshape(height, width, 2 * samples)
    rows = pixels.copy()
    rows[:, 1:] -= pixels[:, :-1]
    body = b"".join(b"\1" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[samples], 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(("samples", "channels"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_16_bits_are_rounded_with_and_without_alpha_and_gray_stays_gray(samples: int, channels: int) -> None:
    values = np.random.default_rng(6).integers(0, 65536, (20, 24, samples), dtype=np.uint16)
    pixels, what = converted(png16(values), Path("x.png"))
    np.testing.assert_array_equal(pixels, rounded(values[:, :, :channels]))
    assert what == ("16 bits" if samples == channels else "alpha, 16 bits")


def test_a_link_to_nothing_is_named_with_all_else_and_skipped(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    (folder / "empty.png").touch()
    (folder / "link.png").symlink_to("gone.png")
    with pytest.raises(UserErrors) as caught:
        folder_set(folder)
    said = sentences(caught)
    assert [one for one in said if "empty.png is corrupt" in one]
    assert [one for one in said if "link.png is a link to gone.png, which is not there" in one]
    assert "2 images left out: empty.png, link.png" in folder_set(folder, "skip").note


def test_where_nothing_can_be_chosen_no_way_is_named(tmp_path: Path) -> None:
    folder = usual(tmp_path / "all")
    unusual(folder)
    Image.fromarray(GRAY).save(folder / "gray.png")
    with pytest.raises(UserErrors) as caught:
        write_dataset(folder, "zoo")
    said = sentences(caught)
    assert said[-2] == "7 of 11 images cannot be used as they are."
    assert said[-1].endswith("split the folder or convert the files.")
    assert "--on-unusual" not in str(caught.value)


def test_an_animation_is_not_converted(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    frames = [Image.fromarray(np.dstack([COLOUR, GRAY + np.uint8(n)])) for n in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=r"x\.png cannot be used"):
        converted(path.read_bytes(), path)


def test_a_way_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="Did you mean 'convert'"):
        check_choice("konvert")


def test_the_command_says_all_and_computes_the_rest(command: Command, tmp_path: Path) -> None:
    folder, out = usual(tmp_path / "all"), tmp_path / "out"
    unusual(folder)
    (folder / "broken.png").touch()
    run = ("run", "--methods", "identity", "--datasets", folder, "--out", out)
    ran = command(*run)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == len(UNUSUAL) + 2
    assert all(line.startswith("Error: ") for line in ran.err.splitlines())
    assert command(*run, "--on-unusual", "mend").err.count("\n") == 1
    ran = command(*run, "--on-unusual", "skip")
    assert ran.code == 0
    assert ran.err.count("Left out: ") == len(UNUSUAL) + 1
    assert "mean of 3 scored images" in ran.out
    assert "8 images left out: alpha.png, black.png, broken.png, cmyk.jpg, deep.png, ..." in ran.out
    (folder / "broken.png").unlink()
    ran = command(*run, "--on-unusual", "convert")
    assert ran.code == 0
    assert "mean of 10 scored images" in ran.out
