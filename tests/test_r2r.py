"""Recorrupted-to-Recorrupted: two independent noises from one, and the average over passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from denoisebench.core.errors import ContractError, UserError
from denoisebench.methods.r2r import R2R
from denoisebench.plugins.method import Batch, Need, NoiseInfo

TOLD = frozenset({Need.FAMILY, Need.LEVEL})


def known_of(family: str, level: Any) -> NoiseInfo:
    return NoiseInfo("r2r", TOLD, {Need.FAMILY: family, Need.LEVEL: level})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


class Spy(nn.Module):
    """The identity; keeps all it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append(x.clone())
        return x


def pair_of(method: R2R, noisy: torch.Tensor, known: NoiseInfo) -> tuple[torch.Tensor, torch.Tensor]:
    """Input and target of one step, the target from the input and what both share."""
    network = Spy()
    loss, _ = method.loss(network, Batch(noisy, known, generator(), "r2r", TOLD, {}), 0.5)
    (shown,) = network.shown
    target = noisy - (shown - noisy) / method.alpha**2
    assert loss.item() == pytest.approx((shown - target).square().mean().item())
    return shown, target


@pytest.mark.parametrize(("alpha", "input_gain", "target_gain"), [(0.5, 1.25, 5.0), (1.0, 2.0, 2.0), (2.0, 5.0, 1.25)])
def test_the_two_noises_are_uncorrelated_with_the_stated_deviations(
    alpha: float, input_gain: float, target_gain: float
) -> None:
    clean, sigma = torch.linspace(0, 1, 64, dtype=torch.float64).expand(4, 3, 64, 64), 25 / 255
    shown, target = pair_of(R2R(alpha=alpha), clean + sigma * normal(4, 3, 64, 64), known_of("gauss", sigma))
    first, second = (shown - clean).flatten(), (target - clean).flatten()
    assert first.std().item() == pytest.approx(sigma * input_gain**0.5, rel=0.02)
    assert second.std().item() == pytest.approx(sigma * target_gain**0.5, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 4 / first.numel() ** 0.5


def test_each_image_of_a_batch_is_recorrupted_with_its_own_level() -> None:
    level = torch.tensor([5.0, 25.0, 50.0], dtype=torch.float64).view(3, 1, 1, 1) / 255
    noisy = torch.zeros(3, 1, 64, 64, dtype=torch.float64)
    z = R2R().recorruption(noisy, known_of("gauss", level), generator())
    torch.testing.assert_close(z.std((1, 2, 3)), level.flatten(), rtol=0.05, atol=0)


def test_poisson_recorruption_follows_the_value_of_each_pixel() -> None:
    noisy = torch.tensor([-0.2, 0.0, 0.1, 0.5, 1.4], dtype=torch.float64).view(5, 1, 1, 1).expand(5, 1, 64, 64)
    z = R2R().recorruption(noisy, known_of("poisson", 30.0), generator())
    expected = torch.tensor([0.0, 0.0, 0.1 / 30, 0.5 / 30, 1.4 / 30], dtype=torch.float64).sqrt()
    torch.testing.assert_close(z.std((1, 2, 3)), expected, rtol=0.05, atol=0)
    shown, _ = pair_of(R2R(), noisy, known_of("poisson", 30.0))
    torch.testing.assert_close((shown - noisy).std((1, 2, 3)), 0.5 * expected, rtol=0.05, atol=0)


def test_recorruption_is_repeated_by_its_generator_and_fresh_otherwise() -> None:
    noisy, known, draws = torch.zeros(1, 1, 8, 8), known_of("gauss", 0.1), generator()
    first, second = (R2R().recorruption(noisy, known, draws) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, R2R().recorruption(noisy, known, generator()))


@pytest.mark.parametrize("passes", [1, 3, 50])
def test_denoising_averages_the_outputs_on_so_many_recorrupted_inputs(passes: int) -> None:
    network, noisy = Spy(), torch.full((1, 3, 32, 32), 0.4, dtype=torch.float64)
    output = R2R(passes=passes).denoise(network, noisy, known_of("gauss", 0.1), generator())
    assert len(network.shown) == passes
    torch.testing.assert_close(output, torch.stack(network.shown).mean(0))
    # The identity leaves alpha times the mean of the added noises.
    assert (output - noisy).std().item() == pytest.approx(0.5 * 0.1 / passes**0.5, rel=0.06)
    assert torch.equal(noisy, torch.full_like(noisy, 0.4))


def test_defaults_are_the_published_ones_and_passes_need_no_new_training() -> None:
    assert R2R() == R2R(alpha=0.5, passes=50)
    assert R2R(passes=1).settings(training_only=True) == R2R().settings(training_only=True)
    assert R2R(alpha=1.0).settings(training_only=True) != R2R().settings(training_only=True)


def test_it_is_told_family_and_level_and_cannot_do_without() -> None:
    assert R2R().told("gauss") == R2R().told("poisson") == TOLD
    with pytest.raises(ContractError, match="noise level"):
        R2R().recorruption(
            torch.zeros(1, 1, 4, 4), NoiseInfo("r2r", frozenset({Need.FAMILY}), {Need.FAMILY: "gauss"}), generator()
        )


@pytest.mark.parametrize("settings", [{"alpha": "0"}, {"alpha": "-0.5"}, {"passes": "0"}, {"alpha": "inf"}])
def test_a_bad_setting_is_a_user_error(settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="r2r"):
        R2R.from_settings(settings)


@pytest.mark.parametrize("clean", [0.5, 0.9])
def test_on_poisson_noise_the_two_images_are_uncorrelated_but_dependent(clean: float) -> None:
    noisy = torch.poisson(torch.full((1, 1, 1000, 1000), 30 * clean, dtype=torch.float64), generator=generator(2)) / 30
    shown, target = (part.flatten() for part in pair_of(R2R(), noisy, known_of("poisson", 30.0)))
    assert torch.corrcoef(torch.stack([shown, target]))[0, 1].item() == pytest.approx(0, abs=0.004)
    low, high = torch.quantile(shown[:100_000], torch.tensor([0.01, 0.99], dtype=torch.float64))
    # A second copy would have the clean value here; so this is what regression on the pair gets wrong.
    for end in (shown < low, shown > high):
        assert -0.09 < target[end].mean().item() - clean < -0.04
