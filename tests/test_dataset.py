"""A data set that is not what it claims to be is told apart, each way in its own words."""

from __future__ import annotations

import hashlib
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import (
    DATA_VARIABLE,
    AnyFolder,
    Archive,
    FolderSet,
    MissingData,
    cache_root,
    data_roots,
    package_roots,
)
from denoisebench.data.manifest import Entry, entry_of, read_manifest, write_manifest
from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.images import list_images

NAMES = ("ant", "bee", "cat")


def paint(path: Path, seed: int, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> None:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with one complete set in the folder 'zoo'."""
    (tmp_path / "zoo").mkdir()
    for seed, name in enumerate(NAMES):
        paint(tmp_path / "zoo" / f"{name}.png", seed)
    return tmp_path


@pytest.fixture
def zoo(root: Path) -> type[FolderSet]:
    """The data set of that folder, with a manifest made before a test spoils anything."""
    listing = root / "zoo.tsv"
    write_manifest(listing, [entry_of(path) for path in list_images(root / "zoo")], "three animals\nfor tests")

    class Zoo(FolderSet):
        name = "zoo"
        title = "Zoo"
        channels = 3
        source = "the zoo's page"
        folders = ("zoo", "Zoo")
        manifest = listing
        count = 3
        how = "Ask the keeper."
        archive = Archive("http://127.0.0.1/zoo.tgz", None, "*.png", "1 MB")

    return Zoo


def test_a_complete_set_passes_and_loads(zoo: type[FolderSet], root: Path) -> None:
    dataset = zoo([root / "elsewhere", root])
    dataset.verify()
    assert list(dataset.images) == list(NAMES)
    assert dataset.folder == root / "zoo"
    assert dataset.note == ""
    np.testing.assert_array_equal(dataset.load("bee"), np.asarray(Image.open(root / "zoo" / "bee.png")))


def test_an_unknown_image_is_answered_with_the_nearest(zoo: type[FolderSet], root: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'bee'"):
        zoo([root]).load("been")


def test_a_set_that_is_not_here_says_where_to_get_and_put_it(zoo: type[FolderSet], tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    with pytest.raises(MissingData) as caught:
        zoo([first, second]).verify()
    message = str(caught.value)
    for place in (first / "zoo", first / "Zoo", second / "zoo", second / "Zoo"):
        assert str(place) in message
    assert "from the zoo's page" in message
    assert f"put the files into {first / 'zoo'}" in message
    assert "Ask the keeper." in message
    assert "--data-root" in message
    assert DATA_VARIABLE in message
    assert "denoisebench data fetch zoo" in message


def lose(folder: Path) -> None:
    (folder / "bee.png").unlink()


def add(folder: Path) -> None:
    paint(folder / "dog.png", 9)


def alter(folder: Path) -> None:
    pixels = np.array(Image.open(folder / "bee.png"))
    pixels[3, 4, 1] ^= 1
    Image.fromarray(pixels).save(folder / "bee.png")


def resize(folder: Path) -> None:
    paint(folder / "bee.png", 1, (14, 20))


def bleach(folder: Path) -> None:
    paint(folder / "bee.png", 1, mode="L")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose, r"'zoo' in .*zoo lacks 1 of 3 images: bee\. Get them from the zoo's page"),
        (add, r"'zoo' in .*zoo has 1 image too many: dog\.png\. Move them away"),
        (alter, r"bee\.png was altered: its pixels are not those of data set 'zoo'"),
        (resize, r"bee\.png has the wrong size .*: 14x20 with 3 channels instead of 20x14 with 3"),
        (bleach, r"bee\.png has the wrong size .*: 20x14 with 1 channels instead of 20x14 with 3"),
    ],
)
def test_each_fault_has_its_own_message(
    spoil: Callable[[Path], None], message: str, zoo: type[FolderSet], root: Path
) -> None:
    spoil(root / "zoo")
    with pytest.raises(UserError, match=message):
        zoo([root]).verify()


def test_a_shared_folder_may_hold_more(zoo: type[FolderSet], root: Path) -> None:
    add(root / "zoo")
    shared = type("Shared", (zoo,), {"shared": True})([root])
    shared.verify()
    assert list(shared.images) == list(NAMES)


def test_the_same_pixels_under_another_extension_are_accepted(zoo: type[FolderSet], root: Path) -> None:
    before = zoo([root])
    clean = before.load("cat")
    Image.open(root / "zoo" / "cat.png").save(root / "zoo" / "cat.bmp")
    (root / "zoo" / "cat.png").unlink()
    after = zoo([root])
    after.verify()
    np.testing.assert_array_equal(after.load("cat"), clean)
    assert after.data_hash == before.data_hash


def test_a_recompressed_file_of_the_same_pixels_is_accepted(zoo: type[FolderSet], root: Path) -> None:
    path = root / "zoo" / "ant.png"
    image = Image.open(path).copy()
    before = path.read_bytes()
    image.save(path, compress_level=0)
    assert path.read_bytes() != before
    zoo([root]).verify()


def test_the_data_hash_knows_the_pixels_and_the_names(root: Path) -> None:
    before = AnyFolder(root / "zoo").data_hash
    shutil.copytree(root / "zoo", root / "copy")
    assert AnyFolder(root / "copy").data_hash == before
    (root / "copy" / "ant.png").rename(root / "copy" / "ape.png")
    assert AnyFolder(root / "copy").data_hash != before
    alter(root / "zoo")
    assert AnyFolder(root / "zoo").data_hash != before


def test_without_a_manifest_only_the_number_is_checked_and_said_so(zoo: type[FolderSet], root: Path) -> None:
    loose = type("Loose", (zoo,), {"manifest": None})
    alter(root / "zoo")
    dataset = loose([root])
    dataset.verify()
    assert dataset.note.startswith("Data set 'zoo' is unverified: 3 of 3 images found")
    lose(root / "zoo")
    with pytest.raises(UserError, match=r"incomplete or another version: 2 images instead of 3\. Get all"):
        loose([root]).verify()


def test_any_folder_is_taken_as_it_is(root: Path) -> None:
    dataset = AnyFolder(root / "zoo")
    dataset.verify()
    assert (dataset.name, dataset.channels, list(dataset.images)) == ("zoo", 3, list(NAMES))
    assert dataset.load("ant").shape == (14, 20, 3)
    taken = f"The images of folder {root / 'zoo'} are taken as clean references: of noisy ones, scores mean nothing."
    assert (dataset.advice, dataset.note) == (taken, "")


def test_any_folder_of_gray_images_is_gray(tmp_path: Path) -> None:
    paint(tmp_path / "x.png", 0, mode="L")
    dataset = AnyFolder(tmp_path)
    assert dataset.channels == 1
    assert dataset.load("x").shape == (14, 20, 1)


def test_a_mixed_folder_is_refused_with_an_example_of_each(root: Path) -> None:
    paint(root / "zoo" / "fog.png", 5, mode="L")
    with pytest.raises(UserError, match=r"mixes gray and colour images \(gray: fog\.png; colour: ant\.png\)"):
        AnyFolder(root / "zoo")


def test_two_images_of_one_name_are_refused(root: Path) -> None:
    paint(root / "zoo" / "ant.bmp", 5)
    with pytest.raises(UserError, match="several images named 'ant'; names must be unique"):
        AnyFolder(root / "zoo")


def test_an_empty_or_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no image"):
        AnyFolder(tmp_path)
    with pytest.raises(UserError, match="gone does not exist"):
        AnyFolder(tmp_path / "gone")


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    entries = [Entry("a b.png", 3, 4, 1, "aa", "bb"), Entry("ü.jpg", 5, 6, 3, "cc", "dd")]
    write_manifest(tmp_path / "m.tsv", entries, "made by hand\nof nothing")
    assert read_manifest(tmp_path / "m.tsv") == entries
    assert (tmp_path / "m.tsv").read_text(encoding="utf-8").startswith("# made by hand\n# of nothing\nfile\t")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "damaged: expected columns file, width, height"),
        (lambda text: text.replace("width", "breadth"), "damaged: expected columns file, width, height"),
        (lambda text: text.rsplit("\t", 1)[0], r"damaged in \['cat\.png'"),
        (lambda text: text.replace("\t20\t", "\twide\t"), r"damaged in \['ant\.png', 'wide'"),
        (lambda text: text.replace("bee.png", "cat.bmp"), "several images named 'cat'"),
    ],
)
def test_a_damaged_manifest_is_refused(
    change: Callable[[str], str], message: str, zoo: type[FolderSet], root: Path
) -> None:
    assert zoo.manifest is not None
    zoo.manifest.write_text(change(zoo.manifest.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        zoo([root]).verify()
    assert str(zoo.manifest) in str(caught.value)


def test_a_lost_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"m\.tsv does not exist; put it back"):
        read_manifest(tmp_path / "m.tsv")


def test_the_roots_are_the_option_or_the_variable_and_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert data_roots() == [tmp_path, cache_root()]
    assert data_roots(tmp_path / "x") == [tmp_path / "x"]
    monkeypatch.delenv(DATA_VARIABLE)
    assert data_roots() == [cache_root()]


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(MissingData, match="'no_such_package_here', which carries these images"):
        package_roots("no_such_package_here")


# --- what is used is what was hashed, and nothing is left out without a word ---


def test_an_image_that_is_replaced_after_it_was_hashed_is_refused(zoo: type[FolderSet], root: Path) -> None:
    own, known = AnyFolder(root / "zoo"), zoo([root])
    known.verify()
    alter(root / "zoo")
    with pytest.raises(UserError, match=r"bee\.png was changed while this run used it"):
        own.load("bee")
    with pytest.raises(UserError, match=r"bee\.png was altered: its pixels are not those of data set 'zoo'"):
        known.load("bee")
    assert own.load("ant").shape == (14, 20, 3)


def test_the_same_pixels_in_other_bytes_are_no_change(root: Path) -> None:
    own = AnyFolder(root / "zoo")
    before = own.load("ant")
    Image.fromarray(before).save(root / "zoo" / "ant.png", compress_level=0)
    np.testing.assert_array_equal(own.load("ant"), before)


def test_a_listed_file_is_hashed_before_it_is_decoded(
    zoo: type[FolderSet], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = hashlib.sha256

    def hashed(data: bytes) -> object:
        order.append("hash")
        return real(data)

    def decoded(data: bytes, path: Path) -> np.ndarray:
        order.append("decode")
        return np.zeros(1)

    monkeypatch.setattr("denoisebench.data.dataset.hashlib.sha256", hashed)
    monkeypatch.setattr("denoisebench.data.dataset.decode_image", decoded)
    zoo([root])._pixels(root / "zoo" / "ant.png", zoo([root]).entries[0])
    assert order == ["hash", "decode"]


def test_of_two_files_of_one_image_neither_is_picked(zoo: type[FolderSet], root: Path) -> None:
    for suffix in ("bmp", "tif"):
        Image.open(root / "zoo" / "cat.png").save(root / "zoo" / f"cat.{suffix}")
    zoo([root]).verify()
    (root / "zoo" / "cat.png").unlink()
    with pytest.raises(UserError, match=r"several files for its image 'cat', and none named cat.png: cat.bmp, cat.tif"):
        zoo([root]).verify()


def test_what_lies_beside_the_images_is_named(root: Path) -> None:
    folder = root / "zoo"
    (folder / "notes.txt").touch()
    paint(folder / "gnu.png", 7)
    (folder / "gnu.png").rename(folder / "gnu.gif")
    (folder / "more").mkdir()
    for name in (".DS_Store", "._ant.png", "Thumbs.db", "desktop.ini"):
        (folder / name).touch()
    data = AnyFolder(folder)
    assert list(data.images) == list(NAMES)
    assert data.note.endswith("zoo also holds gnu.gif, more/, notes.txt (3 in all), which is not used.")


def test_turned_images_are_named(root: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.open(root / "zoo" / "ant.png").save(root / "zoo" / "ant.png", exif=exif)
    data = AnyFolder(root / "zoo")
    assert data.load("ant").shape == (20, 14, 3)
    assert data.note.split(". ")[-1] == "Turned as the orientation in the metadata says: 1 image (ant.png)."


def test_a_folder_of_noisy_images_alone_is_sent_to_the_commands_for_it(root: Path) -> None:
    (root / "mine" / "noisy").mkdir(parents=True)
    paint(root / "mine" / "noisy" / "a.png", 1)
    with pytest.raises(UserError, match=r"neither clean/ nor gt/.*denoisebench rank and denoise"):
        find_dataset(str(root / "mine"), [])
    # Beside images of its own it is one more folder that is not used.
    paint(root / "mine" / "b.png", 2)
    assert isinstance(find_dataset(str(root / "mine"), []), AnyFolder)


def test_an_id_does_not_depend_on_the_system_that_wrote_the_name(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "zelle_ä") for form in ("NFC", "NFD"))
    paint(tmp_path / f"{apart}.png", 0)
    assert list(AnyFolder(tmp_path).images) == [composed]
    assert AnyFolder(tmp_path).load(composed).shape == (14, 20, 3)
    paint(tmp_path / f"{composed}.png", 0)
    with pytest.raises(UserError, match="several images named"):
        AnyFolder(tmp_path)
