"""Files whose names others use too are overwritten only if this program wrote them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core import ownfiles
from denoisebench.core.files import CannotWrite, write_bytes
from denoisebench.core.ownfiles import INDEX, is_fresh, is_own, write_own


def test_what_it_wrote_is_overwritten_and_what_it_did_not_is_kept(tmp_path: Path) -> None:
    (tmp_path / "table.md").write_text("mine", encoding="utf-8")
    (said,) = write_own(tmp_path, {"table.md": b"one", "scores.csv": b"1"})
    assert "table.kept-1.md" in said
    assert write_own(tmp_path, {"table.md": b"two", "scores.csv": b"2"}) == []
    (tmp_path / "table.md").write_text("two, and my remarks", encoding="utf-8")
    assert not is_own(tmp_path / "table.md")
    assert len(write_own(tmp_path, {"table.md": b"three"})) == 1
    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.name != INDEX}
    assert texts == {
        "table.md": "three", "table.kept-1.md": "mine", "table.kept-2.md": "two, and my remarks", "scores.csv": "2",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_kept(kind: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine", encoding="utf-8")
    path = tmp_path / "table.md"
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to("elsewhere"), "folder": path.mkdir, "pipe": lambda: os.mkfifo(path),
    }  # fmt: skip
    make[kind]()
    assert len(write_own(tmp_path, {"table.md": b"one"})) == 1
    assert path.read_bytes() == b"one"
    assert (tmp_path / "elsewhere").read_text(encoding="utf-8") == "mine"
    assert os.path.lexists(tmp_path / "table.kept-1.md")


def test_a_stop_at_any_write_leaves_files_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = write_bytes
    for stop in range(3):
        folder = tmp_path / str(stop)
        folder.mkdir()
        write_own(folder, {"a": b"1", "b": b"1"}, "old")
        left = stop

        def limited(path: Path, data: bytes) -> None:
            nonlocal left
            if left == 0:
                raise CannotWrite("stopped")
            left -= 1
            original(path, data)

        monkeypatch.setattr(ownfiles, "write_bytes", limited)
        for _ in range(2):
            left = stop
            if stop < 2:
                with pytest.raises(CannotWrite):
                    write_own(folder, {"a": b"2", "b": b"2"}, "new")
        assert is_fresh(folder, ["a", "b"], "new") is False
        monkeypatch.setattr(ownfiles, "write_bytes", original)
        assert write_own(folder, {"a": b"3", "b": b"3"}, "new") == []
        assert is_fresh(folder, ["a", "b"], "new")
        assert sorted(path.name for path in folder.iterdir()) == [INDEX, "a", "b"]


def test_reports_are_fresh_by_content_whatever_the_dates(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    call = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "scores.csv").write_text("mine", encoding="utf-8")
    first = command(*call)
    assert "scores.kept-1.csv" in first.err
    scores = (tmp_path / "o" / "scores.csv").read_text(encoding="utf-8")
    (cell,) = (tmp_path / "o" / "cells").glob("*.json")
    away = cell.rename(tmp_path / "cell.json")
    os.utime(tmp_path / "o" / "scores.csv", (2**31, 2**31))
    assert command(*call, "--repeats", 2).code == 0
    more = (tmp_path / "o" / "scores.csv").read_text(encoding="utf-8")
    assert len(more.splitlines()) == 5
    # The old file comes back, with its old date.
    away.replace(cell)
    assert command(*call).code == 0
    assert len((tmp_path / "o" / "scores.csv").read_text(encoding="utf-8").splitlines()) == len(scores.splitlines())
    assert (tmp_path / "o" / "scores.kept-1.csv").read_text(encoding="utf-8") == "mine"
