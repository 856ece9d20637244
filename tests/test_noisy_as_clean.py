"""Noisy-As-Clean: independent simulated noise, orientations, schedule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.methods.noisy_as_clean import noisier, turned
from denoisebench.networks.resnet import ResNet
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Need, NoiseInfo, PerImageMethod


def told(family: str, level: float) -> NoiseInfo:
    return NoiseInfo("noisy_as_clean", frozenset(Need), {Need.FAMILY: family, Need.LEVEL: level})


def method(text: str = "noisy_as_clean") -> PerImageMethod:
    found = parse_method(text)
    assert isinstance(found, PerImageMethod)
    return found


def test_parameter_count() -> None:
    assert sum(p.numel() for p in ResNet(3, 3).parameters()) == 744_643


@pytest.mark.parametrize(
    ("family", "level", "spread"),
    [("gauss", 0.1, 0.1), ("poisson", 30.0, (0.4 / 30) ** 0.5), ("gamma", 16.0, 0.1)],
)
def test_added_noise_has_the_law_of_the_image_and_is_new_each_time(family: str, level: float, spread: float) -> None:
    image = torch.full((1, 1, 200, 200), 0.4)
    first, second = (noisier(image, told(family, level)) - image for _ in range(2))
    assert float(first.std()) == pytest.approx(spread, rel=0.03)
    assert float(first.mean()) == pytest.approx(0, abs=4 * spread / 200)
    assert abs(float((first * second).mean())) < 0.03 * spread**2


@pytest.mark.parametrize("way", range(8))
def test_orientations_are_undone(way: int) -> None:
    image = torch.rand(1, 2, 4, 6)
    assert torch.equal(turned(turned(image, way), way, back=True), image)


def test_the_eight_orientations_differ() -> None:
    image = torch.rand(1, 1, 4, 4)
    assert len({tuple(turned(image, way).flatten().tolist()) for way in range(8)}) == 8


def test_the_rate_is_halved_every_150_of_1000_steps() -> None:
    rates = [method().rate((step + 1) / 1000) for step in range(1000)]
    assert rates[149] == 1e-3
    assert rates[150] == 5e-4
    assert rates[899] == pytest.approx(1e-3 / 32)
    assert rates[900] == pytest.approx(1e-3 / 64)


def test_the_papers_steps_count_orientations() -> None:
    """1000 released steps sum the gradients of 8 orientations each; a step here has one."""
    asked: list[torch.Tensor] = []
    loss = method().loss(lambda x: asked.append(x) or x, torch.rand(1, 1, 8, 8), told("gauss", 0.1), 0.5)  # type: ignore[arg-type,func-returns-value]
    assert (len(asked), asked[0].shape[0], loss.shape) == (1, 1, ())
    assert method().paper_steps == 8 * 1000


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="blocks be at least 1"):
        parse_method("noisy_as_clean[blocks=0]")


@pytest.mark.slow
def test_a_photograph_gets_better(fitted_gain: Callable[[str, int], float]) -> None:
    assert fitted_gain("noisy_as_clean[blocks=4]", 100) > 2
