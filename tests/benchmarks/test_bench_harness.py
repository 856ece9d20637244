"""What the harness costs: start-up, a cached run, and the time around network and metrics.

Run with ``pytest tests/benchmarks``. The two lines of the group "one image" are the same work with and without the
harness; the goal is a ratio below 1.05.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from denoisebench.evaluation.evaluate import Route, evaluate
from denoisebench.networks import placed
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.images import pad, to_uint8
from denoisebench.protocol.metrics import psnr, ssim
from denoisebench.protocol.noise import parse_noise

IMAGE, NOISE = "astronaut", parse_noise("gauss25")


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "denoisebench", *arguments], check=True, capture_output=True)


def test_help(benchmark: BenchmarkFixture) -> None:
    benchmark.pedantic(_command, ("--help",), rounds=5)


def test_cached_run(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    command = ("run", "--methods", "n2c,n2v", "--budget", "1step", "--crop", "32", "--out", str(tmp_path))
    _command(*command)
    benchmark.pedantic(_command, command, rounds=3)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    method = parse_method("n2c")
    assert isinstance(method, LearnedMethod)
    return placed(method.build(3), "cpu").eval()


@pytest.mark.benchmark(group="one image")
def test_bare_loop(benchmark: BenchmarkFixture, network: torch.nn.Module) -> None:
    clean = find_dataset("samples", ()).load(IMAGE)
    noisy = pad(CounterDraws(0).draw("samples", IMAGE, 0, clean, NOISE).noisy, 32, False)

    def work() -> tuple[float, float]:
        with torch.inference_mode():
            result = network(torch.from_numpy(noisy).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        score = to_uint8(result)
        return psnr(score, clean), ssim(score, clean)

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="one image")
def test_harness(benchmark: BenchmarkFixture, network: torch.nn.Module) -> None:
    method, dataset = parse_method("n2c"), find_dataset("samples", ())

    def work() -> None:
        list(evaluate(Route(method, network, NOISE), dataset, CounterDraws(0), [(IMAGE, 0)]))

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
