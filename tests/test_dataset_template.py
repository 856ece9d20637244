"""A folder of images becomes a data set by one command, which overwrites nothing."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import AnyFolder
from denoisebench.data.definition import define
from denoisebench.data.manifest import read_manifest
from denoisebench.plugins.dataset_template import write_dataset

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("fresh_registry")


def paint(path: Path, seed: int, mode: str = "RGB", size: tuple[int, int] = (40, 36)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three colour images."""
    for seed, name in enumerate(("ant", "bee", "cat")):
        paint(tmp_path / "data" / "pictures" / f"{name}.png", seed)
    return tmp_path / "data" / "pictures"


def test_the_files_describe_the_folder(pictures: Path) -> None:
    written = write_dataset(pictures, "zoo")
    assert written.path == pictures.parent / "zoo.toml"
    assert written.manifest == pictures.parent / "zoo.tsv"
    assert written.count == 3
    dataset = define(written.path)([])
    dataset.verify()
    assert (dataset.name, dataset.title, dataset.channels, dataset.count) == ("zoo", "zoo", 3, 3)
    assert dataset.folder == pictures
    assert dataset.note == ""
    assert dataset.data_hash == AnyFolder(pictures).data_hash
    paint(pictures / "bee.png", 9)
    with pytest.raises(UserError, match=r"bee\.png was altered"):
        define(written.path)([]).verify()


def test_files_that_an_editor_of_windows_saved_are_the_same_set(pictures: Path) -> None:
    written = write_dataset(pictures, "zoo")
    before = define(written.path)([]).data_hash
    for path in (written.path, written.manifest):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    dataset = define(written.path)([])
    dataset.verify()
    assert dataset.data_hash == before


def test_a_set_of_unknown_source_is_asked_for_in_a_whole_sentence(pictures: Path) -> None:
    written = write_dataset(pictures, "zoo")
    pictures.rename(pictures.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"Get it from its makers \(not stated\) and put the files into"):
        define(written.path)([]).verify()


def test_the_name_is_that_of_the_folder_if_none_is_given(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)
    assert write_dataset(Path(".")).path == pictures.parent / "pictures.toml"


def test_manifests_go_into_the_folder_that_is_there_for_them(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "sets" / "manifests").mkdir(parents=True)
    written = write_dataset(pictures, "zoo", tmp_path / "sets")
    assert written.path == tmp_path / "sets" / "zoo.toml"
    assert written.manifest == tmp_path / "sets" / "manifests" / "zoo.tsv"
    define(written.path)([pictures.parent]).verify()


@pytest.mark.parametrize("clean", ["clean", "gt"])
def test_pairs_are_known_by_their_folders(clean: str, tmp_path: Path) -> None:
    for seed, name in enumerate(("noisy/a.png", "noisy/b.png", f"{clean}/a.png", f"{clean}/b.png")):
        paint(tmp_path / "real" / name, seed, "L")
    written = write_dataset(tmp_path / "real")
    dataset = define(written.path)([])
    dataset.verify()
    assert dataset.real
    assert (dataset.channels, dataset.count, list(dataset.images)) == (1, 2, ["a", "b"])
    files = {entry.file for entry in read_manifest(written.manifest)}
    assert files == {"noisy/a.png", "noisy/b.png", f"{clean}/a.png", f"{clean}/b.png"}
    assert "--noise real" in written.command


def test_several_captures_of_an_image_are_refused(tmp_path: Path) -> None:
    real = tmp_path / "real"
    paint(real / "noisy" / "a" / "1.png", 0)
    paint(real / "noisy" / "a" / "2.png", 1)
    paint(real / "clean" / "a.png", 2)
    with pytest.raises(UserError, match=r"Image 'a' of .* has several captures; a manifest is made of pairs"):
        write_dataset(real)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real"]


def test_a_capture_without_a_partner_is_refused(tmp_path: Path) -> None:
    for seed, name in enumerate(("noisy/a.png", "noisy/b.png", "clean/a.png")):
        paint(tmp_path / "real" / name, seed)
    with pytest.raises(UserError, match=r"Without a clean image: 1 capture \(.*b\.png"):
        write_dataset(tmp_path / "real")
    assert [path.name for path in tmp_path.iterdir()] == ["real"]


