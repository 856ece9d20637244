"""Files of instruments: camera raw, MRC and CZI, each read by a package that need not be there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from denoisebench.core.errors import UserError
from denoisebench.own.reading import read_stack
from denoisebench.own.scale import scale_of
from denoisebench.own.stack import layout_of

RNG = np.random.default_rng(0)


def save_dng(path: Path, mosaic: np.ndarray) -> None:
    """A DNG of a camera that nobody built: red, green, green, blue; black 512, white 4095."""
    matrix = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [
        (33421, "H", 2, (2, 2), True), (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True), (50708, "s", 0, "Test Camera", True), (50714, "H", 1, 512, True),
        (50717, "H", 1, 4095, True), (50721, "2i", 9, matrix, True), (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
    ]  # fmt: skip
    tifffile.imwrite(path, mosaic, photometric=32803, software=False, metadata=None, extratags=tags)


def save_mrc(path: Path, data: np.ndarray) -> None:
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 1.3
        mrc.add_label("a label")
        mrc.set_extended_header(np.frombuffer(b"abcd" * 20, dtype="V80"))
        mrc.header.exttyp = b"AGAR"
        mrc.header.nxstart = -7


def save_czi(path: Path, data: np.ndarray) -> None:
    """(Z, C, Y, X) of 16 bits."""
    czi = pytest.importorskip("pylibCZIrw.czi")
    with czi.create_czi(str(path)) as document:
        for z, c in np.ndindex(*data.shape[:2]):
            document.write(data=data[z, c, :, :, None], plane={"Z": z, "C": c, "T": 0})
        document.write_metadata("cells", scale_x=1e-7, scale_y=2e-7)


def test_camera_raw_is_four_planes_of_the_mosaic_and_comes_back_as_tiff(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    mosaic = RNG.integers(500, 4000, (64, 97), dtype=np.uint16)
    save_dng(tmp_path / "a.dng", mosaic)
    stack = read_stack(tmp_path / "a.dng")
    assert (stack.axes, stack.data.shape, stack.suffix) == ("CYX", (4, 32, 48), ".tif")
    np.testing.assert_array_equal(stack.data[1], mosaic[::2, 1:96:2])
    assert len(layout_of(stack, "auto").planes) == 4, "noise of each colour is denoised by itself"
    scale = scale_of(stack, "auto")
    assert (scale.black, scale.white, scale.source) == (512, 4095, "camera")
    stack.write(tmp_path / "a.tif", stack.data + 1)
    back = tifffile.imread(tmp_path / "a.tif")
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back[:, :96], mosaic[:, :96] + 1)
    np.testing.assert_array_equal(back[:, 96], mosaic[:, 96])
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert "mosaic RGGB, black 512,512,512,512, white 4095" in str(tif.pages.first.description)
    assert "written as TIFF of the mosaic" in stack.notes[0]


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint16, np.float16, np.float32, ">i2"])
@pytest.mark.parametrize("shape", [(20, 24), (3, 20, 24)])
def test_mrc_comes_back_with_its_header(kind: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    mrcfile = pytest.importorskip("mrcfile")
    data = RNG.integers(0, 90, shape).astype(kind)
    save_mrc(tmp_path / "a.mrc", data)
    stack = read_stack(tmp_path / "a.mrc")
    assert (stack.axes, stack.data.dtype) == ("ZYX"[-len(shape) :], np.dtype(kind))
    np.testing.assert_array_equal(stack.data, data)
    stack.write(tmp_path / "b.mrc", stack.data + np.dtype(kind).type(1))
    with mrcfile.open(tmp_path / "a.mrc") as first, mrcfile.open(tmp_path / "b.mrc") as second:
        np.testing.assert_array_equal(second.data, data + 1)
        assert second.data.dtype == first.data.dtype
        assert second.voxel_size == first.voxel_size
        assert bytes(second.extended_header) == b"abcd" * 20
        for name in ("nxstart", "label", "exttyp", "ispg", "mode", "mx", "mz", "cella", "origin"):
            assert second.header[name].tobytes() == first.header[name].tobytes(), name
        assert float(second.header.dmax) == float(data.max()) + 1


def test_czi_is_read_whole_and_written_as_ome_tiff(tmp_path: Path) -> None:
    data = RNG.integers(0, 60000, (3, 2, 40, 50), dtype=np.uint16)
    save_czi(tmp_path / "a.czi", data)
    stack = read_stack(tmp_path / "a.czi")
    assert (stack.axes, str(stack.data.dtype)) == ("ZCYX", "uint16")
    np.testing.assert_array_equal(stack.data, data)
    stack.write(tmp_path / f"b{stack.suffix}", stack.data // 2)
    back = read_stack(tmp_path / "b.ome.tif")
    assert back.axes == "ZCYX"
    np.testing.assert_array_equal(back.data, data // 2)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        assert tif.ome_metadata is not None
        assert 'PhysicalSizeX="0.1"' in tif.ome_metadata
        assert 'PhysicalSizeY="0.2"' in tif.ome_metadata


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("a.dng", "rawpy", "camera"), ("a.mrc", "mrcfile", "mrc"), ("a.czi", "pylibCZIrw.czi", "czi")],
)
def test_without_its_package_the_extra_is_named(
    name: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf'{name} needs the package .*pip install "denoisebench\[{extra}\]"'):
        read_stack(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "package", "words"),
    [("a.dng", "rawpy", "as camera raw"), ("a.mrc", "mrcfile", "as MRC"), ("a.czi", "pylibCZIrw", "as CZI")],
)
@pytest.mark.parametrize("keep", [0, 10, -700])
def test_damaged_files_are_named(name: str, package: str, words: str, keep: int, tmp_path: Path) -> None:
    pytest.importorskip(package)
    path = tmp_path / name
    if name == "a.dng":
        save_dng(path, RNG.integers(500, 4000, (64, 96), dtype=np.uint16))
    elif name == "a.mrc":
        save_mrc(path, RNG.integers(0, 9, (20, 24)).astype(np.int16))
    else:
        save_czi(path, RNG.integers(0, 9, (2, 1, 64, 64), dtype=np.uint16))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=f"{name} cannot be read {words}"):
        read_stack(path)


def test_the_command_on_all_three(command: Callable[..., Any], plugin_file: Any, tmp_path: Path) -> None:
    for package in ("rawpy", "mrcfile", "pylibCZIrw"):
        pytest.importorskip(package)
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    save_dng(folder / "Größe.dng", RNG.integers(600, 4000, (64, 96), dtype=np.uint16))
    save_mrc(folder / "m.mrc", RNG.integers(0, 900, (3, 20, 24)).astype(np.int16))
    save_czi(folder / "z.czi", RNG.integers(0, 900, (2, 1, 40, 50), dtype=np.uint16))
    done = command("denoise", folder, "--method", "toy", "--plugin", plugin_file("toy", "return noisy"), "--out", out)
    assert done.code == 0, done.err
    assert {path.name for path in out.iterdir()} >= {"Größe.tif", "m.mrc", "z.ome.tif"}
    np.testing.assert_array_equal(read_stack(out / "m.mrc").data, read_stack(folder / "m.mrc").data)
    for words in ("camera raw, written as TIFF", "CZI, written as OME-TIFF"):
        assert words in done.out
    same = command("denoise", folder, "--method", "toy", "--plugin", plugin_file("toy", "return noisy"), "--out", out)
    assert "3 were there already" in same.out
