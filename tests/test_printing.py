"""Losing the log loses no results, and exit codes tell the truth."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from denoisebench.core.printing import Forgiving
from denoisebench.results.store import Store

MAIN = "import sys; sys.argv[0] = 'denoisebench'; from denoisebench.cli import main; main()"
unix = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(arguments: str, streams: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    line = f'"{sys.executable}" -c "{MAIN}" {arguments} {streams}'
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, timeout=300, check=False)


@unix
@pytest.mark.parametrize(
    ("streams", "encoding"),
    [
        (">&- 2>&-", "ascii"),
        (">/dev/full 2>/dev/full", "utf-8"),
        ("2>&1 | head -c 1; exit ${PIPESTATUS[0]}", "cp1252"),
    ],
)
def test_rows_are_stored_whatever_becomes_of_the_log(
    streams: str, encoding: str, image_folder: Callable[..., Path], tmp_path: Path, no_data: None
) -> None:
    run = f"run --methods identity --datasets {image_folder()} --out {tmp_path / 'o'}"
    ran = shell(run, streams, encoding)
    assert ran.returncode == 0, ran.stderr
    assert [len(cell.rows) for cell in Store(tmp_path / "o").all()] == [2]
    assert (tmp_path / "o" / "table.md").is_file()


@unix
def test_what_is_only_printed_and_is_not_ends_with_1() -> None:
    ran = shell("version", ">/dev/full")
    assert ran.returncode == 1
    assert b"Standard output cannot be written to (No space left on device)" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert shell("version", "2>/dev/full").returncode == 0


def test_a_stream_that_cannot_be_written_to_is_forgiven(tmp_path: Path) -> None:
    good = Forgiving((tmp_path / "log").open("w", encoding="utf-8"))
    print("a", file=good)
    good.close()
    print("b", file=good, flush=True)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "a\nb\n"
    assert not good.lost
    good._stream.close()
    print("c", file=good, flush=True)
    assert "closed" in good.lost
    absent = Forgiving(None)
    print("a", file=absent, flush=True)
    assert absent.lost == "it is closed"
    assert not absent.isatty()


def test_a_reader_that_has_gone_has_got_what_it_wanted() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = Forgiving(os.fdopen(writing, "w", encoding="utf-8"))
    print("a", file=stream, flush=True)
    assert not stream.lost
    print("b", file=stream, flush=True)
    stream._stream.close()
