"""Runs that are killed or interrupted go on where they were; DENOISEBENCH_LONG=1 runs this."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from denoisebench.results.store import Store

pytestmark = pytest.mark.skipif(not os.environ.get("DENOISEBENCH_LONG"), reason="set DENOISEBENCH_LONG=1")

TOY = """
import os, time
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}} {{noisy.sum()}}\\n")
time.sleep(0.2)
return noisy
"""
LEARNED = '''\
"""A network that takes its time, and counts its steps."""

import time
from dataclasses import dataclass

import torch

from denoisebench.plugins.method import Info, LearnedMethod


@dataclass(frozen=True)
class Patient(LearnedMethod):
    log: str = ""
    name = "patient"
    info = Info(label="Patient", licence="test", multiple=32)

    def build(self, channels):
        return torch.nn.Conv2d(channels, channels, 5, padding=2)

    def loss(self, network, batch, progress):
        with open({log!r}, "a") as log:
            log.write("step\\n")
        time.sleep(0.02)
        target = batch.noisy + 0.1 * torch.randn(batch.noisy.shape, generator=batch.generator)
        return (network(batch.noisy) - target).square().mean(), {{}}
'''


@pytest.fixture
def start(tmp_path: Path, image_folder: Callable[..., Path]) -> Iterator[Any]:
    """Start the command in a process of its own."""
    pictures, started = image_folder(), []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def begin(plugin: Path, out: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "denoisebench", "run", "--plugin", str(plugin), "--datasets", str(pictures),
                "--train-data", str(pictures), "--out", str(tmp_path / out), *map(str, arguments),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.communicate()


def wait_for_lines(log: Path, count: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and not (log.is_file() and len(log.read_text().splitlines()) >= count):
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_leaves_no_workers_and_loses_two_images_of_each_at_most(
    workers: int, start: Any, plugin_file: Callable[..., Path], tmp_path: Path
) -> None:
    import psutil

    log = tmp_path / "log.txt"
    plugin = plugin_file("toy", TOY.format(log=str(log)))
    arguments = ("--methods", "toy", "--repeats", 10, "--workers", workers)
    kills = 4
    for count in range(1, kills + 1):
        process = start(plugin, "o", *arguments)
        wait_for_lines(log, 4 * count)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
    process = start(plugin, "o", *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    lines = log.read_text().splitlines()
    assert len({line.split()[1] for line in lines}) == 2 * 10
    # Of each worker: the image at hand, and the one whose row was on its way into the file.
    assert 2 * 10 <= len(lines) <= 2 * 10 + kills * workers * 2
    assert "mean of 20 scored images" in out


@pytest.mark.parametrize("how", [("--executor", "serial"), ("--workers", 2)])
def test_an_interrupted_training_goes_on_to_the_same_network(how: Any, start: Any, tmp_path: Path) -> None:
    log = tmp_path / "steps.txt"
    plugin = tmp_path / "patient.py"
    plugin.write_text(dedent(LEARNED).format(log=str(log)), encoding="utf-8")
    arguments = ("--methods", "patient", "--budget", "150steps", "--crop", 32, *how)
    process = start(plugin, "stopped", *arguments)
    wait_for_lines(log, 40)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    done = len(log.read_text().splitlines())
    assert 40 <= done < 150
    assert len(list((tmp_path / "stopped" / "models").glob("*.ckpt"))) == 1
    for out in ("stopped", "whole"):
        process = start(plugin, out, *arguments)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(log.read_text().splitlines()) == 150 + 150, "no step twice"
    networks = [next((tmp_path / out / "models").glob("*.safetensors")).read_bytes() for out in ("stopped", "whole")]
    assert networks[0] == networks[1]
    scores = [
        [(r.image, r.psnr, r.ssim) for cell in Store(tmp_path / out).all() for r in cell.rows.values()]
        for out in ("stopped", "whole")
    ]
    assert scores[0] == scores[1]
