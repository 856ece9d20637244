"""Generalized Recorrupted-to-Recorrupted: two independent images from one, and the average over passes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from scipy import stats
from torch import nn

from denoisebench.core.errors import UserError
from denoisebench.methods.gr2r import GR2R
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, Need, NoiseInfo
from denoisebench.protocol.noise import REAL, add_noise_batch, parse_noise, speckle

TOLD = frozenset({Need.FAMILY, Need.LEVEL})
LAMBDA = 30.0


def known_of(level: Any, family: str = "poisson") -> NoiseInfo:
    return NoiseInfo("gr2r", TOLD, {Need.LEVEL: level, Need.FAMILY: family})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts_of(clean: torch.Tensor, level: float = LAMBDA, seed: int = 2) -> torch.Tensor:
    return torch.poisson(level * clean, generator=generator(seed)) / level


class Spy(nn.Module):
    """A gain; keeps all it was shown."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.shown: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append(x.clone())
        return self.gain * x


def gamma_of(clean: torch.Tensor, looks: float, seed: int = 2) -> torch.Tensor:
    return clean * speckle(torch.full_like(clean, looks), generator(seed))


def loss_of(method: GR2R, network: nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> float:
    return float(method.loss(network, Batch(noisy, known, generator(), "gr2r", TOLD, {}), 0.5)[0])


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("clean", [0.02, 0.5, 0.9])
def test_the_two_images_are_independent_poisson_images_of_the_clean_value(clean: float, alpha: float) -> None:
    noisy = counts_of(torch.full((1, 1, 1000, 1000), clean, dtype=torch.float64))
    first, second = (part.flatten() for part in GR2R(alpha=alpha).thinned(noisy, LAMBDA, generator()))
    for part, share in ((first, 1 - alpha), (second, alpha)):
        variance = clean / (LAMBDA * share)
        assert part.mean().item() == pytest.approx(clean, abs=5 * variance**0.5 / 1000)
        # The fourth moment of few counts: a mean of m has the variance 2 m^2 + m in its squares.
        mean = clean * LAMBDA * share
        assert part.var().item() == pytest.approx(variance, rel=5 * (2 + 1 / mean) ** 0.5 / 1000)
        counted = part * LAMBDA * share
        assert (counted - counted.round()).abs().max() < 1e-9
    # Not only uncorrelated: whatever the input is, the mean of the target is the clean value.
    for part in (first < clean, first > clean):
        error = (clean / (LAMBDA * alpha) / int(part.sum())) ** 0.5
        assert second[part].mean().item() == pytest.approx(clean, abs=5 * error)
    assert ((first * (1 - alpha) + second * alpha) - noisy.flatten()).abs().max() < 1e-9


@pytest.mark.parametrize("clean", [0.5, 0.9])
def test_the_ends_of_the_input_say_nothing_of_the_target(clean: float) -> None:
    """What `r2r` gets wrong on Poisson noise, in the same place of its tests: there it is 0.04 to 0.09."""
    noisy = counts_of(torch.full((1, 1, 1000, 1000), clean, dtype=torch.float64))
    first, second = (part.flatten() for part in GR2R().thinned(noisy, LAMBDA, generator()))
    low, high = torch.quantile(first[:100_000], torch.tensor([0.01, 0.99], dtype=torch.float64))
    for end in (first < low, first > high):
        assert second[end].mean().item() == pytest.approx(clean, abs=0.02)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("looks", [1.0, 4.0, 30.0])
def test_the_two_images_are_independent_gamma_images_of_the_clean_value(looks: float, alpha: float) -> None:
    clean, count = 0.4, 1000 * 1000
    noisy = gamma_of(torch.full((1, 1, 1000, 1000), clean, dtype=torch.float64), looks)
    first, second = (part.flatten() for part in GR2R(alpha=alpha).shared_out(noisy, looks, generator()))
    for part, share in ((first, looks * (1 - alpha)), (second, looks * alpha)):
        # Their whole law, by Kolmogorov's distance, which is above 1.95/sqrt(n) once in a thousand.
        distance = stats.kstest(part.numpy(), stats.gamma(share, scale=clean / share).cdf).statistic
        assert distance < 1.95 / count**0.5
    # Uncorrelated, in their squares as well, whose correlation would tell one's size from the other's.
    for power in (1, 2):
        correlation = torch.corrcoef(torch.stack([first**power, second**power]))[0, 1]
        assert abs(correlation.item()) < 5 / count**0.5
    # And independent: whatever the input is, the mean of the target is the clean value.
    ends = torch.quantile(first[:100_000], torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64))
    where = torch.bucketize(first, ends)
    for part in range(4):
        inside = second[where == part]
        assert inside.mean().item() == pytest.approx(clean, abs=5 * clean / (looks * alpha * inside.numel()) ** 0.5)
    assert ((first * (1 - alpha) + second * alpha) - noisy.flatten()).abs().max() < 1e-9


