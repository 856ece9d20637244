"""Captures that are image files: the tree of FMDD, pairs in two folders, and folders of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.data.brightness import share_of_brightness
from denoisebench.data.captures import AnyPairs, CaptureSet, NamedPairs
from denoisebench.data.dataset import AnyFolder
from denoisebench.data.fmdd import CAPTURES
from denoisebench.execution.describe import shared_images
from denoisebench.plugins.lookup import find_dataset

SIDE = 16


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def tree(root: Path, views: tuple[int, ...] = (1, 2, 19), kind: str = "Confocal_FISH") -> Path:
    """A small FMDD tree: 16x16 pixels, 50 captures of each view (3 of training views), the average of them."""
    rng = np.random.default_rng(0)
    for view in views:
        count = CAPTURES if view == 19 else 3
        stack = rng.poisson(60, (count, SIDE, SIDE)).astype(np.uint8)
        for index, capture in enumerate(stack):
            save(root / "fmdd" / kind / "raw" / str(view) / f"capture{index:04d}.png", capture)
        average = np.floor(stack.mean(axis=0) + 0.5).astype(np.uint8)
        save(root / "fmdd" / kind / "gt" / str(view) / "avg50.png", average)
    return root / "fmdd" / kind


def get(name: str, root: Path) -> CaptureSet:
    found = find_dataset(name, [root])
    assert isinstance(found, CaptureSet)
    return found


def test_the_test_view_is_19_against_its_average(tmp_path: Path) -> None:
    folder, data = tree(tmp_path), get("fmdd_fish", tmp_path)
    data.verify()
    assert (list(data.images), data.captures("19"), data.channels) == (["19"], 50, 1)
    stored = np.asarray(Image.open(folder / "raw" / "19" / "capture0007.png"))
    np.testing.assert_array_equal(data.capture("19", 7)[:, :, 0], stored)
    average = np.asarray(Image.open(folder / "gt" / "19" / "avg50.png"))
    np.testing.assert_array_equal(data.reference("19", 7)[:, :, 0], average)
    assert "unverified" in data.note
    assert data.training == "fmdd_fish_train"


def test_leaving_one_out_is_the_mean_of_the_49_others(tmp_path: Path) -> None:
    tree(tmp_path)
    data, usual = get("fmdd_fish_loo", tmp_path), get("fmdd_fish", tmp_path)
    stack = np.stack([usual.capture("19", k) for k in range(50)]).astype(np.float64)
    for index in (0, 49):
        others = np.delete(stack, index, axis=0).mean(axis=0) / 255
        np.testing.assert_allclose(data.reference("19", index), others, atol=1e-6)
    assert data.data_hash != usual.data_hash


def test_training_views_are_the_others_as_many_as_are_here(tmp_path: Path) -> None:
    folder, data = tree(tmp_path), get("fmdd_fish_train", tmp_path)
    data.verify()
    assert list(data.images) == ["1", "2"]
    assert data.extent == "6 of 950 captures, 2 of 19 views"
    before = data.data_hash
    (folder / "raw" / "2" / "capture0002.png").unlink()
    assert get("fmdd_fish_train", tmp_path).data_hash != before


def drop(*parts: str) -> Callable[[Path], None]:
    return lambda folder: folder.joinpath(*parts).unlink()


def empty_view(folder: Path) -> None:
    for path in (folder / "raw" / "19").iterdir():
        path.unlink()


def resize(folder: Path) -> None:
    save(folder / "raw" / "19" / "capture0004.png", np.zeros((SIDE, SIDE + 2), np.uint8))


def colour(folder: Path) -> None:
    save(folder / "raw" / "19" / "capture0000.png", np.zeros((SIDE, SIDE, 3), np.uint8))


def cut(folder: Path) -> None:
    path = folder / "raw" / "19" / "capture0001.png"
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (drop("raw", "19", "capture0011.png"), r"49 captures of view 19 in .*raw/19 instead of 50"),
        (drop("gt", "19", "avg50.png"), r"average .*gt/19/avg50.png of view 19 is missing"),
        (empty_view, r"raw/19 holds no captures of view 19"),
        (resize, r"capture0004.png has 18x16 pixels, its reference .*avg50.png has 16x16"),
        (cut, r"capture0001.png is corrupt"),
    ],
)
def test_what_is_wrong_with_a_view_is_named(harm: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    harm(tree(tmp_path))
    with pytest.raises(UserError, match=words):
        get("fmdd_fish", tmp_path).verify()


def test_a_capture_in_colour_is_refused_where_it_is_read(tmp_path: Path) -> None:
    colour(tree(tmp_path))
    with pytest.raises(UserError, match=r"capture0000.png has 3 channels, but data set 'fmdd_fish' has 1"):
        get("fmdd_fish", tmp_path).capture("19", 0)


def test_without_views_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    tree(tmp_path, views=(19,))
    with pytest.raises(UserError, match="no view to train on"):
        get("fmdd_fish_train", tmp_path).verify()
    with pytest.raises(UserError, match="Unknown image of data set 'fmdd_fish'"):
        get("fmdd_fish", tmp_path).load("3")


def pairs(folder: Path, several: bool = False, mode: str = "gray") -> Path:
    rng = np.random.default_rng(1)
    shape = (SIDE, SIDE) if mode == "gray" else (SIDE, SIDE, 3)
    for name in ("one", "two"):
        save(folder / "clean" / f"{name}.png", rng.integers(0, 256, shape, dtype=np.uint8))
        for index in range(2 if several else 1):
            capture = Path(name, f"{index}.png") if several else Path(f"{name}.png")
            save(folder / "noisy" / capture, rng.integers(0, 256, shape, dtype=np.uint8))
    return folder


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("mode", "channels"), [("gray", 1), ("rgb", 3)])
def test_a_folder_of_noisy_and_clean_images_is_a_set_of_real_noise(
    several: bool, mode: str, channels: int, tmp_path: Path
) -> None:
    data = find_dataset(str(pairs(tmp_path / "mine", several, mode)), ())
    data.verify()
    assert isinstance(data, AnyPairs)
    assert (data.name, list(data.images), data.channels, data.real) == ("mine", ["one", "two"], channels, True)
    assert data.captures("two") == data.paper_repeats == (2 if several else 1)
    assert data.capture("two", data.captures("two") - 1).shape == (SIDE, SIDE, channels)


def test_another_folder_is_one_of_clean_images(tmp_path: Path) -> None:
    (pairs(tmp_path / "mine") / "clean").rename(tmp_path / "mine" / "sharp")
    save(tmp_path / "mine" / "x.png", np.zeros((SIDE, SIDE), np.uint8))
    assert isinstance(find_dataset(str(tmp_path / "mine"), ()), AnyFolder)


def test_a_clean_image_without_a_capture_is_named(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "mine")
    (folder / "noisy" / "two.png").unlink()
    with pytest.raises(UserError, match=r"clean/two.png has no capture"):
        find_dataset(str(folder), ())


def test_a_lone_file_of_a_known_set_is_named(tmp_path: Path) -> None:
    for name in ("noisy/0000_N.png", "clean/0000_CL.png", "noisy/0001_N.png"):
        save(tmp_path / "sidd_srgb" / name, np.zeros((SIDE, SIDE, 3), np.uint8))
    data = get("sidd_srgb", tmp_path)
    with pytest.raises(UserError, match=r"noisy/0001_N.png of data set 'sidd_srgb' has no partner in .*clean"):
        _ = data.images


def test_a_run_and_its_training_on_captures(command: Callable[..., Any], tmp_path: Path) -> None:
    tree(tmp_path)
    out = tmp_path / "out"
    ran = command(
        "run", "--methods", "n2n[network=dncnn],n2c[network=dncnn],r2r", "--noise", "real", "--datasets",
        "fmdd_fish,fmdd_fish_loo", "--repeats", 2, "--budget", "2steps", "--crop", 32, "--data-root", tmp_path,
        "--out", out,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "6 of 950 captures, 2 of 19 views" in ran.out
    assert "Skipped: r2r on fmdd_fish with real: must be told the noise level" in ran.out
    assert ran.err.count("trained n2n") == 1, "one network serves both references"
    assert "noise draws captures" in ran.out
    again = command(
        "train", "--methods", "n2n[network=dncnn]", "--noise", "real", "--train-data", "fmdd_fish_train",
        "--budget", "2steps", "--crop", 32, "--data-root", tmp_path, "--out", out,
    )  # fmt: skip
    assert again.code == 0, again.err
    assert "real-gray" in again.out
    assert "train n2n" not in again.err, "`run` has trained it"


def test_the_published_table_is_set_beside_what_could_be_measured(command: Callable[..., Any], tmp_path: Path) -> None:
    tree(tmp_path)
    arguments = ("--methods", "nlm,anscombe_bm3d,n2v", "--repeats", 1, "--data-root", tmp_path, "--out", tmp_path / "o")
    planned = command("table", 4, "--plan", *arguments)
    assert planned.code == 0, planned.err
    assert "Missing: Data set 'fmdd_mice'" in planned.out
    ran = command("table", 4, "--methods", "anscombe_bm3d", *arguments[2:])
    assert ran.code == 0, ran.err
    line = next(line for line in ran.out.splitlines() if "BM3D" in line)
    assert "32.16/0.886" in line
    assert line.split("|")[4].strip(), "measured beside the paper's BM3D"
    assert not line.split("|")[7].strip(), "blank where the data are missing"


# --- folders of the user's own: pairs are found or named, never guessed ---


def paint(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        save(folder / name, np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8))
    return folder


@pytest.mark.parametrize(
    ("noisy", "clean", "image"),
    [
        ("Canon_5_real.JPG", "Canon_5_mean.JPG", "Canon_5"),
        ("0001_NOISY_SRGB_010.PNG", "0001_GT_SRGB_010.PNG", "0001_SRGB_010"),
        ("0003_3200_N_NOISY.png", "0003_3200_N_GT.png", "0003_3200_N"),
        ("0000_N.png", "0000_CL.png", "0000"),
        ("Confocal_FISH_3.png", "gt_Confocal_FISH_3.png", "Confocal_FISH_3"),
        ("a.png", "a.tif", "a"),
    ],
)
def test_pairs_under_the_names_of_known_sets_are_found(noisy: str, clean: str, image: str, tmp_path: Path) -> None:
    paint(tmp_path / "mine", f"noisy/{noisy}", f"clean/{clean}", "noisy/zz_real.png", "clean/zz_mean.png")
    data = find_dataset(str(tmp_path / "mine"), ())
    assert isinstance(data, AnyPairs)
    assert list(data.images) == [image, "zz"]
    assert data.views[image].captures == [tmp_path / "mine" / "noisy" / noisy]
    assert data.views[image].reference == tmp_path / "mine" / "clean" / clean
    assert data.note == ""


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["noisy/a.png", "noisy/a.tif", "clean/a.png"], r"several images named 'a' \(a.png and a.tif\)"),
        (["noisy/a.png", "clean/a.png", "clean/a.tif"], r"several images named 'a' \(a.png and a.tif\)"),
        (["noisy/a.png", "noisy/a/0.png", "clean/a.png"], r"several images named 'a' \(a and a.png\)"),
        (["noisy/a/0.png", "noisy/a/0.tif", "clean/a.png"], r"several images named '0' \(0.png and 0.tif\)"),
        (["noisy/a.png", "noisy/b.png", "clean/a.png"], r"Without a clean image: 1 capture \(.*noisy/b.png"),
        (["noisy/a_n.png", "noisy/a_real.png", "clean/a_gt.png"], r"a_gt.png may belong to .*a_n.png, .*a_real.png"),
        (["noisy/a_n.png", "clean/a_gt.png", "clean/a_mean.png"], r"clean/a_mean.png has no capture"),
        (["noisy/a.png", "clean/a/1.png", "clean/a/2.png"], r"clean/a holds 2 images .*; a reference is one"),
        (["noisy/a.png", "clean/a.png", "gt/a.png"], r"holds .*clean, .*gt; keep one of them"),
    ],
)
def test_what_is_no_pair_is_named(names: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        find_dataset(str(paint(tmp_path / "mine", *names)), ())


def test_a_folder_of_captures_may_have_its_reference_in_a_folder_too(tmp_path: Path) -> None:
    names = [f"noisy/19/{k}.png" for k in range(3)]
    data = find_dataset(str(paint(tmp_path / "mine", *names, "clean/19/avg50.png")), ())
    assert (list(data.images), data.captures("19")) == (["19"], 3)


def test_what_lies_beside_pairs_is_named_and_system_files_are_not(tmp_path: Path) -> None:
    folder = paint(
        tmp_path / "mine", "noisy/a/0.png", "noisy/a/1.png", "noisy/b.png", "clean/a.png", "clean/b.png", "x.png"
    )
    for place in (folder, folder / "noisy", folder / "noisy" / "a", folder / "clean"):
        for name in (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini"):
            (place / name).touch()
    (folder / "noisy" / "list.csv").touch()
    (folder / "noisy" / "a" / "old").mkdir()
    data = find_dataset(str(folder), ())
    data.verify()
    assert [data.captures(image) for image in data.images] == [2, 1]
    for words in (
        "mine also holds x.png (1",
        "noisy also holds list.csv (1",
        "a also holds old/ (1",
        "1 to 2 captures",
    ):
        assert words in data.note
    assert data.note.count(" also holds ") == 3


def test_a_turned_capture_is_upright_before_it_is_compared(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE + 4), dtype=np.uint8)
    save(tmp_path / "mine" / "clean" / "a.png", image)
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "mine" / "noisy").mkdir()
    Image.fromarray(np.rot90(image).copy()).save(tmp_path / "mine" / "noisy" / "a.png", exif=exif)
    data = find_dataset(str(tmp_path / "mine"), ())
    data.verify()
    np.testing.assert_array_equal(data.capture("a", 0), data.reference("a", 0))
    assert "1 image (a.png)" in data.note
    # What an earlier version scored sideways must not pass for the same data.
    plain = "".join(
        f"{name} {file} {hashlib.sha256((tmp_path / 'mine' / place / file).read_bytes()).hexdigest()}\n"
        for name, place, file in (("a", "clean", "a.png"), ("a", "noisy", "a.png"))
    )
    assert data.data_hash != hashlib.sha256(plain.strip().encode()).hexdigest()


@pytest.mark.parametrize("name", ["mine", "fmdd_fish"])
def test_a_capture_that_is_replaced_after_it_was_hashed_is_refused(name: str, tmp_path: Path) -> None:
    if name == "mine":
        folder = paint(tmp_path / "mine", "noisy/a.png", "clean/a.png")
        data, image, path = find_dataset(str(folder), ()), "a", folder / "noisy" / "a.png"
    else:
        path = tree(tmp_path) / "raw" / "19" / "capture0000.png"
        data, image = get("fmdd_fish", tmp_path), "19"
    _ = data.data_hash
    save(path, np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(UserError, match=r"\.png was changed while this run used it"):
        data.capture(image, 0)
    assert data.load(image).shape == (SIDE, SIDE, 1)


def test_files_of_a_mac_among_the_captures_of_fmdd_are_nobodys(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    (folder / "raw" / "19" / "._capture0000.png").write_bytes(b"\0\5\26\7")
    data = get("fmdd_fish", tmp_path)
    data.verify()
    assert data.captures("19") == 50


def test_two_references_of_one_image_of_a_known_set_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "fmdd_pairs", "noisy/a.png", "gt/a.png", "gt/gt_a.png")
    with pytest.raises(UserError, match="several references of one image"):
        _ = get("fmdd_pairs", tmp_path).images


@pytest.mark.parametrize(
    ("names", "image", "noisy"),
    [
        (["Canon_5_real.JPG", "Canon_5_mean.JPG"], "Canon_5", "Canon_5_real.JPG"),
        (["0001_NOISY_SRGB_010.PNG", "0001_GT_SRGB_010.PNG"], "0001_SRGB_010", "0001_NOISY_SRGB_010.PNG"),
        (["0001_S6/NOISY_SRGB_010.PNG", "0001_S6/GT_SRGB_010.PNG"], "0001_S6/SRGB_010", "NOISY_SRGB_010.PNG"),
        (["0000_N.png", "0000_CL.png"], "0000", "0000_N.png"),
        (["Confocal_FISH_3.png", "gt_Confocal_FISH_3.png"], "Confocal_FISH_3", "Confocal_FISH_3.png"),
    ],
)
def test_pairs_that_were_copied_into_one_folder_are_found_and_said(
    names: list[str], image: str, noisy: str, tmp_path: Path
) -> None:
    data = find_dataset(str(paint(tmp_path / "mine", *names)), ())
    data.verify()
    assert isinstance(data, NamedPairs)
    assert (data.real, list(data.images), data.views[image].captures[0].name) == (True, [image], noisy)
    assert f"those of 1 pair: noisy images such as {noisy} are scored against" in data.advice
    assert data.note == ""


def random_pairs(folder: Path, names: str, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for name in names:
        for place in ("noisy", "clean"):
            save(folder / place / f"{name}.png", rng.integers(0, 256, (40, 40), dtype=np.uint8))
    return folder


def test_training_on_the_captures_that_are_scored_is_told(command: Callable[..., Any], tmp_path: Path) -> None:
    mine, more = random_pairs(tmp_path / "mine", "ab", 0), random_pairs(tmp_path / "more", "c", 1)
    assert shared_images(find_dataset(str(more), ()), find_dataset(str(mine), ())) == 0
    (more / "clean" / "c.png").write_bytes((mine / "clean" / "b.png").read_bytes())
    common = ("run", "--methods", "n2c[network=dncnn],n2v[network=dncnn]", "--noise", "real", "--datasets", mine)
    assert f"such as these themselves: --train-data {mine}" in command(*common, "--plan").out.replace("\n", " ")
    for train, count in ((mine, "2 images"), (more, "1 image")):
        arguments = ("--train-data", train, "--budget", "1steps", "--crop", 32, "--out", tmp_path / f"out{count[0]}")
        ran = command(*common, *arguments)
        assert ran.code == 0
        assert f"n2c[network=dncnn]: trained on {count} of the test set.\n" in ran.out
        assert f"n2v[network=dncnn]: trained on {count} of the test set, not seeing their references." in ran.out


@pytest.mark.parametrize("exposure", [1.0, 0.25])
def test_captures_on_another_scale_than_their_references_are_told(exposure: float, tmp_path: Path) -> None:
    clean = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    noise = np.random.default_rng(0).normal(0, 10, clean.shape)
    save(tmp_path / "mine" / "clean" / "a.png", clean)
    noisy = np.clip(exposure * clean + noise, 0, 255).round().astype(np.uint8)
    save(tmp_path / "mine" / "noisy" / "a.png", noisy)
    note = find_dataset(str(tmp_path / "mine"), ()).note
    if exposure < 1:
        assert "Capture a.png (mean 0.1" in note
        assert "reference a.png (mean 0.494 of white) are not on one scale of brightness: that makes 9" in note
    else:
        assert note == ""


@pytest.mark.parametrize(
    ("gain", "shift", "sigma"), [(1, 0, 0.3), (0.1, 0, 0.0), (1, 0.2, 0.0), (0.5, 0.1, 0.2), (0.8, 0, 0.1)]
)
def test_the_share_of_brightness_in_a_difference(gain: float, shift: float, sigma: float) -> None:
    clean = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64, 1)
    noise = sigma * np.random.default_rng(1).standard_normal(clean.shape)
    noisy = (gain * clean + shift + noise).astype(np.float32)
    # mean ((gain - 1) c + shift)^2, beside it and the variance of the noise
    moved = float(np.mean(np.square((gain - 1) * clean + shift)))
    expected = moved / (moved + sigma**2) if moved else 0.0
    assert share_of_brightness(noisy, clean) == pytest.approx(expected, abs=0.03)


def test_images_that_are_not_alike_differ_in_brightness_by_their_means_alone() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((64, 64, 3)).astype(np.float32) for _ in range(2))
    assert share_of_brightness(first, second) < 0.01
    assert share_of_brightness(first, first) == 0.0
    assert share_of_brightness(np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8, 1), np.uint16)) == 0.0


def test_fmdd_under_its_own_names_is_captures_beside_their_mean(tmp_path: Path) -> None:
    data = find_dataset(str(tree(tmp_path)), ())
    assert isinstance(data, AnyPairs)
    assert {image: data.captures(image) for image in data.images} == {"1": 3, "2": 3, "19": 50}
    assert data.views["19"].reference.name == "avg50.png"
    with pytest.raises(UserError, match=r"holds 1 folders of pairs \(.*Confocal_FISH\)"):
        find_dataset(str(tmp_path / "fmdd"), ())


@pytest.mark.parametrize("names", [["sky.png", "sky_mean.png"], ["a_n.png", "b_n.png"], ["x_gt.png", "y_gt.png"]])
def test_clean_images_stay_clean_whatever_they_are_called(names: list[str], tmp_path: Path) -> None:
    data = find_dataset(str(paint(tmp_path / "mine", *names)), ())
    assert isinstance(data, AnyFolder)
    assert "taken as clean references" in data.advice


def test_one_image_more_does_not_make_noisy_ones_clean(tmp_path: Path) -> None:
    folder = paint(tmp_path / "mine", "a_real.JPG", "a_mean.JPG", "b_real.JPG", "b_mean.JPG", "c_real.JPG")
    with pytest.raises(UserError, match=r"holds pairs of noisy and clean images by their names, and 1 .*c_real.JPG"):
        find_dataset(str(folder), ())
