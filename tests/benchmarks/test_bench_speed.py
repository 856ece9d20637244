"""Training steps and passes against the reference: what the released code does, in the same process.

    pytest tests/benchmarks/test_bench_speed.py --benchmark-json=speed.json && python tools/speed_table.py speed.json

The reference is float32, NCHW, PyTorch's own layers, all masked copies of a batch in one pass with every output pixel
computed, the C library's default allocation, images padded to a square. DENOISEBENCH_DEVICE=cuda measures a GPU.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils.flop_counter import FlopCounterMode

from denoisebench.core.memory import keep_freed_memory
from denoisebench.networks import placed
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, LearnedMethod, Need, NoiseInfo, PerImageMethod
from denoisebench.training.recipe import usual_precision

DEVICE = os.environ.get("DENOISEBENCH_DEVICE", "cpu")
PRECISIONS = tuple(dict.fromkeys(("float32", usual_precision(DEVICE))))
STEPS = {
    "B2U step, cell 4, all masks, 4x128²": "b2u[masks=none]",
    "B2U step, cell 4, one mask, 4x128²": "b2u",
    "B2U step, cell 2, all masks, 4x128²": "b2u[stride=2,masks=none]",
    "N2C step, 4x128²": "n2c",
    "NBR2NBR step, 4x128²": "nbr2nbr",
    "Laine19-pme step, 4x128²": "laine19_pme",
}
TOLD = frozenset((Need.CLEAN, Need.FAMILY, Need.LEVEL, Need.RANGED))


def default_memory() -> None:
    """Undo `keep_freed_memory`: glibc's documented defaults."""
    if keep_freed_memory():
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 65536)
        libc.mallopt(-3, 128 * 1024)
        libc.mallopt(-1, 128 * 1024)
        libc.malloc_trim(0)


def learned(text: str) -> LearnedMethod:
    method = parse_method(text)
    assert isinstance(method, LearnedMethod)
    return method


def network_of(method: LearnedMethod, plain: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    network: Any = method.build(3).to(DEVICE)
    for module in network.modules():
        module.plain = plain
    return network if plain else placed(network, DEVICE)


def batch_of(method: LearnedMethod, layout: torch.memory_format) -> Batch:
    x = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    values = {Need.CLEAN: x, Need.FAMILY: "gauss", Need.LEVEL: torch.full((4, 1, 1, 1), 0.1), Need.RANGED: False}
    known = NoiseInfo(method.name, TOLD, values)
    return Batch(x.contiguous(memory_format=layout), known, torch.Generator(DEVICE), method.name, TOLD, values)


def timed(benchmark: BenchmarkFixture, work: Callable[[], object], rounds: int) -> None:
    def whole() -> None:
        work()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    benchmark.pedantic(whole, rounds=rounds, warmup_rounds=1)


def share_of_peak(benchmark: BenchmarkFixture, counter: FlopCounterMode, precision: str = "float32") -> float:
    """The operations of one round in its shortest time, as a share of the machine's rate now."""
    assert benchmark.stats is not None
    return float(counter.get_total_flops() / benchmark.stats.stats.min / peak(precision))


def peak(precision: str) -> float:
    """The machine's rate of matrix products of this precision now, in FLOP/s; the best of several."""
    matrix = torch.rand(2048, 2048, device=DEVICE, dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        (matrix @ matrix).sum().item()
        best = min(best, time.perf_counter() - start)
    return float(2 * 2048**3 / best)


@pytest.mark.parametrize("group", STEPS)
def test_reference_step(benchmark: BenchmarkFixture, group: str) -> None:
    benchmark.group = group
    default_memory()
    method = learned(STEPS[group])
    network, batch = network_of(method, plain=True), batch_of(method, torch.contiguous_format)

    def step() -> None:
        network.zero_grad()
        loss, _ = method.loss(network, batch, 0.5)
        loss.backward()

    timed(benchmark, step, 2)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("group", STEPS)
def test_step(benchmark: BenchmarkFixture, group: str, precision: str) -> None:
    benchmark.group = group
    keep_freed_memory()
    method = learned(STEPS[group])
    network, batch = network_of(method, plain=False), batch_of(method, torch.channels_last)

    def step() -> None:
        network.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16"):
            method.backward(network, batch, 0.5)

    with FlopCounterMode(display=False) as counter:
        step()
    timed(benchmark, step, 3)
    benchmark.extra_info["share_of_peak"] = share_of_peak(benchmark, counter, precision)


@pytest.mark.parametrize("output", ["exp", "mid"])
def test_reference_pass(benchmark: BenchmarkFixture, output: str) -> None:
    benchmark.group = f"B2U {output}, one 512x768 image"
    default_memory()
    network = network_of(learned("b2u[stride=4]"), plain=True)
    x = torch.rand(1, 3, 768, 768, device=DEVICE)

    def work() -> None:
        with torch.no_grad():
            for _ in range(1 if output == "exp" else 17):
                network(x)

    timed(benchmark, work, 2)


@pytest.mark.parametrize("output", ["exp", "mid"])
def test_pass(benchmark: BenchmarkFixture, output: str) -> None:
    benchmark.group = f"B2U {output}, one 512x768 image"
    keep_freed_memory()
    method = learned(f"b2u[stride=4,output={output}]")
    network = network_of(method, plain=False)
    x = torch.rand(1, 3, 512, 768, device=DEVICE)

    def work() -> None:
        with torch.inference_mode():
            method.denoise(network, x, NoiseInfo("b2u", frozenset(), {}), torch.Generator(DEVICE))

    timed(benchmark, work, 3)


IMAGE_STEP = "ZS-N2N step, one 256² image"


def image_step(plain: bool) -> Callable[[], None]:
    method = parse_method("zsn2n")
    assert isinstance(method, PerImageMethod)
    torch.manual_seed(0)
    image = torch.rand(1, 3, 256, 256, device=DEVICE)
    layout = torch.contiguous_format if plain else torch.channels_last
    network: Any = method.build(image).to(DEVICE)
    network = network if plain else placed(network, DEVICE)
    network.plain = plain
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    image = image.contiguous(memory_format=layout)

    def step() -> None:
        optimiser.zero_grad()
        method.loss(network, image, NoiseInfo("zsn2n", frozenset(), {}), 0.5).backward()
        optimiser.step()

    return step


def test_reference_image_step(benchmark: BenchmarkFixture) -> None:
    benchmark.group = IMAGE_STEP
    default_memory()
    timed(benchmark, image_step(plain=True), 10)


def test_image_step(benchmark: BenchmarkFixture) -> None:
    benchmark.group = IMAGE_STEP
    keep_freed_memory()
    with FlopCounterMode(display=False) as counter:
        image_step(plain=True)()
    timed(benchmark, image_step(plain=False), 10)
    benchmark.extra_info["share_of_peak"] = share_of_peak(benchmark, counter)
