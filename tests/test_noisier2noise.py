"""Noisier2Noise: its correction is exact where the posterior mean is known in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Need, NoiseInfo
from denoisebench.protocol.noise import parse_noise


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_correction_gives_the_posterior_mean_of_a_gaussian_prior(alpha: float) -> None:
    # x ~ N(0, s2), y = x + n, z = y + alpha n': every conditional mean is linear in z.
    method: Any = parse_method(f"noisier2noise[alpha={alpha}]")
    prior, noise = 0.3, 0.1
    z = torch.linspace(-1, 1, 11, dtype=torch.float64)
    total = prior + noise + alpha**2 * noise
    expected_y, expected_x = (prior + noise) / total * z, prior / total * z
    torch.testing.assert_close(method.corrected(expected_y, z), expected_x)


def test_the_correction_holds_for_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    x, n, m = (torch.randn(400_000, generator=generator, dtype=torch.float64) * s for s in (0.5, 0.3, 0.3))
    y, z = x + n, x + n + m
    slope_y, slope_x = ((z * t).mean() / (z * z).mean() for t in (y, x))
    method: Any = parse_method("noisier2noise")
    assert float(method.corrected(slope_y, torch.tensor(1.0))) == pytest.approx(float(slope_x), abs=0.01)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_the_two_ways_of_output_are_one_method(alpha: float) -> None:
    # A network that gives the clean estimate, and the one that gives f(z) of it.
    direct: Any = parse_method(f"noisier2noise[alpha={alpha},output=noisy]")
    usual: Any = parse_method(f"noisier2noise[alpha={alpha}]")
    z = torch.rand(1, 3, 8, 8, dtype=torch.float64)

    def clean(image: torch.Tensor) -> torch.Tensor:
        return image.square()

    def noisy(image: torch.Tensor) -> torch.Tensor:
        return (alpha**2 * clean(image) + image) / (1 + alpha**2)

    torch.testing.assert_close(usual.prediction(clean, z), direct.prediction(noisy, z))
    torch.testing.assert_close(usual.corrected(usual.prediction(clean, z), z), clean(z))


def test_the_added_noise_has_the_told_level() -> None:
    method: Any = parse_method("noisier2noise[alpha=0.5]")
    known = NoiseInfo("noisier2noise", frozenset({Need.LEVEL}), {Need.LEVEL: torch.tensor([0.1, 0.4]).view(2, 1, 1, 1)})
    noisier = method.noisier(torch.zeros(2, 3, 128, 128), known, torch.Generator().manual_seed(1))
    assert noisier.flatten(1).std(1).tolist() == pytest.approx([0.05, 0.2], rel=0.01)


@pytest.mark.parametrize("noise", ["poisson30", "gamma4"])
def test_other_noise_is_refused_before_any_work(noise: str) -> None:
    assert "Gaussian" in str(parse_method("noisier2noise").unsuitable(parse_noise(noise), 3))
    assert parse_method("noisier2noise").unsuitable(parse_noise("gauss5_50"), 3) is None


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="alpha must be above 0"):
        parse_method("noisier2noise[alpha=0]")
