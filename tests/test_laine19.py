"""Laine19: the blind spot is exact, the likelihood and the posterior mean are those of the formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from denoisebench.core.errors import UserError
from denoisebench.networks import build_network
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, Need, NoiseInfo
from denoisebench.protocol.noise import parse_noise
from denoisebench.toolbox.covariance import posterior_mean
from denoisebench.training.job import TrainingJob
from denoisebench.training.loop import ProcessGroup, _Run
from denoisebench.training.recipe import Recipe, parse_budget


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def told(name: str, **values: Any) -> NoiseInfo:
    given = {Need[key.upper()]: value for key, value in values.items()}
    return NoiseInfo(name, frozenset(given), given)


# --- the network ---


@pytest.mark.parametrize(("outputs", "count"), [(3, 1_268_547), (9, 1_269_129)])
def test_parameter_counts(outputs: int, count: int) -> None:
    with torch.device("meta"):
        network = build_network("blindspot", 3, outputs)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (96, 32)])
@pytest.mark.parametrize("place", [(13, 18), (0, 0), (31, 31), (16, 31)])
def test_an_output_sees_all_around_but_not_its_own_pixel(size: tuple[int, int], place: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = build_network("blindspot", 1, 1).double()
    x = image(1, 1, *size).requires_grad_()
    row, column = place
    (gradient,) = torch.autograd.grad(network(x)[0, 0, row, column], x)
    assert gradient[0, 0, row, column] == 0
    near = [
        gradient[0, 0, r, c]
        for r in range(max(0, row - 1), min(size[0], row + 2))
        for c in range(max(0, column - 1), min(size[1], column + 2))
        if (r, c) != place
    ]
    assert all(value != 0 for value in near)


def test_square_and_other_images_take_the_same_path() -> None:
    torch.manual_seed(0)
    network = build_network("blindspot", 3, 3).double()
    x = image(1, 3, 64, 64)
    turned = torch.rot90(network(torch.rot90(x, 1, (2, 3))), -1, (2, 3))
    # Only the last layers tell the rotations apart, so turning is no symmetry; but shapes and values stay sound.
    assert turned.shape == network(x).shape == x.shape
    wide = network(image(2, 3, 32, 96))
    assert wide.shape == (2, 3, 32, 96)
    assert torch.isfinite(wide).all()


# --- mu ---


def test_mu_is_regression_on_the_noisy_image() -> None:
    method: Any = parse_method("laine19_mu")
    network = method.build(3)
    noisy = image(1, 3, 32, 32).float()
    batch = Batch(noisy, told("laine19_mu"), torch.Generator(), "laine19_mu", frozenset(), {})
    loss, _ = method.loss(network, batch, 0.5)
    torch.testing.assert_close(loss, (network(noisy) - noisy).square().mean())


@pytest.mark.parametrize("name", ["laine19_mu", "laine19_pme"])
def test_networks_that_see_the_pixel_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="networks with a blind spot: blindspot"):
        parse_method(f"{name}[network=unet]")


# --- posterior ---


def test_the_posterior_mean_is_a_numerical_integral() -> None:
    mean, prior, noise, y = 0.4, 0.05, 0.02, 0.7
    x = torch.linspace(-2, 3, 200_001, dtype=torch.float64)
    weight = torch.exp(-((x - mean) ** 2) / (2 * prior) - (y - x) ** 2 / (2 * noise))
    expected = float((weight * x).sum() / weight.sum())
    pixel = torch.full((1, 1, 1, 1), 1.0, dtype=torch.float64)
    got = posterior_mean(y * pixel, mean * pixel, [[prior * pixel[:, 0]]], noise * pixel)
    assert float(got.detach()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_likelihood_and_posterior_are_those_of_full_matrices(channels: int) -> None:
    method: Any = parse_method("laine19_pme")
    torch.manual_seed(0)
    network = method.build(channels).double()
    noisy = image(1, channels, 32, 32)
    known = told("laine19_pme", family="gauss", level=0.1)
    mean, rows = method.prior(network, noisy)
    batch = Batch(noisy, known, torch.Generator(), "laine19_pme", method.info.needs, {})
    loss, _ = method.loss(network, batch, 0.5)
    denoised = method.denoise(network, noisy, known, torch.Generator())
    total = 0.0
    for r in range(32):
        for c in range(32):
            prior = torch.zeros(channels, channels, dtype=torch.float64)
            for i in range(channels):
                for j in range(i + 1):
                    prior[i, j] = prior[j, i] = rows[i][j][0, r, c].detach()
            both = prior + 0.01 * torch.eye(channels, dtype=torch.float64)
            mu, y = mean[0, :, r, c].detach(), noisy[0, :, r, c]
            total -= multivariate_normal.logpdf(y.numpy(), mu.numpy(), both.numpy())
            if (r, c) == (5, 7):
                torch.testing.assert_close(denoised[0, :, r, c], mu + prior @ torch.linalg.solve(both, y - mu))
    constant = 0.5 * channels * torch.log(torch.tensor(2 * torch.pi)).item()
    assert float(loss.detach()) == pytest.approx(total / 1024 - constant, rel=1e-6)


def test_limits_of_the_posterior() -> None:
    y, mu = image(1, 3, 4, 4), image(1, 3, 4, 4, seed=1)
    wide = [[torch.full((1, 4, 4), float(i == j), dtype=torch.float64) for j in range(i + 1)] for i in range(3)]
    narrow = [[0 * value for value in row] for row in wide]
    tiny = torch.full_like(y, 1e-12)
    torch.testing.assert_close(posterior_mean(y, mu, wide, tiny), y)
    torch.testing.assert_close(posterior_mean(y, mu, narrow, tiny), mu)


@pytest.mark.parametrize("level", ["known", "global", "image"])
@pytest.mark.parametrize("family", ["gauss", "poisson"])
def test_variances_and_gradients(level: str, family: str) -> None:
    method: Any = parse_method(f"laine19_pme[level={level}]")
    torch.manual_seed(0)
    network = method.build(3)
    noisy = image(2, 3, 32, 32).float()
    values = {Need.FAMILY: family, Need.LEVEL: torch.tensor([0.1, 0.2]).view(2, 1, 1, 1)}
    if family == "poisson":
        values[Need.LEVEL] = torch.tensor([30.0, 5.0]).view(2, 1, 1, 1)
    known = NoiseInfo("laine19_pme", method.told(family), values)
    variance = method.variance(network, noisy, torch.full_like(noisy, 0.25).double(), known)
    if level == "known":
        expected = [0.01, 0.04] if family == "gauss" else [0.25 / 30, 0.05]
    else:
        start = torch.nn.functional.softplus(torch.tensor(-4.0)).item() + 1e-3
        expected = [start**2] * 2 if family == "gauss" else [0.25 * start] * 2
    assert variance.mean((1, 2, 3)).tolist() == pytest.approx(expected, rel=1e-5)
    batch = Batch(noisy, known, torch.Generator(), "laine19_pme", method.told(family), values)
    loss, _ = method.loss(network, batch, 1.0)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert sum(p.grad is None for p in network.parameters()) == 0


def test_the_first_steps_on_poisson_noise_do_not_run_away(tmp_path: Path) -> None:
    photos = [np.random.default_rng(i).integers(100, 164, (64, 64, 3), dtype=np.uint8) for i in range(3)]
    method: Any = parse_method("laine19_pme")
    recipe = Recipe(parse_budget("100steps"))
    job = TrainingJob(method, parse_noise("poisson30"), recipe, 3, {"name": "photos"}, {}, "cpu")
    training = _Run(job, photos, tmp_path / "checkpoint", "cpu", ProcessGroup())
    for _ in range(6):
        training.step()
    # With whole gradients it is 86.
    assert training._curve[-1]["residual"] < 1


def test_the_level_of_another_model_than_the_assumed_one_is_refused() -> None:
    method = parse_method("laine19_pme[assume=gauss]")
    assert "assumes gauss noise, of which poisson30 tells no level" in str(
        method.unsuitable(parse_noise("poisson30"), 3)
    )
    assert method.unsuitable(parse_noise("gauss25"), 3) is None
    assert parse_method("laine19_pme[assume=gauss,level=image]").unsuitable(parse_noise("poisson30"), 3) is None
    assert "no model of gamma noise" in str(parse_method("laine19_pme").unsuitable(parse_noise("gamma4"), 3))


@pytest.mark.parametrize(("channels", "weight"), [(1, 0.05), (3, 0.1)])
def test_a_learned_level_is_pushed_up_as_much_as_released(channels: int, weight: float) -> None:
    """With the sign of the released term: without it the level of smooth images falls to its smallest value."""
    known_level: Any = parse_method("laine19_pme[assume=gauss]")
    learned: Any = parse_method("laine19_pme[assume=gauss,level=global]")
    torch.manual_seed(0)
    network = learned.build(channels).double()
    network.level.data.fill_(2.0)
    noisy = image(1, channels, 32, 32)
    level = torch.nn.functional.softplus(torch.tensor(-2.0, dtype=torch.float64)).item() + 1e-3
    known = NoiseInfo("laine19_pme", frozenset(Need), {Need.FAMILY: "gauss", Need.LEVEL: level})
    losses = [
        float(method.loss(network, Batch(noisy, known, torch.Generator(), "x", frozenset(Need), {}), 0.5)[0].detach())
        for method in (learned, known_level)
    ]
    assert losses[0] - losses[1] == pytest.approx(-weight * level, rel=1e-6)


def test_the_poisson_variance_carries_the_gradient_of_the_mean() -> None:
    method: Any = parse_method("laine19_pme")
    mean = torch.full((1, 3, 2, 2), 0.25, dtype=torch.float64, requires_grad=True)
    known = NoiseInfo("laine19_pme", frozenset(Need), {Need.FAMILY: "poisson", Need.LEVEL: 30.0})
    variance = method.variance(torch.nn.Module(), mean.detach(), mean, known)
    (gradient,) = torch.autograd.grad(variance.sum(), mean)
    torch.testing.assert_close(gradient, torch.full_like(mean, 1 / 30))


def test_the_mean_starts_at_gray() -> None:
    method: Any = parse_method("laine19_pme")
    network = method.build(3)
    for parameter in network["prior"].parameters():
        torch.nn.init.zeros_(parameter)
    mean, _ = method.prior(network, image(1, 3, 32, 32).float())
    assert torch.equal(mean, torch.full_like(mean, 0.5))


def test_gradients_are_cut_to_ten() -> None:
    method: Any = parse_method("laine19_pme")
    assert method.gradient_norm == 10.0
