"""SURE and UNSURE where the truth is known: linear denoisers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, Need, NoiseInfo
from denoisebench.protocol.noise import REAL, parse_noise

SIGMA, SPREAD = 0.2, 0.3


def batch_of(noisy: torch.Tensor, seed: int = 0, level: Any = SIGMA) -> Batch:
    levels = torch.as_tensor(level, dtype=noisy.dtype).expand(len(noisy)).view(-1, 1, 1, 1)
    known = NoiseInfo("sure", frozenset({Need.LEVEL}), {Need.LEVEL: levels})
    generator = torch.Generator().manual_seed(seed)
    return Batch(noisy, known, generator, "sure", frozenset({Need.LEVEL}), {Need.LEVEL: levels})


class Gain(torch.nn.Module):
    """f(y) = a y."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain, dtype=torch.float64))

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return self.gain * noisy


def images(count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    clean, noise = (torch.randn(count, 1, 64, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    return SPREAD * clean, SPREAD * clean + SIGMA * noise


@pytest.mark.parametrize("gain", [0.2, 0.7, 1.0])
def test_the_loss_is_the_error_against_clean_images(gain: float) -> None:
    clean, noisy = images()
    method: Any = parse_method("sure")
    loss, parts = method.loss(Gain(gain), batch_of(noisy), 0.5)
    truth = float((gain * noisy - clean).square().mean())
    # 262,144 values; the random parts are of the order sigma^2 / 512.
    assert float(loss.detach()) == pytest.approx(truth, abs=6 * SIGMA**2 / 512)
    assert float(parts["divergence"]) == pytest.approx(gain, abs=0.02)


def test_its_minimum_is_the_wiener_filter() -> None:
    _, noisy = images()
    best = SPREAD**2 / (SPREAD**2 + SIGMA**2)
    slopes = {}
    for gain in (best - 0.05, best, best + 0.05):
        network = Gain(gain)
        method: Any = parse_method("sure")
        method.loss(network, batch_of(noisy), 0.5)[0].backward()
        slopes[gain] = float(network.gain.grad)  # type: ignore[arg-type]  # there is one after backward
    # Of mean (a y - y)^2 + 2 sigma^2 a the slope is 2 (a - a*) E y^2.
    low, middle, high = slopes.values()
    assert abs(middle) < 0.002
    assert (high - low) / 0.1 == pytest.approx(2 * (SPREAD**2 + SIGMA**2), rel=0.02)


def test_every_image_has_its_own_level() -> None:
    generator = torch.Generator().manual_seed(3)
    clean = torch.zeros(2, 1, 256, 256, dtype=torch.float64)
    levels = torch.tensor([0.1, 0.4], dtype=torch.float64)
    noisy = clean + levels.view(-1, 1, 1, 1) * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    method: Any = parse_method("sure")
    loss, _ = method.loss(Gain(0.5), batch_of(noisy, level=levels), 0.5)
    assert float(loss.detach()) == pytest.approx(0.25 * float((levels**2).mean()), rel=0.02)


def test_the_learned_level_is_what_neighbours_leave_unknown() -> None:
    """Images of one brightness each: given 24 neighbours, a pixel varies by its noise and what they leave unknown."""
    generator = torch.Generator().manual_seed(0)
    method: Any = parse_method("sure[level=learned]")
    layer = torch.nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular", bias=False)
    torch.nn.init.dirac_(layer.weight)
    network = torch.nn.ModuleDict({"denoiser": layer})
    sigma = torch.nn.Parameter(torch.tensor(0.05))
    network.register_parameter("sigma", sigma)
    fast = torch.optim.SGD([{"params": layer.parameters(), "lr": 0.3}, {"params": [sigma], "lr": 0.05}])
    for step in range(1500):
        clean = SPREAD * torch.randn(16, 1, 1, 1, generator=generator)
        noisy = clean + SIGMA * torch.randn(16, 1, 16, 16, generator=generator)
        fast.zero_grad()
        method.loss(network, batch_of(noisy, step), 0.5)[0].backward()
        fast.step()
    unknown = 1 / (1 / SPREAD**2 + 24 / SIGMA**2)
    assert float(sigma.detach()) == pytest.approx((SIGMA**2 + unknown) ** 0.5, rel=0.05)
    assert float(layer.weight[0, 0, 2, 2]) == pytest.approx(0, abs=0.03)
    assert float(layer.weight.sum()) == pytest.approx(1 - unknown / SPREAD**2, abs=0.03)


def test_what_is_told_and_what_is_refused() -> None:
    known, learned = parse_method("sure"), parse_method("sure[level=learned]")
    assert known.told("gauss") == frozenset({Need.LEVEL})
    assert not learned.told("gauss")
    for method in (known, learned):
        for other in ("poisson30", "gamma4"):
            assert "Gaussian" in str(method.unsuitable(parse_noise(other), 3))
        assert method.unsuitable(parse_noise("gauss5_50"), 3) is None
    assert "sure[level=learned] finds it" in str(known.unsuitable(REAL, 3))
    assert learned.unsuitable(REAL, 3) is None
