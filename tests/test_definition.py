"""A data set that is only data: its TOML file is read, checked, and made a class like any other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.data.captures import PairSet
from denoisebench.data.dataset import Archive, FolderSet, MissingData
from denoisebench.data.definition import KINDS, define, parse
from denoisebench.data.manifest import entry_of, write_manifest
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.registry import DATASETS

ZOO = """\
title = "Zoo"
summary = "Three animals."
description = '''
Painted at random,
for tests.'''
kind = "images"
channels = 3
count = 3
repeats = 2
folders = ["zoo", "Zoo"]
source = "the zoo's page"
licence = "CC0"
"""
DOWNLOAD = '\n[download]\naddress = "http://127.0.0.1/{file}"\nsize = "1 MB"\nfiles = ["ant.png"]\n'
PAIRS = ZOO.replace('"images"', '"pairs"')


def paint(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (14, 20, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


def zoo(tmp_path: Path, more: str = "", name: str = "zoo") -> type[FolderSet]:
    path = tmp_path / f"{name}.toml"
    path.write_text(ZOO + more, encoding="utf-8")
    return define(path)


def refused(text: str) -> str:
    """The one sentence with which a file of this text is refused."""
    with pytest.raises(UserError) as caught:
        parse(Path("zoo.toml"), text)
    message = str(caught.value)
    assert "zoo.toml" in message
    assert "\n" not in message
    return message


def test_the_keys_are_the_attributes_of_the_class(tmp_path: Path) -> None:
    kind = zoo(tmp_path, 'manifest = "lists/zoo.tsv"\nglob = "*.png"\nhow = "Ask."\nshared = true\n' + DOWNLOAD)
    assert issubclass(kind, FolderSet)
    assert (kind.name, kind.title, kind.summary) == ("zoo", "Zoo", "Three animals.")
    assert kind.description == "Painted at random, for tests."
    assert (kind.channels, kind.count, kind.paper_repeats, kind.folders) == (3, 3, 2, ("zoo", "Zoo"))
    assert (kind.source, kind.licence, kind.how, kind.shared) == ("the zoo's page", "CC0", "Ask.", True)
    assert kind.manifest == tmp_path / "lists" / "zoo.tsv"
    assert kind.archive == Archive("http://127.0.0.1/{file}", None, "", "1 MB", files=("ant.png",))
    assert not kind.real


def test_a_minimal_file_leaves_the_rest_as_the_class_has_it(tmp_path: Path) -> None:
    kind = zoo(tmp_path)
    plain: Any = FolderSet
    for attribute in ("traps", "how", "shared", "manifest", "archive", "glob", "package", "training", "scoring"):
        assert getattr(kind, attribute) == getattr(plain, attribute)


def test_the_same_file_is_one_class(tmp_path: Path) -> None:
    assert zoo(tmp_path) is zoo(tmp_path)


def test_data_are_found_below_the_roots_first_and_then_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    kind = zoo(tmp_path / "sets")
    with pytest.raises(MissingData, match=r"root/zoo, .*root/Zoo, .*sets/zoo, .*sets/Zoo\. Get it from the zoo's page"):
        kind([tmp_path / "root"]).verify()
    paint(tmp_path / "sets" / "zoo" / "ant.png", 0)
    assert kind([tmp_path / "root"]).folder == tmp_path / "sets" / "zoo"
    paint(tmp_path / "root" / "Zoo" / "ant.png", 0)
    assert kind([tmp_path / "root"]).folder == tmp_path / "root" / "Zoo"


def test_a_manifest_beside_the_file_is_checked(tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        paint(tmp_path / "zoo" / f"{name}.png", seed)
    write_manifest(tmp_path / "zoo.tsv", [entry_of(path) for path in sorted((tmp_path / "zoo").iterdir())])
    dataset = zoo(tmp_path, 'manifest = "zoo.tsv"\n')([])
    dataset.verify()
    assert list(dataset.images) == ["a", "b", "c"]
    paint(tmp_path / "zoo" / "b.png", 7)
    with pytest.raises(UserError, match=r"b\.png was altered: its pixels are not those of data set 'zoo'"):
        dataset.verify()


def test_a_pattern_picks_images_and_all_count_where_none_fits(tmp_path: Path) -> None:
    for name in ("a_HR.png", "a_LR.png", "b_HR.png"):
        paint(tmp_path / "zoo" / name, 0)
    assert list(zoo(tmp_path, 'glob = "*_HR.*"\n')([]).images) == ["a_HR", "b_HR"]
    assert len(zoo(tmp_path, 'glob = "*_XR.*"\n', "other")([]).images) == 3


def test_pairs_belong_together_by_the_group_of_a_pattern(tmp_path: Path) -> None:
    for seed, name in enumerate(("noisy/a_1.png", "noisy/b_2.png", "gt/a_9.png", "gt/b_9.png")):
        paint(tmp_path / "zoo" / name, seed)
    text = PAIRS.replace("count = 3", "count = 2") + 'id = "([^_]*)_.*"\nclean-folder = "gt"\n'
    (tmp_path / "zoo.toml").write_text(text, encoding="utf-8")
    dataset = define(tmp_path / "zoo.toml")([])
    assert isinstance(dataset, PairSet)
    dataset.verify()
    assert list(dataset.images) == ["a", "b"]
    np.testing.assert_array_equal(dataset.capture("b", 0), np.asarray(Image.open(tmp_path / "zoo/noisy/b_2.png")))


@pytest.mark.parametrize(
    ("name", "file", "image"),
    [
        ("polyu", "Canon5D2_real", "Canon5D2"),
        ("polyu", "Canon5D2_5_160_6400_circuit_11_mean", "Canon5D2_5_160_6400_circuit_11"),
        ("sidd_srgb", "0032_CL", "0032"),
        ("sidd_srgb", "0032", "0032"),
        ("fmdd_pairs", "gt_Confocal_FISH_3", "Confocal_FISH_3"),
        ("fmdd_pairs", "mice", "mice"),
    ],
)
def test_the_ids_of_built_in_pairs(name: str, file: str, image: str) -> None:
    dataset = DATASETS.get(name)
    assert issubclass(dataset, PairSet)
    assert dataset([]).key(file) == image


# --- to other processes ---


def test_instances_are_pickled_with_what_they_know(tmp_path: Path) -> None:
    paint(tmp_path / "zoo" / "ant.png", 0)
    dataset = zoo(tmp_path)([])
    images = dataset.images
    copy = pickle.loads(pickle.dumps(dataset))
    assert type(copy) is type(dataset)
    assert copy.__dict__ == dataset.__dict__
    assert copy.images == images


@pytest.mark.parametrize("built_in", [True, False])
def test_another_process_finds_the_class_without_a_registry(built_in: bool, tmp_path: Path) -> None:
    dataset = find_dataset("set12", [tmp_path]) if built_in else zoo(tmp_path)([])
    assert isinstance(dataset, FolderSet)
    (tmp_path / "pickled").write_bytes(pickle.dumps(dataset))
    code = (
        "import pickle, sys, pathlib\n"
        f"dataset = pickle.loads(pathlib.Path({str(tmp_path / 'pickled')!r}).read_bytes())\n"
        "assert 'denoisebench.plugins.registry' not in sys.modules; print(dataset.name, dataset.count, dataset._roots)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == f"{dataset.name} {dataset.count} {dataset._roots}\n", run.stderr


def test_a_built_in_set_is_pickled_by_its_place_in_the_package(tmp_path: Path) -> None:
    """The package may be installed elsewhere on the other machine."""
    assert str(Path(__file__).parents[1]).encode() not in pickle.dumps(find_dataset("set12", [tmp_path]))


# --- what is refused ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count", "cout", "Unknown key of a data set of kind 'images' in zoo.toml 'cout'. Did you mean 'count'?"),
        ('"images"', '"image"', "Unknown kind of data set in zoo.toml 'image'. Did you mean 'images'?"),
        ('kind = "images"', "", "zoo.toml: kind is missing; it must be one of images, pairs, fmdd-test"),
        ('kind = "images"', "kind = []", "zoo.toml: kind must be text, not []."),
        ("count = 3", 'count = "3"', "zoo.toml: count must be a whole number, not '3'."),
        ("count = 3", "count = true", "zoo.toml: count must be a whole number, not True."),
        ("count = 3", "count = 3.0", "zoo.toml: count must be a whole number, not 3.0."),
        ("count = 3", "count = 0", "zoo.toml: count must be from 1 to 10,000,000."),
        ("repeats = 2", "repeats = -1", "zoo.toml: repeats must be from 1 to 10,000."),
        ("channels = 3", "channels = 4", "zoo.toml: channels must be 1 (gray) or 3 (colour)."),
        ('title = "Zoo"', "title = 1", "zoo.toml: title must be text, not 1."),
        ('title = "Zoo"', 'title = ""', "zoo.toml: title must not be empty."),
        ('title = "Zoo"', "", "zoo.toml: title missing; see the files of other data sets."),
        ('licence = "CC0"', "", "zoo.toml: licence missing"),
        ('["zoo", "Zoo"]', '"zoo"', "zoo.toml: folders must be a list of texts, not 'zoo'."),
        ('["zoo", "Zoo"]', '["zoo", 1]', "zoo.toml: folders must be a list of texts, not ['zoo', 1]."),
        ('["zoo", "Zoo"]', "[]", "zoo.toml: folders must not be empty."),
        ('"CC0"', '"\\u001b[2J"', "zoo.toml: licence holds characters that cannot be printed."),
        ('"CC0"', '"CC0', "zoo.toml is no TOML: Illegal character"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_file(old: str, new: str, words: str) -> None:
    assert old in ZOO
    assert words in refused(ZOO.replace(old, new))


TABLE = '[download]\nsize = "1 MB"\n'


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('shared = "yes"', "shared must be true or false, not 'yes'."),
        ("glob = 1", "glob must be text, not 1."),
        ('package = "a.b"', "package must be the name of an installed package."),
        ('id = "x"', "Unknown key of a data set of kind 'images' in zoo.toml 'id'."),
        ("download = 1", "download must be a table, not 1."),
        (TABLE, "[download] lacks address."),
        (f'{TABLE}address = "http://a/b"\nurl = "x"', "Unknown key of [download] in zoo.toml 'url'."),
        (f'{TABLE}address = "http://a/b.zip"', "[download] needs members"),
        (f'{TABLE}address = "http://a/{{file}}"', "[download] needs files, or the data set a manifest"),
        (f'{TABLE}address = "http://a/b"\nsha256 = "A"', "sha256 must be 64 hexadecimal"),
    ],
)
def test_more_keys_are_checked_alike(more: str, words: str) -> None:
    assert words in refused(f"{ZOO}{more}\n")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "is no regular expression"),
        ("a", "must be a regular expression with one group"),
        ("(a)(b)", "must be a regular expression with one group"),
    ],
)
def test_a_pattern_for_ids_has_one_group(pattern: str, words: str) -> None:
    assert f"zoo.toml: id {words}" in refused(f'{PAIRS}id = "{pattern}"\n')


@pytest.mark.parametrize("place", ["/etc", "..", "a/../../b", "C:/x", "~/x/..", "a\\\\b", "", "./a"])
def test_no_file_leads_outside_the_searched_folders(place: str) -> None:
    words = "must be a path below its folder"
    assert f"folders {words}" in refused(ZOO.replace('"zoo", ', f'"{place}", '))
    assert f"manifest {words}" in refused(f'{ZOO}manifest = "{place}"\n')
    assert f"clean-folder {words}" in refused(f'{PAIRS}clean-folder = "{place}"\n')
    assert f"files {words}" in refused(ZOO + DOWNLOAD.replace("ant.png", place))


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://a b", "http://a/{0}/{file}", "http://a/{file.x}", ""]
)
def test_an_address_is_one_of_the_web(address: str) -> None:
    text = refused(ZOO + DOWNLOAD.replace("http://127.0.0.1/{file}", address))
    assert "zoo.toml: address must begin with http:// or https:// and have no braces but {file}." in text


def test_an_address_names_a_file() -> None:
    text = DOWNLOAD.replace("http://127.0.0.1/{file}", "http://127.0.0.1/..") + 'members = "*"\n'
    assert "address must be a path below its folder" in refused(ZOO + text)


def test_a_name_must_fit_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Data set name 'a,b' is not allowed: use letters, digits, _ and -\."):
        zoo(tmp_path, name="a,b")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for data, words in ((b"title = '\xff'", "is damaged: 'utf-8' codec"), (b"#" * 2**21, "")):
        (tmp_path / "zoo.toml").write_bytes(data)
        with pytest.raises(UserError, match=rf"^Data set file .*zoo\.toml {words}"):
            define(tmp_path / "zoo.toml")
    for kind in (Path.mkdir, os.mkfifo) if hasattr(os, "mkfifo") else (Path.mkdir,):
        kind(tmp_path / f"{kind.__name__}.toml")
        with pytest.raises(UserError, match=rf"^Data set file .*{kind.__name__}\.toml"):
            define(tmp_path / f"{kind.__name__}.toml")


def test_a_table_without_end_is_no_traceback() -> None:
    assert "zoo.toml is no TOML" in refused("a = " + "[" * 100_000)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_class_that_has_its_keys(kind: str) -> None:
    base = KINDS[kind].base
    assert issubclass(base, FolderSet)
    assert any(define_kind(name) is base for name in DATASETS.names())


def define_kind(name: str) -> type:
    return DATASETS.get(name).__mro__[1]