def test_gamma_noise_of_another_number_of_looks_is_not_shared_out_independently() -> None:
    """What a wrong level does: so the test above can fail."""
    noisy = gamma_of(torch.full((1, 1, 300, 300), 0.4, dtype=torch.float64), 4.0)
    for looks, sign in ((2.0, -1), (8.0, 1)):
        pair = torch.stack([part.flatten() for part in GR2R().shared_out(noisy, looks, generator())])
        assert sign * torch.corrcoef(pair)[0, 1].item() > 0.1


@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_a_black_pixel_and_a_single_look_are_shared_out_without_nan(alpha: float) -> None:
    noisy = torch.cat([torch.zeros(1, 1, 64, 64), gamma_of(torch.rand(1, 1, 64, 64), 0.05)])
    first, second = GR2R(alpha=alpha).shared_out(noisy, 0.05, generator())
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()
    assert not first[0].any()
    assert not second[0].any()


@pytest.mark.parametrize("gain", [0.0, 0.6, 1.0])
def test_the_loss_on_gamma_noise_is_that_against_the_clean_image_and_a_constant(gain: float) -> None:
    clean = torch.linspace(0, 1, 64, dtype=torch.float64).expand(16, 3, 64, 64)
    method, network, looks = GR2R(), Spy(gain), 4.0
    loss = loss_of(method, network, gamma_of(clean, looks), known_of(looks, "gamma"))
    (shown,) = network.shown
    supervised = float((gain * shown - clean).square().mean())
    constant = float(clean.square().mean()) / (looks * method.alpha)
    assert loss == pytest.approx(supervised + constant, rel=0.02)


def test_each_image_of_a_batch_is_shared_out_by_its_own_looks() -> None:
    clean = torch.full((3, 1, 128, 128), 0.5)
    noisy, looks = add_noise_batch(clean, parse_noise("gamma2_20"), generator(3))
    first, second = GR2R().shared_out(noisy, looks, generator())
    torch.testing.assert_close(second.var((1, 2, 3)), 0.25 / (looks.flatten() * 0.2), rtol=0.12, atol=0)
    torch.testing.assert_close(first.var((1, 2, 3)), 0.25 / (looks.flatten() * 0.8), rtol=0.12, atol=0)
    torch.testing.assert_close(0.8 * first + 0.2 * second, noisy, rtol=0, atol=1e-5)


@pytest.mark.parametrize("gain", [0.0, 0.6, 1.0])
def test_the_loss_is_that_against_the_clean_image_and_a_constant(gain: float) -> None:
    clean = torch.linspace(0, 1, 64, dtype=torch.float64).expand(16, 3, 64, 64)
    method, network = GR2R(), Spy(gain)
    loss = loss_of(method, network, counts_of(clean), known_of(LAMBDA))
    (shown,) = network.shown
    supervised = float((gain * shown - clean).square().mean())
    constant = float(clean.mean()) / (LAMBDA * method.alpha)
    assert loss == pytest.approx(supervised + constant, rel=0.02)


