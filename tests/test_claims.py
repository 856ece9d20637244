"""A claim has one living owner; a dead one loses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from denoisebench.core.locks import Owner, this_process
from denoisebench.execution import claims
from denoisebench.execution.claims import Claims


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Claims, Claims]]:
    """The claims of two runs on one folder."""
    pair = (Claims(tmp_path / "claims"), Claims(tmp_path / "claims"))
    yield pair
    for one in pair:
        one.close()


def write(folder: Path, owner: Owner, age: float = 0.0) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "cell.json"
    path.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    if age:
        before = path.stat().st_mtime - age
        os.utime(path, (before, before))
    return path


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_first_has_it_until_it_gives_it_up(two: tuple[Claims, Claims]) -> None:
    one, other = two
    assert one.take("cell") is None
    assert one.take("cell") is None, "again by the same"
    owner = other.take("cell")
    assert owner is not None
    assert owner.pid == os.getpid()
    assert f"process {os.getpid()} on " in owner.text
    assert (one.ours("cell"), other.ours("cell")) == (True, False)
    other.release("cell")
    assert one.ours("cell"), "only the owner can release"
    one.release("cell")
    assert other.take("cell") is None


def test_the_end_of_a_run_releases_everything(two: tuple[Claims, Claims]) -> None:
    one, other = two
    assert [one.take(name) for name in "ab"] == [None, None]
    one.close()
    assert [other.take(name) for name in "ab"] == [None, None]


def test_a_dead_process_loses_its_claim_at_once(tmp_path: Path) -> None:
    write(tmp_path / "c", replace(this_process(), pid=dead_process(), run="x"))
    mine = Claims(tmp_path / "c")
    assert mine.take("cell") is None
    mine.close()


def test_a_process_number_that_is_used_again_is_not_the_owner(tmp_path: Path) -> None:
    me = this_process()
    write(tmp_path / "c", replace(me, started=me.started - 1000, run="x"))
    mine = Claims(tmp_path / "c")
    assert mine.take("cell") is None
    mine.close()


@pytest.mark.parametrize(("age", "taken"), [(0, False), (claims.STALE - 5, False), (claims.STALE + 5, True)])
def test_another_machine_is_believed_while_it_gives_signs_of_life(age: float, taken: bool, tmp_path: Path) -> None:
    theirs = Owner("elsewhere/boot", os.getpid(), 1.0, "x")
    write(tmp_path / "c", theirs, age)
    mine = Claims(tmp_path / "c")
    assert (mine.take("cell") is None) is taken
    mine.close()


def test_a_damaged_claim_is_taken_over_when_it_is_old(tmp_path: Path) -> None:
    path = write(tmp_path / "c", this_process(), claims.STALE + 5)
    before = path.stat().st_mtime
    path.write_text("{", encoding="utf-8")
    mine = Claims(tmp_path / "c")
    assert mine.take("cell") is not None, "someone may be writing it"
    os.utime(path, (before, before))
    assert mine.take("cell") is None
    mine.close()


def test_the_owner_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    mine = Claims(tmp_path / "c")
    mine.take("cell")
    path = tmp_path / "c" / "cell.json"
    os.utime(path, (0, 0))
    for _ in range(100):
        threading.Event().wait(0.02)
        if path.stat().st_mtime > 0:
            break
    assert path.stat().st_mtime > 0
    mine.close()


def test_an_owner_that_was_taken_for_dead_notices(tmp_path: Path) -> None:
    mine = Claims(tmp_path / "c")
    mine.take("cell")
    write(tmp_path / "c", Owner("elsewhere/boot", 1, 1.0, "x"))
    assert not mine.ours("cell")
    mine.release("cell")
    assert (tmp_path / "c" / "cell.json").is_file(), "it is theirs now"
    mine.close()


def test_of_many_that_try_one_gets_it(tmp_path: Path) -> None:
    write(tmp_path / "c", replace(this_process(), pid=dead_process(), run="x"))
    runs = [Claims(tmp_path / "c") for _ in range(8)]
    won: list[int] = []
    gate = threading.Barrier(len(runs))

    def contend(index: int) -> None:
        gate.wait()
        if runs[index].take("cell") is None:
            won.append(index)

    threads = [threading.Thread(target=contend, args=(index,)) for index in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    for one in runs:
        one.close()
