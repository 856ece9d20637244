"""kill -9 and Ctrl-C at random instants of a real run, with training and evaluation, as a process of its own.

``DENOISEBENCH_LONG=1`` kills 50 times, otherwise 3 times.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.files import unsealed
from denoisebench.results.store import Store

LONG = os.environ.get("DENOISEBENCH_LONG") == "1"
KILLS, STOPS = (50, 10) if LONG else (3, 2)
INTERVAL, STEPS = 0.2, 30

#: A learned method that logs every step and every image, slow enough to be hit.
METHOD = """
import os, time
from dataclasses import dataclass
import torch
from denoisebench.plugins.method import Info, LearnedMethod

def log(text):
    with open(os.environ["LOG"], "a") as stream:
        stream.write(text + "\\n")

@dataclass(frozen=True)
class Logged(LearnedMethod):
    gain: float = 1.0
    name = "logged"
    info = Info(label="Logged")
    crop_multiple = 8

    def build(self, channels):
        return torch.nn.Conv2d(channels, channels, 3, padding=1)

    def loss(self, network, batch, progress):
        log(f"step {self.gain} {progress:.4f}")
        time.sleep(0.02)
        return self.gain * (network(batch.noisy) - batch.noisy.roll(1, 3)).square().mean(), {}

    def denoise(self, network, noisy, known, generator):
        log(f"image {self.gain} {float(noisy.sum()):.6f}")
        time.sleep(0.05)
        return network(noisy)
"""
#: A process that has imported the libraries; for every line of arguments it forks the command, and says how it ended.
NURSERY = f"""
import os, signal, sys, psutil, torch, torch._dynamo, safetensors.torch, tabulate
from denoisebench.training import loop as training
training.CHECKPOINT_SECONDS = {INTERVAL}
from denoisebench.evaluation import evaluate, fit
from denoisebench.experiment import cells as experiment
from denoisebench.publishing import weights as publish
from denoisebench.execution import runner
from denoisebench.training import weights
import denoisebench.reports.files
from denoisebench.cli import main
# A background job of a shell ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
pid = 0
for line in sys.stdin:
    if line != "poll\\n":
        log, error, *arguments = line.rstrip("\\n").split("\\t")
        pid = os.fork()
        if not pid:
            os.environ["LOG"] = log
            os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(1, 0)
            sys.argv = ["denoisebench", *arguments]
            break
        print(pid, flush=True)
    else:
        ended, status = os.waitpid(pid, os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if ended else "running", flush=True)
else:
    sys.exit()
main()
"""


class Nursery:
    """Starts commands in processes of their own, without the seconds that their imports take."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *arguments: object) -> int:
        return int(self._ask("\t".join(map(str, arguments))))

    def ended(self) -> int | None:
        """Exit code of the last command, minus the signal that killed it; None while it runs."""
        answer = self._ask("poll")
        return None if answer == "running" else int(answer)

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


class Run:
    """One command on one results folder; logs what every process of it computed."""

    def __init__(self, nursery: Nursery, place: Path, out: Path, pictures: Path) -> None:
        self.out, self._nursery = out, nursery
        self._log, self._errors = place / f"{out.name}.log", place / f"{out.name}.err"
        plugin = place / "logged.py"
        plugin.write_text(METHOD, encoding="utf-8")
        self._arguments = (
            "run", "--plugin", plugin, "--methods", "logged,logged[gain=2]", "--datasets", pictures, "--train-data",
            place / "crops", "--budget", f"{STEPS}steps", "--crop", "32", "--repeats", "3", "--device", "cpu",
            "--out", out,
        )  # fmt: skip

    def until(self, seconds: float, signum: int, lines: int = 0) -> int:
        """Run the command, send it a signal after so many seconds and lines of the log, and return its exit code."""
        lines += len(self.logged())
        pid, begin = self._nursery.start(self._log, self._errors, *self._arguments), time.monotonic()
        while (code := self._nursery.ended()) is None:
            if time.monotonic() - begin >= seconds and len(self.logged()) >= lines:
                os.kill(pid, signum)
                seconds = 600.0
            time.sleep(0.005)
        return code

    @property
    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    def logged(self) -> list[str]:
        return self._log.read_text(encoding="utf-8").split("\n")[:-1] if self._log.exists() else []


def check_files(out: Path) -> None:
    """Every file that has its final name is whole."""
    if not (out / "cells").is_dir():
        return
    store = Store(out, create=False)
    store.all()
    assert store.damaged == []
    assert not list(out.rglob("damaged"))
    for record in (out / "models").glob("*.json"):
        unsealed(record, (2,))