@pytest.mark.parametrize(
    ("ending", "words"), [("png", ", but data set 'real' has 1"), ("bmp", " and others 1")], ids=["png", "bmp"]
)
def test_pairs_of_gray_and_colour_are_refused(ending: str, words: str, tmp_path: Path) -> None:
    for seed, name in enumerate((f"noisy/a.{ending}", f"clean/a.{ending}")):
        paint(tmp_path / "real" / name, seed, "L" if seed else "RGB")
    with pytest.raises(UserError, match=rf"noisy/a\.{ending} has 3 channels{words}"):
        write_dataset(tmp_path / "real")
    assert [path.name for path in tmp_path.iterdir()] == ["real"]


@pytest.mark.parametrize("name", ["zoo.toml", "zoo.tsv"])
def test_nothing_is_overwritten(name: str, pictures: Path) -> None:
    (pictures.parent / name).write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=rf"{name} exists, and nothing is overwritten\. Choose another --name or --out"):
        write_dataset(pictures, "zoo")
    assert (pictures.parent / name).read_text(encoding="utf-8") == "mine"
    assert {path.name for path in pictures.parent.iterdir()} == {"pictures", name}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kodak", r"The data set name 'kodak' is taken \(built in\)\. Choose another with --name"),
        ("a b", r"Data set name 'a b' is not allowed: .*Choose one with --name"),
        ("../x", "is not allowed"),
        ("", "Data set name '' is not allowed"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, words: str, pictures: Path) -> None:
    with pytest.raises(UserError, match=words):
        write_dataset(pictures, name)


def test_folders_that_are_not_there_are_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent does not exist\. Give one that holds images"):
        write_dataset(tmp_path / "absent")
    with pytest.raises(UserError, match=r"absent does not exist\. Make it, or choose another one with --out"):
        write_dataset(pictures, "zoo", tmp_path / "absent")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
@pytest.mark.parametrize("name", ["a\nb.png", "a:b.png", "#a.png", "a\tb.png", os.fsdecode(b"a\xffb.png")])
def test_a_file_name_that_no_manifest_can_hold_is_refused(name: str, pictures: Path) -> None:
    (pictures / "ant.png").rename(pictures / name)
    with pytest.raises(UserError, match="cannot stand in a manifest"):
        write_dataset(pictures)
    assert [path.name for path in pictures.parent.iterdir()] == ["pictures"]


def test_the_command_says_what_to_do_next_and_that_works(command: Command, pictures: Path, tmp_path: Path) -> None:
    ran = command("data", "manifest", pictures, "--name", "zoo")
    assert ran.code == 0, ran.err
    wrote, last = ran.out.splitlines()
    assert str(pictures.parent / "zoo.toml") in wrote
    assert "(3 images)" in wrote
    assert "source and licence" in wrote
    words = shlex.split(last)
    assert words[:2] == ["denoisebench", "run"]
    ran = command(*words[1:], "--methods", "identity", "--out", tmp_path / "o")
    assert ran.code == 0, ran.err
    assert "mean of 3 scored images" in ran.out
    status = command("data", "status", "zoo", "--plugin", pictures.parent / "zoo.toml").out
    assert status.startswith("present  zoo")
    assert "3 colour images." in status
    again = command("data", "manifest", pictures, "--name", "zoo")
    assert again.code == 2
    assert again.err.startswith("Error: File ")


def test_a_file_elsewhere_is_used_with_the_folder_of_the_data(command: Command, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    words = shlex.split(command("data", "manifest", pictures, "--out", tmp_path / "sets").out.splitlines()[1])
    ran = command(*words[1:], "--methods", "identity", "--out", tmp_path / "o", "--workers", 1)
    assert ran.code == 0, ran.err


def test_a_wrong_data_set_file_is_one_sentence(command: Command, tmp_path: Path) -> None:
    (tmp_path / "zoo.toml").write_text('kind = "images"\ntitel = "Zoo"\n', encoding="utf-8")
    ran = command("run", "--plugin", tmp_path / "zoo.toml", "--datasets", "zoo")
    assert ran.code == 2
    assert "zoo.toml 'titel'. Did you mean 'title'?" in ran.err
    assert "Traceback" not in ran.err
