"""Files shared out to processes: the same results, the same log, and nothing lost by a stop."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from denoisebench.core.progress import Quiet
from denoisebench.own import record
from denoisebench.own.batch import denoise_files
from denoisebench.own.denoise import Request
from denoisebench.own.record import Entry, add_entry
from denoisebench.plugins.lookup import parse_method
from denoisebench.training.weights import Shelf

RNG = np.random.default_rng(0)
# Of a log, what is not the same in every run.
MEASURED = ("seconds", "key", "output_sha256")


def images(folder: Path, count: int = 4) -> Path:
    folder.mkdir()
    for number in range(count):
        np.save(folder / f"{number}-ü.npy", RNG.random((40, 48)).astype(np.float32))
    return folder


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "denoise-log.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: value for name, value in row.items() if name not in MEASURED} for row in rows]


@pytest.mark.usefixtures("fresh_registry")
def test_results_and_log_are_those_of_one_process(
    command: Callable[..., Any], plugin_file: Any, tmp_path: Path
) -> None:
    # A file of the same name was loaded here before, and is not in the other processes.
    (tmp_path / "before").mkdir()
    other = plugin_file("toy", "return noisy").rename(tmp_path / "before" / "toy.py")
    assert command("list", "--plugin", other).code == 0
    toy = plugin_file("toy", "return noisy * 0.9 + rng.random(noisy.shape) / 9")
    folder = images(tmp_path / "in")
    (folder / "5-cut.npy").write_bytes(b"x")
    np.save(folder / "6-constant.npy", np.ones((40, 48)))
    asked = ("denoise", folder, "--method", "toy", "--plugin", toy)
    one = command(*asked, "--out", tmp_path / "one")
    two = command(*asked, "--out", tmp_path / "two", "--workers", 2)
    assert (one.code, two.code) == (1, 1)
    assert one.err.replace("one", "two").count("Not denoised") == two.err.count("Not denoised") == 2
    for path in sorted((tmp_path / "one").glob("*.npy")):
        np.testing.assert_array_equal(np.load(path), np.load(tmp_path / "two" / path.name))
    assert log_of(tmp_path / "one") == log_of(tmp_path / "two")
    names = [line.split(":")[0] for line in two.out.splitlines() if ".npy" in line]
    assert names == sorted(names), "in the order of the files, whoever was first"
    again = command(*asked, "--out", tmp_path / "two", "--workers", 2)
    assert "4 were there already" in again.out


@pytest.mark.slow
def test_a_network_is_trained_once_for_all_processes(tmp_path: Path) -> None:
    folder = images(tmp_path / "in", 3)
    files = [(path, Path(path.name)) for path in sorted(folder.iterdir())]
    for name, workers in (("one", 1), ("two", 2)):
        method = parse_method("n2v[network=dncnn]")
        request = Request(method=method, out=tmp_path / name, shelf=Shelf([]), train=True, budget="2steps")
        done = denoise_files(files, request, Quiet(), workers=workers)
        assert not done.problems
        assert len(list((tmp_path / name / "models").glob("*.safetensors"))) == 1
    for source, target in files:
        np.testing.assert_array_equal(np.load(tmp_path / "one" / target), np.load(tmp_path / "two" / target))
        assert not np.array_equal(np.load(source), np.load(tmp_path / "two" / target))


def test_results_of_one_name_do_not_race(tmp_path: Path) -> None:
    folder = images(tmp_path / "in", 1)
    (path,) = folder.iterdir()
    np.savez(folder / f"{path.stem}.npz", np.load(path))
    other = folder / f"{path.stem}.npz"
    files = [(path, Path("a.npy")), (other, Path("a.npy"))]
    request = Request(method=parse_method("nlm"), out=tmp_path / "out", shelf=Shelf([]), sigma=0.1)
    done = denoise_files(files, request, Quiet(), workers=2)
    assert [entry.output for entry in done.done] == ["a.npy", "a.npz"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_files_whose_results_have_one_name_neither_is_lost(overwrite: bool, tmp_path: Path) -> None:
    """A photograph as JPEG and as PNG: both results would be a PNG of that name."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("p.jpg", "p.png"):
        Image.fromarray(RNG.integers(0, 255, (40, 48), np.uint8)).save(folder / name)
    files = [(folder / name, Path(name)) for name in ("p.jpg", "p.png")]
    request = Request(method=parse_method("nlm"), out=out, shelf=Shelf([]), sigma=20, overwrite=overwrite)
    for done in (True, False):
        outcome = denoise_files(files, request, Quiet())
        assert ([entry.source for entry in outcome.done], outcome.present) == (
            ([str(folder / "p.jpg")], []) if done else ([], ["p.png"])
        )
        (problem,) = outcome.problems
        assert problem.source == str(folder / "p.png")
        assert f"the name of that of {folder / 'p.jpg'}, {out / 'p.png'}; denoise it by itself" in problem.reason
        assert "overwrite" not in problem.reason, "which would lose the other"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_stop_leaves_no_process_and_the_same_command_goes_on(plugin_file: Any, tmp_path: Path) -> None:
    folder = images(tmp_path / "in")
    body = (
        "import time, pathlib\nif (pathlib.Path(__file__).parent / 'slow').exists():\n    time.sleep(300)\nreturn noisy"
    )
    toy = plugin_file("toy", body)
    out = tmp_path / "out"
    # A process that was begun in the background of a shell ignores Ctrl-C, and its children with it.
    code = "import signal; signal.signal(2, signal.default_int_handler); from denoisebench.cli import main; main()"
    asked = [
        sys.executable, "-c", code, "denoise", str(folder), "--method", "toy",
        "--plugin", str(toy), "--out", str(out), "--workers", "2",
    ]  # fmt: skip
    (tmp_path / "slow").touch()
    with subprocess.Popen(asked, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        end = time.monotonic() + 60
        while not list(out.glob(".denoisebench-*.npy")) and time.monotonic() < end:
            time.sleep(0.1)
        started = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        try:
            said = process.communicate(timeout=60)[1].decode()
        finally:
            process.kill()
    assert process.returncode == 130
    assert "the same command goes on there" in said
    assert "Traceback" not in said
    assert len(started) >= 2
    assert psutil.wait_procs(started, timeout=20)[1] == []
    (tmp_path / "slow").unlink()
    assert subprocess.run(asked, check=False, capture_output=True).returncode == 0
    assert len(log_of(out)) == 4


def test_commands_on_one_folder_at_once_keep_each_other_s_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {field.name: "" for field in fields(Entry)}
    entries = [Entry(**{**texts, "output": name}) for name in ("a.tif", "b.tif")]  # type: ignore[arg-type] # texts do
    other = threading.Thread(target=add_entry, args=(tmp_path, entries[1]))
    read = record.read_log

    def while_another_writes(folder: Path) -> dict[str, Mapping[str, str]]:
        rows = read(folder)
        if not other.ident:
            other.start()
            other.join(0.5)
        return rows

    monkeypatch.setattr(record, "read_log", while_another_writes)
    assert add_entry(tmp_path, entries[0]) == []
    other.join()
    assert sorted(read(tmp_path)) == ["a.tif", "b.tif"]
