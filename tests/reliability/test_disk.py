"""A full disk and a read-only folder: one sentence, an exit code that is not 0, and everything stored before intact."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
LEARNED = """
from dataclasses import dataclass
import torch
from denoisebench.plugins.method import Info, LearnedMethod

@dataclass(frozen=True)
class Small(LearnedMethod):
    name = "small"
    info = Info(label="Small")

    def build(self, channels):
        return torch.nn.Conv2d(channels, channels, 3, padding=1)

    def loss(self, network, batch, progress):
        return (network(batch.noisy) - batch.noisy).square().mean(), {}
"""


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk looks like to a process: a write stops in the middle of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 KB, for those who may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_sentence(ran: Any, reason: str) -> None:
    assert ran.code == 2
    (last,) = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
    assert ran.err.splitlines()[-1] == last
    assert reason in last
    assert "Traceback" not in ran.err


def test_a_limit_on_files_costs_nothing_that_was_stored(
    command: Command, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    call = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o")
    assert command(*call).code == 0
    (cell,) = (tmp_path / "o" / "cells").glob("*.json")
    before = content(tmp_path / "o")
    with files_no_larger_than(cell.stat().st_size + 100):
        one_sentence(command(*call, "--repeats", 9), "File too large")
    assert content(tmp_path / "o") == before
    assert command(*call, "--repeats", 9).code == 0
    assert command("report", tmp_path / "o").code == 0


def test_a_disk_that_fills_up_costs_nothing_that_was_stored(
    command: Command, image_folder: Callable[..., Path], small_disk: Path
) -> None:
    call = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", small_disk / "o")
    assert command(*call).code == 0
    before = content(small_disk / "o")
    (small_disk / "ballast").write_bytes(bytes(48 * 1024 - 4096 * (len(before) + 2)))
    one_sentence(command(*call, "--repeats", 60), "No space left on device")
    after = content(small_disk / "o")
    assert after.keys() == before.keys()
    assert command("report", small_disk / "o").code in (0, 2)
    (small_disk / "ballast").unlink()
    assert command(*call).code == 0


def test_a_training_on_a_full_disk_ends_in_one_sentence(
    command: Command, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "small.py").write_text(LEARNED, encoding="utf-8")
    call = (
        "run", "--plugin", tmp_path / "small.py", "--methods", "small", "--datasets", image_folder(),
        "--budget", "2steps", "--crop", "32", "--out", tmp_path / "o",
    )  # fmt: skip
    with files_no_larger_than(900):
        ran = command(*call, "--methods", "small")
    one_sentence(ran, "File too large")
    assert not list((tmp_path / "o").rglob("*.tmp*"))
    assert command(*call).code == 0


def test_a_read_only_folder_is_refused_before_any_work(
    command: Command, image_folder: Callable[..., Path], small_disk: Path
) -> None:
    call = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", small_disk / "o")
    assert command(*call).code == 0
    before = content(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    one_sentence(command(*call, "--repeats", 2), "Read-only file system")
    for asked in ((), ("--format", "csv"), ("--table", 1)):
        reported = command("report", small_disk / "o", *asked)
        one_sentence(reported, "Read-only file system")
        assert "Noisy input" in reported.out, "what can be read is shown"
    one_sentence(command("run", "--out", small_disk / "new"), "Read-only file system")
    assert content(small_disk) == before


def test_a_table_is_shown_where_its_files_cannot_be_written(
    command: Command, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    call = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o")
    (tmp_path / "o" / ".denoisebench-files.json").mkdir(parents=True)
    for ran in (command(*call), command("report", tmp_path / "o")):
        one_sentence(ran, "move that folder away")
        assert "Noisy input" in ran.out
    (tmp_path / "o" / ".denoisebench-files.json").rmdir()
    assert command(*call).code == 0
    assert (tmp_path / "o" / "table.md").is_file()


def test_a_file_in_the_place_of_a_folder_is_named(
    command: Command, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    call = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o")
    assert command(*call).code == 0
    (cell,) = (tmp_path / "o" / "cells").glob("*.json")
    whole = cell.read_bytes()
    cell.write_bytes(whole[:100])
    (tmp_path / "o" / "cells" / "damaged").write_bytes(b"mine")
    one_sentence(command(*call), f"cannot be moved into {tmp_path / 'o' / 'cells' / 'damaged'} (File exists)")
    assert cell.read_bytes() == whole[:100]
    place = tmp_path / "p" / "cells"
    place.parent.mkdir()
    place.write_bytes(b"mine")
    one_sentence(command(*call[:-1], place.parent), f"Cannot make the folder {place} (File exists)")


def test_a_method_that_cannot_be_written_leaves_no_half_of_it(command: Command, tmp_path: Path) -> None:
    with files_no_larger_than(100):
        one_sentence(command("new-method", "mine", "--folder", tmp_path), "File too large")
    assert content(tmp_path) == {}
    assert command("new-method", "mine", "--folder", tmp_path).code == 0
