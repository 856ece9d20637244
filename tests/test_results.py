"""The store keeps what it was given, whole or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from denoisebench import training
from denoisebench.errors import UserError
from denoisebench.evaluation import Row
from denoisebench.results import Store, StoredCell

ROW = Row("im0", 0, 20.125, 0.5, 0.25, 25 / 255)


def cell(**identity: object) -> StoredCell:
    rows = [ROW, replace(ROW, image="im1", psnr=1 / 3), replace(ROW, repeat=1, ssim=math.pi / 4)]
    about = {"text": "toy", "label": "Töy σ"}
    return StoredCell({"method": "toy", **identity}, about, {(row.image, row.repeat): row for row in rows})


def test_a_cell_reads_back_as_it_was_written(tmp_path: Path) -> None:
    store, written = Store(tmp_path), cell()
    store.write(written)
    assert store.read(written.identity) == written
    assert list(store.all()) == [written]
    assert list(store.read(written.identity).rows) == list(written.rows)


def test_a_cell_that_was_never_written_is_empty(tmp_path: Path) -> None:
    found = Store(tmp_path).read({"method": "toy"})
    assert found == StoredCell({"method": "toy"})
    assert list(Store(tmp_path).all()) == []


def test_a_perfect_score_survives_and_the_file_is_plain_json(tmp_path: Path) -> None:
    store, perfect = Store(tmp_path), cell()
    perfect.rows["im0", 0] = replace(ROW, psnr=math.inf)
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
    again.rows["im9", 3] = replace(ROW, image="im9", repeat=3)
    store.write(again)
    assert len(list(store.cells.iterdir())) == 1
    assert list(store.read(cell().identity).rows) == [("im0", 0), ("im1", 0), ("im0", 1), ("im9", 3)]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write(cell())

    def crash(path: Path, text: str, encoding: str) -> None:
        with path.open("w", encoding=encoding) as stream:
            stream.write(text[: len(text) // 2])
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_text", crash)
    more = cell()
    more.rows["im9", 0] = replace(ROW, image="im9")
    with pytest.raises(OSError, match="full"):
        store.write(more)
    assert store.read(cell().identity) == cell()
    assert list(store.all()) == [cell()]


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[str, str]] = []
    original = Path.replace

    def watch(self: Path, target: Path) -> Path:
        assert self.read_text(encoding="utf-8") == "new text"
        assert self.parent == target.parent, "a rename is atomic only within one file system"
        moves.append((self.name, target.name))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    training.write_text(tmp_path / "a.txt", "new text")
    assert [target for _, target in moves] == ["a.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def rows_gone(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "rows"})


def strange_row(text: str) -> str:
    data = json.loads(text)
    data["rows"][0]["mood"] = "good"
    return json.dumps(data)


def score_missing(text: str) -> str:
    data = json.loads(text)
    data["rows"][0]["psnr"] = None
    return json.dumps(data)


@pytest.mark.parametrize(
    "damage", [lambda text: text[:50], lambda text: "", lambda text: "[1]", rows_gone, strange_row, score_missing]
)
def test_a_damaged_file_is_named_with_what_to_do(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path)
    store.write(cell())
    (path,) = store.cells.iterdir()
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    for attempt in (lambda: store.read(cell().identity), lambda: list(store.all())):
        with pytest.raises(UserError, match=r"damaged .*Move it away") as caught:
            attempt()
        assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_damage_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(cell())
    (path,) = store.cells.iterdir()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="damaged"):
        store.read(cell().identity)


def test_a_folder_is_made_with_its_parents_and_left_clean(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b")
    assert store.cells.is_dir()
    assert list(store.cells.iterdir()) == []


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="--out") as caught:
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
    assert list(store.all()) == [cell()]
