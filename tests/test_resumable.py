"""Arrays in files: what is left is gone on with, and a disk without room is a sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from denoisebench.core.files import CannotWrite
from denoisebench.core.resumable import resumable_array

COUNTS, FLOATS = np.dtype(np.uint16), np.dtype(np.float32)


def test_what_is_left_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    first = resumable_array(path, (3, 4), FLOATS)
    assert np.isnan(first).all()
    first[1] = 7
    del first
    again = resumable_array(path, (3, 4), FLOATS)
    assert np.isnan(again).sum() == 8
    assert (again[1] == 7).all()
    del again
    assert np.isnan(resumable_array(path, (2, 4), FLOATS)).all(), "another shape"
    path.write_bytes(path.read_bytes()[:90])
    assert (resumable_array(path, (2, 4), COUNTS) == 0).all(), "cut off"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="sets no room aside")
def test_all_room_is_taken_at_once(tmp_path: Path) -> None:
    resumable_array(tmp_path / "a.npy", (1000, 1000), COUNTS)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 2_000_000, "a hole fills a disk later, and kills the process"


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_without_room_is_a_sentence(there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    if there:
        resumable_array(path, (5,), COUNTS)[:] = 9

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(CannotWrite, match=r"Cannot keep what is done in .* make room or choose another folder"):
        resumable_array(path, (5,), COUNTS)
    assert path.exists() == there
    if there:
        assert (np.load(path) == 9).all()


def test_a_file_system_that_sets_no_room_aside_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unable, raising=False)
    assert (resumable_array(tmp_path / "a.npy", (5,), COUNTS) == 0).all()
