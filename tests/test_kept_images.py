"""Images that a run keeps: what is in the files, where they are, how they come back, and what they are used for."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import denoisebench as db
from denoisebench.core.errors import UserError
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.images import to_float, to_uint8
from denoisebench.protocol.metrics import RAW, UINT8, psnr
from denoisebench.protocol.noise import parse_noise
from denoisebench.results.pictures import CLEAN, KINDS, RESULT, Place, Saving, encoded, kept, parse_saving
from denoisebench.results.store import Store

Command = Callable[..., Any]


def files(out: Path) -> dict[str, bytes]:
    """What is kept, by the path below ``images/DATASET``."""
    (place,) = (out / "images").iterdir()
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def short(names: Any) -> list[str]:
    """Paths without the digests of protocol and cell."""
    parts = [name.split("/") for name in names]
    return sorted("/".join([part[1].rsplit("-", 1)[0] if "-" in part[1] else part[1], part[2]]) for part in parts)


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def call(image_folder: Callable[..., Path], tmp_path: Path) -> list[object]:
    methods = ("run", "--methods", "nlm,bm3d[sigma=known]", "--repeats", 2)
    return [*methods, "--datasets", image_folder(count=3), "--out", tmp_path / "out", "--save-images", 2]


def test_kept_images_are_those_that_were_scored(command: Command, call: list[object], tmp_path: Path) -> None:
    assert command(*call).code == 0
    found = files(tmp_path / "out")
    each = ["im0-0.png", "im0-1.png", "im1-0.png", "im1-1.png"]
    folders = ("bm3d[sigma=known]", "nlm", "noisy")
    assert short(found) == sorted([f"{folder}/{name}" for folder in folders for name in each] +
                                  ["clean/im0.png", "clean/im1.png"])  # fmt: skip
    (place,) = (tmp_path / "out" / "images" / "pictures").iterdir()
    for cell in Store(tmp_path / "out", create=False).all():
        folder = "noisy" if cell.about["baseline"] else f"{cell.about['text']}-{cell.key[:8]}"
        for (image, repeat), row in cell.rows.items():
            if image != "im2":
                result, clean = pixels(place / folder / f"{image}-{repeat}.png"), pixels(place / f"clean/{image}.png")
                assert psnr(result, clean) == row.psnr
    np.testing.assert_array_equal(pixels(place / "clean" / "im0.png"), pixels(tmp_path / "pictures" / "im0.png"))


def test_images_that_are_gone_are_made_again_bit_for_bit_and_scores_stay(
    command: Command, call: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert command(*call[:-2]).code == 0
    assert not (out / "images").exists()
    scores = {path.name: path.read_bytes() for path in (out / "cells").iterdir()}
    ran = command(*call)
    assert ran.code == 0
    before = files(out)
    assert len(before) == 14
    assert {path.name: path.read_bytes() for path in (out / "cells").iterdir()} == scores
    lost = [name for name in before if "nlm" in name][:1] + [name for name in before if "clean" in name][1:]
    for name in lost:
        (out / "images" / "pictures" / name).unlink()
    assert "1 of 6 images, to keep them" in command(*call, "--plan").out
    ran = command(*call)
    # The clean image costs no method a second run.
    assert "WARNING" not in ran.err
    assert re.search(r"^3 cells: 2 to compute \(\d images[^()]*\), 1 stored", ran.err, re.MULTILINE), ran.err
    assert files(out) == before
    assert "0 to compute" in command(*call).err


def test_workers_keep_the_same_images(command: Command, call: list[object], tmp_path: Path) -> None:
    assert command(*call).code == 0
    other = tmp_path / "by workers"
    assert command(*call, "--out", other, "--workers", 2).code == 0
    assert files(other) == files(tmp_path / "out")


def test_a_full_disk_stores_no_row_whose_image_is_missing(command: Command, call: list[object], tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        ran = command(*call)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("Error: Cannot write ")
    assert not list((tmp_path / "out").rglob("*.part"))
    assert len(files(tmp_path / "out")) == 1  # the smallest, whole
    assert not list((tmp_path / "out" / "cells").iterdir())
    assert command(*call).code == 0
    assert len(files(tmp_path / "out")) == 14


@pytest.mark.parametrize("form", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_encoded_image_comes_back(form: str, channels: int, tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(0.5, 0.4, (20, 14, channels)).astype(np.float32)
    path = tmp_path / "x"
    path.write_bytes(encoded(image, form))
    assert encoded(image, form) == path.read_bytes()
    found = pixels(path) if form == "png" else tifffile.imread(path)
    np.testing.assert_array_equal(found.reshape(image.shape), to_uint8(image) if form == "png" else image)


def test_floats_are_kept_where_they_are_asked_for(command: Command, call: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command(*call, "--image-format", "tiff").code == 0
    (place,) = (out / "images" / "pictures").iterdir()
    clean = pixels(tmp_path / "pictures" / "im1.png")
    drawn = CounterDraws(0).draw("pictures", "im1", 1, clean, parse_noise("gauss25")).noisy
    np.testing.assert_array_equal(tifffile.imread(place / "noisy" / "im1-1.tif"), drawn)
    np.testing.assert_array_equal(tifffile.imread(place / "clean" / "im1.tif"), to_float(clean))
    (cell,) = (cell for cell in Store(out, create=False).all() if cell.about["text"] == "nlm")
    found = kept(out, cell, "im1", 1)
    assert found is not None
    np.testing.assert_array_equal(found.noisy, drawn)
    assert kept(out, cell, "im2", 1) is None
    assert kept(out, cell, "other", 1) is None


def test_real_captures_have_their_references_beside_them(command: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("noisy", "clean"):
        (tmp_path / "real" / kind).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            Image.fromarray(rng.integers(0, 255, (32, 40), np.uint8)).save(tmp_path / "real" / kind / name)
    out = tmp_path / "out"
    ran = command("run", "--methods", "anscombe_bm3d", "--noise", "real", "--datasets", tmp_path / "real",
                  "--out", out, "--save-images", "all")  # fmt: skip
    assert ran.code == 0, ran.err
    assert short(files(out)) == sorted(f"{f}/{n}-0.png" for f in ("anscombe_bm3d", "clean", "noisy") for n in "ab")
    for kind in ("noisy", "clean"):
        (file,) = (out / "images").glob(f"real/*/{kind}/b-0.png")
        np.testing.assert_array_equal(pixels(file), pixels(tmp_path / "real" / kind / "b.png"))


@pytest.mark.parametrize("name", ["../../up", "a/b", "..", "nul\0", "x" * 300, 'q?"<>|', "tail.", "ü-日本", ".hidden"])
def test_odd_names_stay_below_the_folder_and_apart(name: str, tmp_path: Path) -> None:
    protocol = {"noise": "gauss25", "dataset": name}
    for place in (
        Place(tmp_path, protocol, name, "0" * 16, name, 0),
        Place(tmp_path, protocol, "a", "1" * 16, name, 3),
    ):
        for kind in KINDS:
            path = place.path(kind, "png")
            assert path.resolve().is_relative_to(tmp_path)
            assert len(path.relative_to(tmp_path).parts) == 4
            place.write({kind: b"x"}, "png")
    one, two = (Place(tmp_path, protocol, text, "0" * 16, name, 0).path(RESULT, "png") for text in (name, name + "'"))
    assert one != two


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    place = Place(tmp_path, {"noise": "gauss25", "dataset": "d"}, "nlm", "0" * 16, "im", 0)
    place.write({CLEAN: b"mine"}, "png")
    place.write({CLEAN: b"other", RESULT: b"new"}, "png")
    assert [place.path(kind, "png").read_bytes() for kind in (CLEAN, RESULT)] == [b"mine", b"new"]


def test_what_is_kept_is_told_by_a_number_or_all() -> None:
    assert (parse_saving("all"), parse_saving("3", "tiff")) == (Saving(None), Saving(3, "tiff"))
    for text in ("0", "-1", "some", "1.5", "²", ""):
        with pytest.raises(UserError, match="give a number of images"):
            parse_saving(text)
    with pytest.raises(UserError, match="Unknown format of images 'jpg'"):
        parse_saving("1", "jpg")
    forms = [Saving(1).form_of(UINT8, 3), Saving(1).form_of(RAW, 4), Saving(1).form_of(RAW, 1)]
    assert forms == ["png", "tiff", "tiff"]
    with pytest.raises(UserError, match="4 channels"):
        Saving(1, "png").form_of(RAW, 4)


def test_a_format_without_images_to_keep_is_refused(command: Command, call: list[object]) -> None:
    ran = command(*call[:-2], "--image-format", "png")
    assert ran.code == 2
    assert "give --save-images" in ran.err


def test_an_experiment_file_and_python_say_the_same(
    command: Command, image_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder(count=2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('methods = ["nlm"]\nsave-images = 1\nimage-format = "tiff"\nout = "a"\n')
    assert command("run", "--config", tmp_path / "mine.toml", "--datasets", folder).code == 0
    db.run("nlm", datasets=folder, out=tmp_path / "b", save_images=1, image_format="tiff")
    assert short(files(tmp_path / "a")) == ["clean/im0.tif", "nlm/im0-0.tif", "noisy/im0-0.tif"]
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_figure_and_page_show_what_was_kept_without_the_data(
    command: Command, call: list[object], tmp_path: Path
) -> None:
    out, pictures = tmp_path / "out", tmp_path / "pictures"
    assert command(*call).code == 0
    made, again = tmp_path / "kept.png", tmp_path / "again.png"
    ran = command("figure", "comparison", out, "--image", "im1", "--out", made)
    assert (ran.code, "[1/2]" in ran.err) == (0, False), ran.err
    stored = out / "images"
    stored.rename(tmp_path / "away")
    ran = command("figure", "comparison", out, "--image", "im1", "--datasets", pictures, "--out", again)
    assert (ran.code, "[1/2]" in ran.err) == (0, True)
    assert made.read_bytes() == again.read_bytes()
    (tmp_path / "away").rename(stored)
    ran = command("report", out, "--html", "--images", 1)
    assert (ran.code, "left out" in ran.err) == (0, False), ran.err
    assert '"pictures":[{"image":"im' in (out / "report.html").read_text().replace(" ", "")


def test_an_altered_image_is_not_shown_for_the_one_that_was_scored(
    command: Command, call: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert command(*call).code == 0
    (cell,) = (cell for cell in Store(out, create=False).all() if cell.about["text"] == "nlm")
    (file,) = out.glob("images/pictures/*/nlm-*/im0-0.png")
    assert kept(out, cell, "im0", 0) is not None
    file.write_bytes(encoded(np.full((48, 40, 3), 0.5, np.float32), "png"))
    assert kept(out, cell, "im0", 0) is None
    file.write_bytes(b"no image")
    assert kept(out, cell, "im0", 0) is None
