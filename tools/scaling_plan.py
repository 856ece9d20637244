"""What Table 1 at the paper's size would cost, from counted operations: the tables of docs/scaling.md.

python tools/scaling_plan.py [TFLOP/s that one GPU is assumed to sustain, default 10]
"""

from __future__ import annotations

import heapq
import sys
from dataclasses import dataclass

import torch
from tabulate import tabulate
from torch.utils.flop_counter import FlopCounterMode

from denoisebench.experiment.options import parse_noises
from denoisebench.networks import placed
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, LearnedMethod, Method, Need, NoiseInfo, PerImageMethod
from denoisebench.protocol.noise import add_noise_batch, parse_noise
from denoisebench.protocol.seeds import torch_generator_from

METHODS = (
    "n2c", "n2n", "n2v", "nbr2nbr", "r2r", "noisier2noise", "laine19_mu", "laine19_pme",
    "b2u[masks=none]", "dbsn", "self2self",
)  # fmt: skip
NOISES = "gauss25,gauss5_50,poisson30,poisson5_50"
SIDE, SEEDS = 128, 3
# 100 epochs of 44,328 images, four crops of 128x128 in each step.
STEPS, CROPS = 44_328 // 4 * 100, 4
# (images, repeats, pixels of an image after padding to multiples of 32); Set14 at its mean size.
SETS = ((24, 10, 512 * 768), (100, 3, 352 * 512), (12, 20, 480 * 512))
# All masks in every step, as published. Seconds per step as in docs/speed.md: two cores, batches of 4x128x128.
MEASURED = {"n2c": 0.75, "nbr2nbr": 0.44, "b2u[masks=none]": 7.91}


@dataclass(frozen=True)
class Cost:
    """FLOP of one training of a method, of one pass of all test images, and the noises it takes part in."""

    method: str
    step: float
    training: float
    evaluation: float
    noises: int


def count(text: str) -> Cost:
    """Count the operations of one method (a multiply-add is two)."""
    method = parse_method(text)
    noises = sum(method.unsuitable(noise, 3) is None for noise in parse_noises(NOISES))
    scale = sum(images * repeats * pixels for images, repeats, pixels in SETS) / SIDE**2
    if isinstance(method, PerImageMethod):
        fit = _fit(method) * method.paper_steps
        return Cost(text, 0.0, 0.0, fit * scale, noises)
    assert isinstance(method, LearnedMethod)
    step = _step(method) * CROPS
    return Cost(text, step, step * STEPS, _inference(method) * scale, noises)


def _known(method: Method, level: object) -> NoiseInfo:
    return NoiseInfo(method.name, method.told("gauss"), {Need.FAMILY: "gauss", Need.LEVEL: level, Need.RANGED: False})


def _step(method: LearnedMethod) -> float:
    clean = torch.rand(1, 3, SIDE, SIDE)
    noisy, level = add_noise_batch(clean, parse_noise("gauss25"), torch_generator_from("cost"))
    values = {Need.CLEAN: clean, Need.SECOND: noisy.clone()}
    told = method.told("gauss")
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    batch = Batch(noisy, _known(method, level), torch_generator_from("m"), method.name, told, values)
    network = placed(method.build(3), "cpu").train()
    with FlopCounterMode(display=False) as counter:
        method.backward(network, batch, 0.9)
    return float(counter.get_total_flops())


def _inference(method: LearnedMethod) -> float:
    network = placed(method.build(3), "cpu").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        method.denoise(network, torch.rand(1, 3, SIDE, SIDE), _known(method, 0.1), torch_generator_from("m"))
    return float(counter.get_total_flops())


def _fit(method: PerImageMethod) -> float:
    image = torch.rand(1, 3, SIDE, SIDE)
    network = method.build(image).train()
    with FlopCounterMode(display=False) as counter:
        method.loss(network, image, _known(method, 0.1), 0.5).backward()
    return float(counter.get_total_flops())


def makespan(tasks: list[float], workers: int) -> float:
    """Time until the last is done, the longest first."""
    ends = [0.0] * workers
    for task in sorted(tasks, reverse=True):
        heapq.heapreplace(ends, ends[0] + task)
    return max(ends)


def main() -> None:
    """Print both tables."""
    rate = float(sys.argv[1] if len(sys.argv) > 1 else 10) * 1e12
    costs = [count(text) for text in METHODS]
    rows = [
        (
            cost.method, cost.noises * SEEDS, f"{cost.step / 1e9:.0f}" if cost.step else "",
            f"{cost.step / MEASURED[cost.method] / 1e9:.0f}" if cost.method in MEASURED else "",
            f"{cost.training / rate / 3600:.1f}" if cost.training else "", f"{cost.evaluation / rate / 3600:.2f}",
            f"{cost.noises * SEEDS * (cost.training + cost.evaluation) / rate / 3600:.0f}",
        )
        for cost in costs
    ]  # fmt: skip
    headings = (
        "method", "trainings", "GFLOP/step", "GFLOP/s measured, 2 cores", "h/training", "h/780 images", "GPU h in all",
    )  # fmt: skip
    print(tabulate(rows, headings, tablefmt="github", disable_numparse=True), end="\n\n")
    learned = [cost for cost in costs if cost.training]
    trainings = [cost.training / rate / 3600 for cost in learned for _ in range(cost.noises * SEEDS)]
    fits = next(cost for cost in costs if not cost.training)
    evaluation = [cost.evaluation / rate / 3600 / 98 for cost in learned for _ in range(98 * cost.noises * SEEDS)]
    each = [fits.evaluation / rate / 3600 / 780] * (780 * fits.noises * SEEDS)
    lines = [
        (gpus, *(f"{makespan(tasks, gpus) / 24:.1f}" for tasks in (trainings, evaluation, each))) for gpus in (1, 8, 64)
    ]
    print(tabulate(lines, ("GPUs", "trainings, days", "evaluation, days", "Self2Self, days"), tablefmt="github"))


if __name__ == "__main__":
    main()
