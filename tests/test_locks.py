"""One holder at a time, without any lock of the operating system, and never a wait without end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from denoisebench.core import locks
from denoisebench.core.files import CannotWrite
from denoisebench.core.locks import LOCK, locked, this_process, write_owner
from denoisebench.execution import claims
from denoisebench.execution.claims import Claims


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STALE", 0.3)
    monkeypatch.setattr(locks, "PATIENCE", 0.6)


def test_many_threads_hold_it_one_after_the_other(tmp_path: Path) -> None:
    inside, most, done = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        with locked(tmp_path):
            inside += 1
            most = max(most, inside)
            time.sleep(0.005)
            inside -= 1
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(done)) == (1, 6)
    assert not (tmp_path / LOCK).exists()


def test_no_lock_of_the_system_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def missing(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    monkeypatch.setattr(fcntl, "lockf", missing)
    with locked(tmp_path):
        assert (tmp_path / LOCK).is_file()


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[1]", '{"host": 1, "pid": 2, "started": 3, "run": 4}', "[" * 100_000]
)
def test_what_does_not_change_was_left_behind(text: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(text, encoding="utf-8")
    begun = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - begun < 5


def test_a_dead_process_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STALE", 1e9)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (tmp_path / LOCK).write_text(write_owner(replace(this_process(), pid=process.pid)), encoding="utf-8")
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / LOCK / "mine").mkdir(parents=True)
    with pytest.raises(CannotWrite, match="locks this folder"), locked(tmp_path):
        pass
    assert (tmp_path / LOCK / "mine").is_dir()


def test_a_holder_who_stays_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STALE", 1e9)
    with locked(tmp_path):
        with pytest.raises(CannotWrite, match=rf"process {os.getpid()} on .* keeps it"), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).is_file()


def test_a_lock_of_another_user_ends_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK).write_text("", encoding="utf-8")

    def refused(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(CannotWrite, match="remove it and try again"), locked(tmp_path):
        pass

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / LOCK).unlink()
    monkeypatch.setattr("denoisebench.core.locks.os.open", denied)
    with pytest.raises(CannotWrite, match="Permission denied"), locked(tmp_path):
        pass


@pytest.mark.parametrize("kind", ["future", "pipe", "folder"])
def test_odd_claims_do_not_last(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "STALE", 0.2)
    folder = tmp_path / "claims"
    folder.mkdir()
    path = folder / "cell.json"
    if kind == "future":
        path.write_text(write_owner(replace(this_process(), host="elsewhere")), encoding="utf-8")
        os.utime(path, (time.time() + 10**8,) * 2)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    mine, begun = Claims(folder), time.monotonic()
    while mine.take("cell") is not None:
        assert time.monotonic() - begun < 5
        time.sleep(0.05)
    assert mine.ours("cell")
    mine.close()