def test_each_image_of_a_batch_is_thinned_by_its_own_level() -> None:
    clean = torch.full((3, 1, 128, 128), 0.5)
    noisy, level = add_noise_batch(clean, parse_noise("poisson5_50"), generator(3))
    first, second = GR2R().thinned(noisy, level, generator())
    expected = 0.5 / (level.flatten() * 0.2)
    torch.testing.assert_close(second.var((1, 2, 3)), expected, rtol=0.08, atol=0)
    torch.testing.assert_close(0.8 * first + 0.2 * second, noisy, rtol=0, atol=1e-5)
    counts = first * level * 0.8
    assert (counts - counts.round()).abs().max() < 1e-4


def test_thinning_is_repeated_by_its_generator_and_fresh_otherwise() -> None:
    noisy, draws = torch.full((1, 1, 8, 8), 0.5), generator()
    first, second = (GR2R().thinned(noisy, LAMBDA, draws)[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, GR2R().thinned(noisy, LAMBDA, generator())[0])


def test_what_lies_below_0_or_between_counts_is_the_next_count() -> None:
    noisy = torch.tensor([-0.2, 0.49, 0.51, 1.4, 3.0]).view(1, 1, 1, 5)
    first, second = GR2R(alpha=0.5).thinned(noisy, 1.0, generator())
    assert ((first + second) / 2).flatten().tolist() == [0, 0, 1, 1, 3]


@pytest.mark.parametrize("passes", [1, 3, 50])
def test_denoising_averages_the_outputs_on_so_many_thinned_inputs(passes: int) -> None:
    network, noisy = Spy(), counts_of(torch.full((1, 3, 32, 32), 0.4, dtype=torch.float64))
    output = GR2R(passes=passes).denoise(network, noisy, known_of(LAMBDA), generator())
    assert len(network.shown) == passes
    torch.testing.assert_close(output, torch.stack(network.shown).mean(0))
    # Given the counts, an input varies by alpha / (1 - alpha) of them.
    expected = (0.25 * float(noisy.mean()) / LAMBDA / passes) ** 0.5
    assert (output - noisy).std().item() == pytest.approx(expected, rel=0.06)


def test_passes_need_no_new_training_and_alpha_does() -> None:
    assert GR2R() == GR2R(alpha=0.2, passes=5)
    assert GR2R(passes=1).settings(training_only=True) == GR2R().settings(training_only=True)
    assert GR2R(alpha=0.5).settings(training_only=True) != GR2R().settings(training_only=True)


@pytest.mark.parametrize(
    "settings", [{"alpha": "0"}, {"alpha": "1"}, {"alpha": "-0.5"}, {"passes": "0"}, {"alpha": "nan"}]
)
def test_a_bad_setting_is_a_user_error(settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="gr2r"):
        GR2R.from_settings(settings)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ("gauss25", "Poisson and gamma noise; .*r2r"), ("gauss5_50", "Poisson and gamma noise"),
        ("poisson30-uint8", "poisson30-uint8 has no longer; take poisson30$"),
        ("poisson5_50-clip", "take poisson5_50$"), ("gamma4-clip", "gamma noise, which gamma4-clip.*take gamma4$"),
    ],
)  # fmt: skip
def test_noise_of_another_law_is_refused_by_name(noise: str, words: str) -> None:
    assert re.search(words, str(parse_method("gr2r").unsuitable(parse_noise(noise), 3)))


def test_noise_of_one_level_or_many_is_taken_and_that_of_cameras_not() -> None:
    method = parse_method("gr2r")
    for noise in ("poisson30", "poisson5_50", "gamma4", "gamma1_10"):
        for channels in (1, 3):
            assert method.unsuitable(parse_noise(noise), channels) is None
    assert "noise level" in str(method.unsuitable(REAL, 3))
    assert method.told("poisson") == method.told("gamma") == TOLD
