"""N2C and Noise2Noise: mean squared error to the clean crop, and to a second noisy copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from denoisebench.core.errors import ContractError
from denoisebench.core.progress import Quiet
from denoisebench.methods.n2c import N2C
from denoisebench.methods.n2n import N2N
from denoisebench.plugins.method import Batch, LearnedMethod, Need, NoiseInfo
from denoisebench.protocol.images import UIntImage
from denoisebench.protocol.noise import parse_noise
from denoisebench.training.job import TrainingJob
from denoisebench.training.recipe import Budget, Recipe
from denoisebench.training.train import train


def image(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


class Gain(nn.Module):
    """f(y) = a y."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * x


@pytest.mark.parametrize(("method", "need"), [(N2C(), Need.CLEAN), (N2N(), Need.SECOND)], ids=["n2c", "n2n"])
def test_the_loss_is_the_mean_squared_error_to_the_one_thing_told(method: LearnedMethod, need: Need) -> None:
    told = method.told("gauss")
    assert told == method.told("poisson") == {need}
    noisy, target, network = image(1), image(2), Gain()
    batch = Batch(noisy, NoiseInfo(method.name, told, {}), torch.Generator(), method.name, told, {need: target})
    loss, monitors = method.loss(network, batch, 0.5)
    loss.backward()
    error = 0.7 * noisy - target
    assert loss.item() == pytest.approx(error.square().mean().item())
    assert network.a.grad is not None
    assert network.a.grad.item() == pytest.approx((2 * error * noisy).mean().item(), rel=1e-4)
    assert monitors == {}
    output = method.denoise(network, noisy, batch.known, torch.Generator())
    assert torch.equal(output, 0.7 * noisy)


@pytest.mark.parametrize(("method", "other"), [(N2C(), Need.SECOND), (N2N(), Need.CLEAN)], ids=["n2c", "n2n"])
def test_the_target_of_the_other_is_out_of_reach(method: LearnedMethod, other: Need) -> None:
    told = method.told("gauss")
    everything = {Need.CLEAN: image(2), Need.SECOND: image(3)}
    batch = Batch(image(1), NoiseInfo(method.name, told, {}), torch.Generator(), method.name, told, everything)
    with pytest.raises(ContractError, match=f"{method.name}.*{other.value}"):
        _ = batch.clean if other is Need.CLEAN else batch.second


# --- the two copies of a training batch ---


def copies(tmp_path: Path, noise: str, draws: str, images: list[UIntImage]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Noisy and second copy of every step of a short training."""
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Watched(N2N):  # type: ignore[misc]
        def build(self, channels: int) -> nn.Module:
            return nn.Conv2d(channels, channels, 1)

        def backward(self, network: nn.Module, batch: Batch, progress: float) -> Any:
            kept.append((batch.noisy.clone(), batch.second.clone()))
            return super().backward(network, batch, progress)

    recipe = Recipe(Budget(6, "steps"), batch=4, crop=64, draws=draws)
    job = TrainingJob(Watched(), parse_noise(noise), recipe, 1, {}, {}, "cpu")
    train(job, images, tmp_path, "cpu", Quiet())
    return kept


def flat(value: int) -> UIntImage:
    return np.full((64, 64, 1), value, np.uint8)


@pytest.mark.parametrize("draws", ["fresh", "fixed"])
def test_the_noises_of_the_two_copies_are_uncorrelated_and_of_equal_strength(tmp_path: Path, draws: str) -> None:
    kept = copies(tmp_path, "gauss25", draws, [flat(100)] * 4)
    for noisy, second in kept:
        noises = torch.stack([noisy.flatten(), second.flatten()]) - 100 / 255
        assert abs(torch.corrcoef(noises)[0, 1]) < 4 / noises.shape[1] ** 0.5
        torch.testing.assert_close(noises.std(1), torch.full((2,), 25 / 255), rtol=0.03, atol=0)
        assert noises.mean(1).abs().max() < 4 * 25 / 255 / noises.shape[1] ** 0.5


@pytest.mark.parametrize("draws", ["fresh", "fixed"])
def test_with_ranged_noise_each_copy_has_a_level_of_its_own(tmp_path: Path, draws: str) -> None:
    images = [flat(100) for _ in range(24)]
    kept = copies(tmp_path, "gauss5_50", draws, images)
    first, second = (torch.cat([pair[k].std((1, 2, 3)) for pair in kept]) * 255 for k in (0, 1))
    for levels in (first, second):
        assert 4.5 < levels.min() < 15
        assert 40 < levels.max() < 52
    assert ((first - second).abs() > 3).double().mean() > 0.6
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.6