def tables(out: Path) -> dict[str, Any]:
    """What is left of the reports, cells and networks without times and memory, dates, and what was measured when."""
    rows = list(csv.reader(io.StringIO((out / "scores.csv").read_text(encoding="utf-8"))))
    measured = {rows[0].index(name) for name in ("seconds", "memory")}
    found: dict[str, Any] = {
        "scores.csv": [[text for place, text in enumerate(row) if place not in measured] for row in rows]
    }
    for name, mark in (("table.md", "|"), ("table.tex", "&")):
        lines = (out / name).read_text(encoding="utf-8").splitlines()
        # The last column of a line is s/image.
        found[name] = [line.rstrip("| \\").rpartition(mark)[0] if mark in line else line for line in lines]
    for path in (out / "cells").glob("*.json"):
        data = json.loads(path.read_text(encoding="utf-8"))
        del data["about"]["written"], data["sha256"]
        data["about"].get("training_record", {}).pop("seconds", None)
        found[path.name] = [{**row, "seconds": 0, "memory": 0} for row in data.pop("rows")], data
    for path in (out / "models").glob("*.safetensors"):
        found[path.name] = path.read_bytes()
    assert len(found) == 3 + 3 + 2
    return found


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Run]]:
    place, nursery = tmp_path_factory.mktemp("runs"), Nursery()
    pictures = place / "pictures"
    # Training images no larger than a crop are not looked at whole at the end, which would be logged as images.
    for folder, size in ((pictures, (40, 48, 3)), (place / "crops", (32, 32, 3))):
        folder.mkdir()
        for seed in range(3):
            pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"im{seed}.png")
    yield lambda name: Run(nursery, place, place / name, pictures)
    nursery.close()


@pytest.fixture(scope="module")
def whole(make: Callable[[str], Run]) -> Run:
    """A run that nothing disturbed."""
    run = make("whole")
    assert run.until(600.0, signal.SIGKILL) == 0, run.errors
    assert Counter(run.logged()).most_common(1)[0][1] == 1
    # The steps of a training, its network's look at one batch at the end, and nine images.
    assert len(run.logged()) == 2 * (STEPS + 1 + 9)
    return run


def test_kill_9_at_random_instants_costs_an_image_or_a_checkpoint_interval(
    make: Callable[[str], Run], whole: Run
) -> None:
    expected, rng = tables(whole.out), random.Random(1)
    kills = rounds = worst_images = worst_steps = hit_training = hit_images = 0
    while kills < KILLS:
        rounds += 1
        run = make(f"round{rounds}")
        while True:
            before = run.logged()
            # Not at random times alone: then most would hit a process that is only starting.
            delay = rng.uniform(0, 0.15) if kills < KILLS else 600.0
            code = run.until(delay, signal.SIGKILL, rng.randrange(25))
            now = run.logged()
            again = [line for line in now[len(before) :] if line in before]
            images = sum(line.startswith("image") for line in again)
            worst_images, worst_steps = max(worst_images, images), max(worst_steps, len(again) - images)
            check_files(run.out)
            if code == 0:
                break
            assert code == -signal.SIGKILL, run.errors
            kills += 1
            last = now[-1] if len(now) > len(before) else "none"
            hit_training, hit_images = hit_training + last.startswith("step"), hit_images + last.startswith("image")
        assert tables(run.out) == expected
    print(
        f"\n{kills} kills in {rounds} rounds ({hit_training} while training, {hit_images} while denoising): at most "
        f"{worst_images} image and {worst_steps} steps computed again at a time; 0 unreadable files; tables equal"
    )
    assert worst_images <= 1
    # A step takes at least 20 ms; the one that makes a checkpoint due, and the one at hand, come on top.
    assert worst_steps <= INTERVAL / 0.02 + 2


def test_ctrl_c_at_random_instants_exits_130_and_loses_nothing(make: Callable[[str], Run], whole: Run) -> None:
    rng, run, stops = random.Random(2), make("stopped"), 0
    while (code := run.until(rng.uniform(0, 0.1), signal.SIGINT, rng.randrange(2, 2 + 60 // STOPS))) != 0:
        stops += 1
        check_files(run.out)
        assert code == 130, run.errors
        assert "Traceback" not in run.errors
        assert "goes on" in run.errors
    assert stops >= 1
    again = [line for line, count in Counter(run.logged()).items() if count > 1]
    assert not [line for line in again if line.startswith("step")], "the checkpoint is of the last step"
    assert len(again) <= stops, "only the image at hand"
    assert tables(run.out) == tables(whole.out)
    print(f"\n{stops} times Ctrl-C: exit 130, 0 steps and {len(again)} images computed again, tables equal")
