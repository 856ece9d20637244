"""Every built-in data set keeps the contract; those on this machine are what they claim to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import FolderSet, MissingData, data_roots
from denoisebench.data.manifest import read_manifest
from denoisebench.plugins.registry import DATASETS

BUILT_IN = [name for name in DATASETS.names() if DATASETS.origin(name) == "built in"]
FMDD = [f"fmdd_{kind}" for kind in ("bpae", "fish", "mice", "twophoton")]
TRAINING = {"bsd400", "bsd400_color", "imagenet_val", "samples_train", "sidd_raw_medium", *(f"{n}_train" for n in FMDD)}
#: Sets that the papers draw several times.
REPEATS = {
    "kodak": 10,
    "bsd300": 3,
    "set14": 20,
    "set14_14": 20,
    **{f"{name}{end}": 50 for name in FMDD for end in ("", "_loo")},
}


def kind_of(name: str) -> type[FolderSet]:
    kind = DATASETS.get(name)
    assert issubclass(kind, FolderSet)
    return kind


def here(name: str) -> FolderSet:
    """The data set, or a skip if it is not on this machine."""
    dataset = kind_of(name)(data_roots())
    try:
        assert dataset.folder.is_dir()
    except MissingData as error:
        pytest.skip(str(error))
    return dataset


def pixel_hashes(name: str) -> set[str]:
    manifest = kind_of(name).manifest
    return {entry.pixels for entry in read_manifest(manifest)} if manifest else set()


@pytest.mark.parametrize("name", BUILT_IN)
def test_metadata_are_complete(name: str) -> None:
    kind = kind_of(name)
    assert kind.channels in ((1, 3, 4) if kind.real else (1, 3))
    assert kind.scoring == ("raw" if kind.channels == 4 else "uint8")
    assert not kind.training or DATASETS.get(kind.training).channels == kind.channels
    assert kind.title
    assert kind.source
    assert kind.licence
    assert kind.count > 0
    assert kind.folders
    assert kind.paper_repeats == REPEATS.get(name, 1)
    for text in (kind.summary, kind.description, kind.traps):
        assert text.endswith((".", ")"))
        assert "\n" not in text


@pytest.mark.parametrize("name", BUILT_IN)
def test_manifests_fit_the_set(name: str) -> None:
    manifest = kind_of(name).manifest
    if manifest is None:
        pytest.skip("no manifest of this set is shipped")
    entries = read_manifest(manifest)
    assert manifest.name == f"{name.removesuffix('_crops').removesuffix('_loo')}.tsv"
    if not kind_of(name).real:
        assert name.endswith("_crops") or len(entries) == kind_of(name).count
    assert [entry.file for entry in entries] == sorted(entry.file for entry in entries)
    assert len({entry.pixels for entry in entries}) == len(entries)
    for entry in entries:
        assert len(entry.sha256) == len(entry.pixels) == 64
        assert entry.channels == kind_of(name).channels or entry.image == "bridge"
        assert min(entry.width, entry.height) >= 180


def test_every_manifest_belongs_to_a_set() -> None:
    manifest = kind_of("kodak").manifest
    assert manifest is not None
    assert {path.stem for path in manifest.parent.iterdir()} <= set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_sets_on_this_machine_pass(name: str) -> None:
    dataset = here(name)
    dataset.verify()
    image = dataset.load(dataset.images[0])
    assert image.dtype == np.uint8
    assert image.shape[2] == dataset.channels
    if dataset.real:
        index = dataset.captures(dataset.images[0]) - 1
        assert dataset.capture(dataset.images[0], index).shape == image.shape
        assert dataset.reference(dataset.images[0], index).shape == image.shape
    assert bool(dataset.note) == (dataset.manifest is None)


@pytest.mark.parametrize("name", ["kodak", "bsd300", "bsd400", "fmdd_bpae", "sidd_srgb"])
def test_verifying_unaltered_files_decodes_none_of_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, path: Path) -> None:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("denoisebench.data.dataset.decode_image", refuse)
    here(name).verify()


def test_an_absent_set_is_reported_as_missing(tmp_path: Path) -> None:
    for name in set(BUILT_IN) - {"samples", "samples_train"}:
        with pytest.raises(MissingData, match=f"'{name}'"):
            kind_of(name)([tmp_path]).verify()


def test_samples_need_no_download() -> None:
    for name in ("samples", "samples_train"):
        dataset = kind_of(name)([])
        dataset.verify()
        assert dataset.note == ""


@pytest.mark.parametrize("name", sorted(set(BUILT_IN) - {"samples"}))
def test_samples_share_no_image_with_another_set(name: str) -> None:
    assert not pixel_hashes("samples") & pixel_hashes(name)


@pytest.mark.parametrize("training", sorted(TRAINING))
def test_training_sets_share_no_image_with_test_sets(training: str) -> None:
    for name in set(BUILT_IN) - TRAINING:
        assert not pixel_hashes(training) & pixel_hashes(name), name


def test_kodak_crops_are_the_middle_of_every_sixth_photograph() -> None:
    crops, whole = here("kodak_crops"), here("kodak")
    assert list(crops.images) == ["kodim01", "kodim07", "kodim13", "kodim19"]
    assert len(crops.images) == crops.count
    assert crops.data_hash != whole.data_hash
    for image in crops.images:
        pixels, full = crops.load(image), whole.load(image)
        top, left = full.shape[0] // 2 - 64, full.shape[1] // 2 - 64
        np.testing.assert_array_equal(pixels, full[top : top + 128, left : left + 128])


def test_cbsd68_is_a_part_of_bsd300() -> None:
    assert pixel_hashes("cbsd68") < pixel_hashes("bsd300")


def test_the_short_set14_is_a_part_of_the_full_one() -> None:
    manifest, full = kind_of("set14").manifest, kind_of("set14_14").manifest
    assert manifest is not None
    assert full is not None
    extra = {entry.image for entry in read_manifest(full)} - {e.image for e in read_manifest(manifest)}
    assert extra == {"bridge", "man"}
    assert pixel_hashes("set14") < pixel_hashes("set14_14")


def test_the_gray_image_of_set14_is_repeated_in_three_channels() -> None:
    dataset = here("set14_14")
    try:
        bridge = dataset.load("bridge")
    except UserError:
        pytest.skip("bridge is not on this machine")
    assert bridge.shape == (512, 512, 3)
    assert (bridge[:, :, 0] == bridge[:, :, 2]).all()


def test_urban100_says_how_many_were_found(tmp_path: Path) -> None:
    folder = tmp_path / "Urban100"
    folder.mkdir()
    for name in ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png", "img_002_SRF_4_HR.png"):
        Image.new("RGB", (20, 20)).save(folder / name)
    with pytest.raises(UserError, match="2 images instead of 100"):
        kind_of("urban100")([tmp_path]).verify()


def test_training_images_are_kept_by_size_and_made_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "imagenet_val"
    folder.mkdir()
    for name, size, mode in (
        ("large", (513, 300), "RGB"),
        ("small", (400, 255), "RGB"),
        ("fits", (512, 256), "RGB"),
        ("gray", (300, 301), "L"),
        ("ink", (256, 256), "CMYK"),
    ):
        Image.new(mode, size, 77 if mode == "L" else None).save(folder / f"{name}.JPEG")
    dataset = kind_of("imagenet_val")([tmp_path])
    dataset.verify()
    assert list(dataset.images) == ["fits", "gray", "ink"]
    assert all(dataset.load(image).shape[2] == 3 for image in dataset.images)
    assert (dataset.load("gray") == 77).all()
    assert "3 of 44,328 images" in dataset.note
    before = dataset.data_hash
    (folder / "ink.JPEG").unlink()
    assert kind_of("imagenet_val")([tmp_path]).data_hash != before


def test_training_images_of_no_fitting_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "imagenet_val").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "imagenet_val" / "x.png")
    with pytest.raises(UserError, match=r"no image with both sides in 256\.\.512"):
        kind_of("imagenet_val")([tmp_path]).verify()


def test_plugins_import_nothing_heavy() -> None:
    code = (
        "import sys; from denoisebench.plugins.registry import DATASETS\n"
        "for name in DATASETS.names(): DATASETS.get(name)\n"
        "heavy = {'torch', 'pandas', 'scipy', 'skimage', 'pooch', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
