"""What systems leave in a folder is ignored by name, the same in every folder that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core.systemfiles import is_system_file, own_entries
from denoisebench.results.store import Store

JUNK = b"\0\5\26\7\0\2\0\0Mac OS X        "


@pytest.mark.parametrize(
    "name", [".DS_Store", "._a.png", "Thumbs.db", "desktop.ini", "Desktop.ini", "__MACOSX", "@eaDir"]
)
def test_files_of_systems(name: str) -> None:
    assert is_system_file(name)


@pytest.mark.parametrize("name", ["a.png", "_a.png", "thumbs.png", "~a.png", "desktop"])
def test_files_of_the_user(name: str, tmp_path: Path) -> None:
    assert not is_system_file(name)
    (tmp_path / name).touch()
    (tmp_path / f".{name}").touch()
    assert [path.name for path in own_entries(tmp_path)] == [name]


def beside(folder: Path, pattern: str) -> None:
    for path in list(folder.glob(pattern)):
        path.with_name(f"._{path.name}").write_bytes(JUNK)


def test_results_trainings_and_weights_beside_files_of_a_mac(
    command: Callable[..., Any],
    image_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    data, out, weights = image_folder("data", count=1), tmp_path / "o", tmp_path / "w"
    made = command("run", "--methods", "nlm", "--datasets", data, "--out", out)
    assert (made.code, made.err.count("are taken as clean references")) == (0, 1)
    beside(out / "cells", "*.json")
    for ran in (command("report", out), command("audit", out, "--datasets", data, "--images", 1)):
        assert ran.code == 0, ran.err
        assert "WARNING" not in ran.out
    assert Store(out).damaged == []
    train = ("--methods", "n2v[network=dncnn]", "--train-data", data, "--budget", "1steps", "--crop", 32)
    assert command("weights", "train", *train, "--out", weights).code == 0
    beside(weights, "*.json")
    beside(weights / "training" / "models", "*.*")
    assert command("weights", "verify", "--weights", weights).code == 0
    assert command("weights", "export", weights / "training", "--out", tmp_path / "w2").code == 0
