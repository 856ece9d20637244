"""Files of the user's own: what is read of TIFF, PNG, JPEG and NumPy files, and what comes back on writing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.own.reading import find_files, read_stack
from denoisebench.own.scale import filled, parse_range, scale_of
from denoisebench.own.stack import Array, Stack, layout_of

RNG = np.random.default_rng(0)
STACK = RNG.integers(100, 5000, (3, 20, 24), dtype=np.uint16)


def again(stack: Stack, folder: Path, data: Array | None = None) -> Stack:
    """The file that is written of a stack, read."""
    target = folder / f"again-{stack.path.stem}{stack.suffix}"
    stack.write(target, stack.data if data is None else data)
    return read_stack(target)


@pytest.mark.parametrize(
    ("options", "axes"),
    [
        ({"photometric": "minisblack"}, "QYX"),
        ({"imagej": True, "metadata": {"axes": "ZYX", "unit": "um", "spacing": 0.3, "Labels": ["a", "b", "µ"]}}, "ZYX"),
        ({"ome": True, "metadata": {"axes": "TYX", "Channel": {"Name": "µ"}}}, "TYX"),
        ({"metadata": {"axes": "ZYX"}, "compression": "zlib", "photometric": "minisblack"}, "ZYX"),
        ({"bigtiff": True, "byteorder": ">", "metadata": None, "photometric": "minisblack"}, "IYX"),
    ],
)
def test_a_stack_keeps_pages_axes_and_metadata(tmp_path: Path, options: dict[str, Any], axes: str) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, STACK, resolution=(5.5, 5.5), software="mine", **options)
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.data, STACK)
    assert stack.axes == axes
    other = (STACK // 2).astype(np.uint16)
    back = again(stack, tmp_path, other)
    np.testing.assert_array_equal(back.data, other)
    assert back.axes == axes
    with tifffile.TiffFile(path) as first, tifffile.TiffFile(back.path) as second:
        assert len(first.pages) == len(second.pages)
        assert first.imagej_metadata == second.imagej_metadata
        assert first.ome_metadata == second.ome_metadata
        for code in (270, 282, 283, 305):
            values = [getattr(file.pages.first.tags.get(code), "value", None) for file in (first, second)]
            assert values[0] == values[1]
        assert (first.byteorder, first.is_bigtiff) == (second.byteorder, second.is_bigtiff)


def test_channels_colours_and_floats_of_tiff(tmp_path: Path) -> None:
    colour = RNG.random((2, 20, 24, 3)).astype(np.float32)
    tifffile.imwrite(tmp_path / "c.tif", colour, photometric="rgb")
    stack = read_stack(tmp_path / "c.tif")
    assert (stack.data.shape, stack.data.dtype, stack.axes[-3:]) == (colour.shape, colour.dtype, "YXS")
    np.testing.assert_array_equal(again(stack, tmp_path).data, colour)
    layout = layout_of(stack, "auto")
    assert (len(layout.planes), layout.channels) == (2, 3)
    assert (len(layout_of(stack, "apart").planes), layout_of(stack, "apart").channels) == (6, 1)
    tifffile.imwrite(tmp_path / "m.ome.tif", STACK[None], ome=True, metadata={"axes": "ZCYX"})
    layout = layout_of(read_stack(tmp_path / "m.ome.tif"), "auto")
    assert (layout.axes, len(layout.planes), layout.channels) == ("CYX", 3, 1)


def test_planes_are_views_in_the_order_of_the_file(tmp_path: Path) -> None:
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.save(tmp_path / "a.npy", data)
    layout = layout_of(read_stack(tmp_path / "a.npy", "TXCY"), "together")
    view = layout.view(data, layout.planes[1])
    assert view.shape == (5, 3, 4)
    np.testing.assert_array_equal(view[2, 1], data[1, 1, :, 2])
    view[2, 1] = -1
    assert (data[1, 1, :, 2] == -1).all()
    assert layout.name(layout.planes[1]) == "T 1"


def test_what_would_have_to_be_converted_is_named(tmp_path: Path) -> None:
    rgba = RNG.integers(0, 255, (20, 24, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    Image.fromarray(rgba[..., :3]).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(rgba, mode="CMYK").save(tmp_path / "cmyk.jpg")
    tifffile.imwrite(tmp_path / "alpha.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "cmyk.tif", rgba, photometric="separated")
    for name, word in (
        ("alpha.png", "alpha"), ("palette.png", "palette"), ("cmyk.jpg", "CMYK"), ("alpha.tif", "alpha"),
        ("cmyk.tif", "CMYK"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"{word}.*--convert"):
            read_stack(tmp_path / name)
        found = read_stack(tmp_path / name, None, True)
        assert found.data.shape == (20, 24, 3)
        assert any(word in note and "converted" in note for note in found.notes)
        assert again(found, tmp_path).data.shape == (20, 24, 3)
    np.testing.assert_array_equal(read_stack(tmp_path / "alpha.tif", None, True).data, rgba[..., :3])
    cmyk = read_stack(tmp_path / "cmyk.tif", None, True).data
    assert cmyk[0, 0, 0] == round((255 - int(rgba[0, 0, 0])) * (255 - int(rgba[0, 0, 3])) / 255)


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_png_of_16_bits_is_read_and_written_whole(tmp_path: Path, shape: tuple[int, ...]) -> None:
    import imageio.v3 as iio

    data = RNG.integers(0, 65536, shape, dtype=np.uint16)
    from denoisebench.own.picture import png_bytes

    (tmp_path / "p.png").write_bytes(png_bytes(data, []))
    stack = read_stack(tmp_path / "p.png")
    np.testing.assert_array_equal(stack.data, data)
    np.testing.assert_array_equal(again(stack, tmp_path).data, data)
    if len(shape) == 2:  # Pillow reads 16 bits of gray alone
        np.testing.assert_array_equal(iio.imread(tmp_path / "p.png"), data)
    else:
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "p.png")), data >> 8)


def test_a_photograph_is_turned_and_keeps_exif_and_profile(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (20, 24, 3), dtype=np.uint8)
    image = Image.fromarray(data)
    exif = image.getexif()
    exif[274], exif[271] = 6, "Camera"
    image.save(tmp_path / "p.jpg", exif=exif.tobytes(), icc_profile=b"profile", dpi=(300, 300))
    stack = read_stack(tmp_path / "p.jpg")
    assert stack.data.shape == (24, 20, 3)
    np.testing.assert_array_equal(stack.data, np.rot90(np.asarray(Image.open(tmp_path / "p.jpg")), -1))
    back = again(stack, tmp_path)
    np.testing.assert_array_equal(back.data, stack.data)
    with Image.open(back.path) as written:
        assert dict(written.getexif()) == {**dict(exif), 274: 1}
        assert written.info["icc_profile"] == b"profile"
        assert round(written.info["dpi"][0]) == 300


def test_text_of_a_png_stays(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Microscope", "mine")
    Image.fromarray(STACK[0].astype(np.uint8)).save(tmp_path / "t.png", pnginfo=text)
    with Image.open(again(read_stack(tmp_path / "t.png"), tmp_path).path) as written:
        assert written.info["Microscope"] == "mine"


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", STACK)
    with pytest.raises(UserError, match="3x20x24 and does not say what its axes are"):
        read_stack(tmp_path / "s.npy")
    assert read_stack(tmp_path / "s.npy", "zyx").axes == "ZYX"
    for axes in ("ZY", "ZZYX", "ZYQ", "SCYX", "Z-X"):
        with pytest.raises(UserError, match="--axes"):
            read_stack(tmp_path / "s.npy", axes)
    np.savez(tmp_path / "s.npz", field=STACK[0])
    stack = read_stack(tmp_path / "s.npz")
    stack.write(tmp_path / "t.npz", stack.data)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npz")["field"], STACK[0])
    np.savez(tmp_path / "two.npz", a=STACK, b=STACK)
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "b.npy", STACK[0] > 9)
    np.save(tmp_path / "e.npy", np.zeros((0, 5)))
    for name, why in (("two.npz", "2 arrays"), ("o.npy", "NumPy"), ("b.npy", "bool"), ("e.npy", "empty")):
        with pytest.raises(UserError, match=why):
            read_stack(tmp_path / name)


@pytest.mark.parametrize("name", ["s.tif", "p.png", "p.jpg", "a.npy", "a.npz"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("tif"):
        tifffile.imwrite(path, STACK)
    elif name.endswith("npy"):
        np.save(path, STACK)
    elif name.endswith("npz"):
        np.savez(path, STACK)
    else:
        Image.fromarray(STACK[0].astype(np.uint8)).save(path)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"nothing of the kind" * 9):
        path.write_bytes(data)
        with pytest.raises(UserError, match=name):
            read_stack(path, None if name.startswith("p") else "ZYX")


def test_several_images_in_one_tiff_are_refused_and_small_copies_left_out(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(STACK[0], metadata=None)
        writer.write(STACK[0, :10, :10], metadata=None)
    with pytest.raises(UserError, match="2 images of 20x24, 10x10"):
        read_stack(tmp_path / "two.tif")
    with tifffile.TiffWriter(tmp_path / "copy.tif") as writer:
        writer.write(STACK[0], metadata=None)
        writer.write(STACK[0, ::2, ::2], metadata=None, subfiletype=1)
    assert read_stack(tmp_path / "copy.tif").data.shape == (20, 24)


def test_a_stack_that_unpacks_to_more_than_the_disk_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoisebench.own.tiff._LARGE", 0)
    data = np.arange(5 * 20 * 30, dtype=np.uint16).reshape(5, 20, 30)
    for compression in (None, "zlib"):
        tifffile.imwrite(tmp_path / f"{compression}.tif", data, compression=compression)
        assert (read_stack(tmp_path / f"{compression}.tif").data == data).all()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=100))
    assert (read_stack(tmp_path / "None.tif").data == data).all(), "read where it lies"
    with pytest.raises(UserError, match=r"has room for .*; name another folder in TMPDIR"):
        read_stack(tmp_path / "zlib.tif")


def test_scales(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", STACK)
    stack = read_stack(tmp_path / "s.npy", "ZYX")
    given = scale_of(stack, parse_range("100..5000"))
    plane = STACK[0][:, :, None]
    np.testing.assert_allclose(given.apply(plane), (plane - 100.0) / 4900, rtol=1e-6)
    for text in ("100..5000", "type", "percentile", "auto"):
        scale = scale_of(stack, parse_range(text))
        np.testing.assert_array_equal(scale.undo(scale.apply(plane), STACK.dtype), plane)
    assert given.undo(np.array([9.0, -9.0], np.float32), STACK.dtype).tolist() == [44200, 0]
    found = scale_of(stack, "auto")
    assert (found.black, found.white) == tuple(np.percentile(STACK, (0.1, 99.9)))
    for text in ("5..3", "a..b", "full", "1..nan"):
        with pytest.raises(UserError, match="--range"):
            parse_range(text)


def test_holes_are_filled_from_their_edge() -> None:
    ramp = np.tile(np.arange(9.0), (9, 1))[:, :, None]
    holed = ramp.copy()
    holed[3:6, 3:6] = np.nan
    holed[0, 0] = np.inf
    result = filled(holed)
    good = np.isfinite(holed)
    np.testing.assert_array_equal(result[good], holed[good])
    assert abs(result[4, 4, 0] - 4) < 0.01
    assert np.abs(result - ramp).max() < 1.01


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("a/x.png", "a/note.txt", "b/x.png", "b/y.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    one = find_files([str(tmp_path / "a")])
    assert [target.as_posix() for _, target in one.files] == ["x.png"]
    assert one.left_out == ["note.txt"]
    both = find_files([str(tmp_path / "*" / "x.png"), str(tmp_path / "b")])
    assert [target.as_posix() for _, target in both.files] == ["a/x.png", "b/x.png", "b/y.tif"]
    with pytest.raises(UserError, match=r"(?s)nothing.*q\*"):
        find_files([str(tmp_path / "nothing"), str(tmp_path / "q*")])
