"""The store keeps what it was given, whole or not at all."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denoisebench.core import files
from denoisebench.core.errors import UserError, UserErrors
from denoisebench.core.files import CannotWrite, sealed
from denoisebench.protocol.protocol import Row
from denoisebench.results.store import Store, StoredCell

ROW = Row("im0", 0, 20.125, 0.5, 0.25, 25 / 255)


IDENTITY = {
    "method": "toy",
    "protocol": {"dataset": "set", "data_hash": "ab", "noise": "gauss25", "draws": "counter-0", "padding": "side"},
}
ABOUT = {
    "text": "toy", "label": "Töy σ", "told": [], "baseline": False, "protocol": "ab", "noise_title": "Gaussian",
    "dataset_title": "Set", "training": "", "warnings": [], "written": "2026-01-01",
}  # fmt: skip


def cell(**identity: object) -> StoredCell:
    rows = [ROW, ROW._replace(image="im1", psnr=1 / 3), ROW._replace(repeat=1, ssim=math.pi / 4)]
    return StoredCell({**IDENTITY, **identity}, dict(ABOUT), {(row.image, row.repeat): row for row in rows})


def test_a_cell_reads_back_as_it_was_written(tmp_path: Path) -> None:
    store, written = Store(tmp_path), cell()
    store.write(written)
    assert store.read(written.identity) == written
    assert store.all() == [written]
    assert list(store.read(written.identity).rows) == list(written.rows)


def test_a_cell_that_was_never_written_is_empty(tmp_path: Path) -> None:
    found = Store(tmp_path).read({"method": "toy"})
    assert found == StoredCell({"method": "toy"})
    assert list(Store(tmp_path).all()) == []


def test_a_perfect_score_survives_and_the_file_is_plain_json(tmp_path: Path) -> None:
    store, perfect = Store(tmp_path), cell()
    perfect.rows["im0", 0] = ROW._replace(psnr=math.inf)
    store.write(perfect)
    assert store.read(perfect.identity).rows["im0", 0].psnr == math.inf

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    (path,) = store.cells.iterdir()
    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_address_depends_on_the_identity_alone_and_not_on_its_order() -> None:
    one = StoredCell({"a": 1, "b": {"c": [1.5, None], "d": True}})
    other = StoredCell({"b": {"d": True, "c": [1.5, None]}, "a": 1}, {"label": "x"}, {("im0", 0): ROW})
    assert one.key == other.key
    assert len(one.key) == 16
    assert one.key != StoredCell({"a": 2, "b": {"c": [1.5, None], "d": True}}).key
    assert one.key != StoredCell({"a": 1, "b": {"c": [1.5], "d": True}}).key


def test_different_identities_live_side_by_side(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(cell(seed=0))
    store.write(cell(seed=1))
    assert [stored.identity["seed"] for stored in store.all()] in ([0, 1], [1, 0])


def test_more_rows_go_into_the_same_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(cell())
    again = store.read(cell().identity)
    again.rows["im9", 3] = ROW._replace(image="im9", repeat=3)
    store.write(again)
    assert len(list(store.cells.iterdir())) == 1
    assert list(store.read(cell().identity).rows) == [("im0", 0), ("im1", 0), ("im0", 1), ("im9", 3)]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write(cell())

    original = Path.open

    class Half:
        """A file that takes half of what it is given."""

        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __enter__(self) -> Half:
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

        def write(self, data: bytes) -> None:
            self.stream.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

    def crash(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        stream = original(path, mode, *more, **options)
        return Half(stream) if "x" in mode else stream

    monkeypatch.setattr(Path, "open", crash)
    more = cell()
    more.rows["im9", 0] = ROW._replace(image="im9")
    with pytest.raises(CannotWrite, match=r"No space left on device.*intact"):
        store.write(more)
    assert store.read(cell().identity) == cell()
    assert store.all() == [cell()]
    assert len(list(store.cells.iterdir())) == 1, "half a file would take room on a full disk"


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[str, str]] = []
    original = Path.replace

    def watch(self: Path, target: Path) -> Path:
        assert self.read_text(encoding="utf-8") == "new text"
        assert self.parent == target.parent, "a rename is atomic only within one file system"
        moves.append((self.name, target.name))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    files.write_text(tmp_path / "a.txt", "new text")
    assert [target for _, target in moves] == ["a.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def resealed(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    """A change of the content by somebody who knows how checksums are made."""

    def damage(text: str) -> str:
        data = json.loads(text)
        change(data)
        return sealed({name: data[name] for name in data if name not in ("format", "sha256")}, data["format"])

    return damage


FOREIGN: dict[str, Callable[[dict[str, Any]], object]] = {
    "of another cell": lambda data: data["identity"].update(seed=9),
    "rows gone": lambda data: data.pop("rows"),
    "no objects": lambda data: data.update(rows={}),
    "a strange value": lambda data: data["rows"][0].update(mood="good"),
    "no score": lambda data: data["rows"][0].update(psnr=None),
    "a true score": lambda data: data["rows"][0].update(psnr=True),
    "a text": lambda data: data["rows"][0].update(ssim="0.9"),
    "a score beyond all bounds": lambda data: data["rows"][0].update(psnr=1e308),
    "an age beyond all bounds": lambda data: data["rows"][0].update(seconds=1e308),
    "a count beyond all bounds": lambda data: data["rows"][0].update(steps=2**60),
    "half an image": lambda data: data["rows"][0].update(repeat=0.5),
    "twice": lambda data: data["rows"].append(data["rows"][0]),
    "a future format": lambda data: data.update(format=3),
}
DAMAGES: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[:50],
    "empty": lambda text: "",
    "no object": lambda text: "[1]",
    "another score": lambda text: text.replace("20.125", "21.125"),
    "stripped": lambda text: text.replace('"sha256"', '"sha"'),
    "claimed old": lambda text: text.replace('"format": 2', '"format": 1'),
    **{name: resealed(change) for name, change in FOREIGN.items()},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_file_is_left_out_of_reports_and_moved_aside_by_a_run(
    damage: Callable[[str], str], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    store.write(cell())
    store.write(cell(seed=1))
    path = store.cells / f"{cell().key}.json"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert store.all() == [cell(seed=1)]
    (said,) = store.damaged
    assert str(path) in said
    assert said.endswith("It is left out.")
    assert store.read(cell().identity) == StoredCell(cell().identity)
    (moved,) = store.moved
    assert "computed again" in moved
    assert [kept.name for kept in (store.cells / "damaged").iterdir()] == [path.name]
    assert store.all() == [cell(seed=1)]
    assert store.damaged == []
    # A second damage of the same cell does not overwrite what was kept of the first.
    path.write_bytes(b"\xff\xfe\x00")
    store.read(cell().identity)
    assert len(list((store.cells / "damaged").iterdir())) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"written": None}, {"told": [1]}, {"training_record": []}, {"training_record": {"seconds": 1e308}},
        {"training_record": {"steps": "many"}}, {"machines": [1]}, {"dataset_class": 3}, {"label": None},
    ],
)  # fmt: skip
def test_a_cell_that_explains_nothing_is_left_out_of_reports_and_kept(change: dict[str, Any], tmp_path: Path) -> None:
    store, strange = Store(tmp_path), cell()
    strange.about.update(change)
    store.write(strange)
    assert store.read(strange.identity) == strange, "its rows need not be computed again"
    assert store.all() == []
    assert len(store.damaged) == 1


@pytest.mark.parametrize("kind", ["flipped", "cut", "foreign"])
def test_no_damage_of_any_byte_changes_a_score(kind: str, tmp_path: Path) -> None:
    store, rng = Store(tmp_path), np.random.default_rng(0)
    store.write(cell())
    (path,) = store.cells.glob("*.json")
    whole = path.read_bytes()
    other = sealed({"identity": {**IDENTITY, "seed": 1}, "about": ABOUT, "rows": []}, 2).encode()
    for number in range(200):
        data = bytearray(whole)
        if kind == "flipped":
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        elif kind == "cut":
            del data[rng.integers(len(data)) :]
        else:
            data[: number + 100] = other[: number + 100]
        path.write_bytes(data)
        assert store.all() == []
        assert len(store.damaged) == 1


OURS = ".denoisebench-0123456789abcdef.part"
THEIRS = ["report.tmpl", "a.json.tmp7", "thesis.tmp", ".denoisebench-notes.part", "x.part", ".denoisebench-0123.part"]


def test_only_old_leftovers_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    young = OURS.replace("0", "f")
    for folder in (tmp_path, store.cells, store.models):
        folder.mkdir(exist_ok=True)
        for name in (OURS, young, *THEIRS):
            (folder / name).write_text("{")
            age = 1.0 if name == young else 2 * files.STALE_SECONDS
            os.utime(folder / name, (time.time() - age,) * 2)
    (tmp_path / OURS.replace("1", "e")).mkdir()
    Store(tmp_path)
    for folder in (tmp_path, store.cells, store.models):
        left = {path.name for path in folder.iterdir() if path.suffix}
        assert left == {young, *THEIRS} | ({OURS.replace("1", "e")} if folder == tmp_path else set())


def test_who_only_looks_changes_nothing(tmp_path: Path) -> None:
    assert Store.look(tmp_path / "absent").all() == []
    assert not (tmp_path / "absent").exists()
    store = Store(tmp_path)
    (store.cells / f"{cell().key}.json").write_text("damaged")
    (store.cells / OURS).write_text("{")
    os.utime(store.cells / OURS, (0, 0))
    before = sorted(tmp_path.rglob("*"))
    looking = Store.look(tmp_path)
    assert looking.read(cell().identity) == StoredCell(cell().identity)
    assert len(looking.moved) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_names_of_temporary_files_are_random(tmp_path: Path) -> None:
    names = {files.temporary_beside(tmp_path / "a.json").name for _ in range(100)}
    assert len(names) == 100
    assert all(files._TEMPORARY.fullmatch(name) for name in names)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "endless"])
def test_what_is_no_regular_file_is_neither_waited_for_nor_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    path = store.cells / f"{cell().key}.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        monkeypatch.setattr(files.read_text, "__defaults__", (10_000,))
        path.write_bytes(b"x" * 10_001)
    assert store.all() == []
    assert "cannot be read" in store.damaged[0]
    assert store.read(cell().identity) == StoredCell(cell().identity)
    assert "cannot be read" in store.moved[0]
    store.write(cell())
    assert store.read(cell().identity) == cell()


def test_a_folder_is_made_with_its_parents_and_left_clean(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b")
    assert store.cells.is_dir()
    assert list(store.cells.iterdir()) == []


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"(Not a directory|File exists).*Choose a writable one.*--out") as caught:
            Store(place)
        assert str(place) in str(caught.value)


def test_a_report_never_makes_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        Store(tmp_path / "nothing", create=False)
    assert not (tmp_path / "nothing").exists()


def test_unfinished_files_of_a_crash_are_not_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(cell())
    (store.cells / "0123456789abcdef.json.tmp99").write_text("{", encoding="utf-8")
    assert store.all() == [cell()]


def test_where_nothing_may_be_left_out_the_error_says_what_to_do_and_does_not_say_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.intact() == []
    (store.cells / "ab.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"is damaged: .* Run what made it again, .* or remove the file\.$") as told:
        store.intact()
    assert "left out" not in str(told.value)


def test_a_mistake_in_a_folder_with_a_damaged_file_names_the_file_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(UserError, match=r"^unknown$"), store.naming_damaged():
        raise UserError("unknown")
    (store.cells / "ab.json").write_text("{", encoding="utf-8")
    store.all()
    with pytest.raises(UserErrors) as caught, store.naming_damaged():
        raise UserError("unknown")
    first, second = map(str, caught.value.errors)
    assert (first, "ab.json is damaged" in second) == ("unknown", True)
