"""Probabilistic Noise2Void: what is hidden, the likelihoods, the posterior mean, and its memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from denoisebench.core.errors import UserError
from denoisebench.methods import pn2v
from denoisebench.methods.pn2v import (
    FEATURES,
    PN2V,
    fillers,
    hidden,
    log_density,
    positive,
)
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, Need, NoiseInfo


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def known(family: str, level: Any) -> NoiseInfo:
    return NoiseInfo("pn2v", frozenset({Need.FAMILY, Need.LEVEL}), {Need.FAMILY: family, Need.LEVEL: level})


def batch_of(noisy: torch.Tensor, told: NoiseInfo, seed: int = 0) -> Batch:
    return Batch(noisy, told, torch.Generator().manual_seed(seed), "pn2v", PN2V.info.needs, {})


def trainable(method: PN2V, channels: int, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: nn.Module = method.build(channels).double()
        return network


class Spy(nn.Module):
    """96 features that depend on a pixel alone: its channels, repeated; keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown = x.detach()
        return x.repeat(1, FEATURES // x.shape[1], 1, 1)


def with_samples(samples: torch.Tensor, features: nn.Module | None = None, weight: float = 0.0) -> nn.ModuleDict:
    """A network whose samples (C, K) are the same for all pixels, but for ``weight`` times what it sees."""
    last = nn.Linear(FEATURES, samples.numel()).double()
    nn.init.constant_(last.weight, weight)
    last.bias.data.copy_(samples.flatten())
    return nn.ModuleDict({"features": features or Spy(), "last": last})


def shown_to(network: nn.ModuleDict) -> torch.Tensor:
    spy = network["features"]
    assert isinstance(spy, Spy)
    return spy.shown


def quantiles(prior: Any, count: int = 4000) -> torch.Tensor:
    """An equally weighted set of samples that stands for a distribution, (1, K)."""
    return torch.from_numpy(prior.ppf((np.arange(count) + 0.5) / count))[None]


# --- hidden pixels ---


def test_each_box_hides_one_uniform_pixel_of_every_image_and_channel() -> None:
    shape = torch.Size((6, 3, 128, 256))
    index = hidden(shape, torch.Generator().manual_seed(1))
    hit = torch.zeros(6, 3, 128 * 256).scatter_add(2, index, torch.ones(index.shape)).view(shape)
    boxes = hit.unfold(2, 4, 4).unfold(3, 8, 8)
    assert torch.equal(boxes.sum((-1, -2)), torch.ones(6, 3, 32, 32))
    count = 6 * 3 * 32 * 32
    assert (boxes.mean((0, 1, 2, 3)) - 1 / 32).abs().max() < 5 * (1 / 32 / count) ** 0.5
    assert not torch.equal(hit[0, 0], hit[0, 1])
    assert not torch.equal(hit[0, 0], hit[1, 0])
    assert not torch.equal(index, hidden(shape, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("place", [(16, 16), (0, 31), (1, 30), (31, 0)])
def test_a_filler_is_any_other_pixel_of_the_window_with_equal_chance(place: tuple[int, int]) -> None:
    shape, count = torch.Size((20_000, 1, 32, 32)), 20_000
    index = torch.full((count, 1, 1), place[0] * 32 + place[1])
    source = fillers(index, shape, torch.Generator().manual_seed(1)).flatten()
    rows, columns = (range(max(0, p - 2), min(31, p + 2) + 1) for p in place)
    wanted = {r * 32 + c for r in rows for c in columns} - {place[0] * 32 + place[1]}
    frequency = source.bincount(minlength=1024).double() / count
    assert set(source.tolist()) == wanted
    assert (frequency[sorted(wanted)] - 1 / len(wanted)).abs().max() < 5 * (1 / len(wanted) / count) ** 0.5


def test_no_filler_is_hidden_itself() -> None:
    shape, generator = torch.Size((20, 2, 64, 64)), torch.Generator().manual_seed(3)
    index = hidden(shape, generator)
    source = fillers(index, shape, generator)
    for i, s in zip(index.flatten(0, 1), source.flatten(0, 1), strict=True):
        assert not torch.isin(s, i).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_value_of_a_hidden_pixel_never_reaches_the_network(channels: int) -> None:
    method, told = PN2V(samples=4), known("gauss", 0.1)
    noisy = image(2, channels, 64, 64)
    index = hidden(noisy.shape, torch.Generator().manual_seed(5))
    other = noisy.flatten(2).scatter_add(2, index, torch.full(index.shape, 7.0).double()).view_as(noisy)
    network = with_samples(image(channels, 4))
    seen: list[torch.Tensor] = []
    for y in (noisy, other):
        method.loss(network, batch_of(y, told, seed=5), 0.5)
        seen.append(shown_to(network))
    assert torch.equal(seen[0], seen[1])
    changed = torch.zeros_like(noisy, dtype=torch.bool).flatten(2).scatter(2, index, True).view_as(noisy)
    assert torch.equal(seen[0] != noisy, changed)


# --- likelihoods and loss ---


@pytest.mark.parametrize("level", [0.02, 0.1, 2.0])
def test_the_gaussian_density_is_scipys(level: float) -> None:
    y, x = image(50), image(50, seed=1)
    expected = stats.norm.logpdf(y, x, level)
    np.testing.assert_allclose(log_density(y, x, known("gauss", level)), expected, rtol=1e-12)


@pytest.mark.parametrize("level", [5.0, 30.0, 500.0])
def test_the_poisson_probability_is_scipys(level: float) -> None:
    x = 0.001 + image(50)
    count = stats.poisson.rvs(level * x.numpy(), random_state=0)
    found = log_density(torch.from_numpy(count / level), x, known("poisson", level))
    np.testing.assert_allclose(found, stats.poisson.logpmf(count, level * x.numpy()), rtol=1e-9, atol=1e-9)
    total = log_density(torch.arange(3000).double() / level, x[:1], known("poisson", level)).exp().sum()
    assert total.item() == pytest.approx(1)


@pytest.mark.parametrize("level", [0.5, 1.0, 4.0, 30.0])
def test_the_gamma_density_is_scipys(level: float) -> None:
    y, x = 0.001 + image(50), 0.001 + image(50, seed=1)
    expected = stats.gamma.logpdf(y, level, scale=x / level)
    np.testing.assert_allclose(log_density(y, x, known("gamma", level)), expected, rtol=1e-12, atol=1e-12)
    black = log_density(torch.zeros(1, dtype=torch.float64), x, known("gamma", level))
    assert torch.equal(black, log_density(torch.full((1,), 0.001, dtype=torch.float64), x, known("gamma", level)))


def test_between_whole_photons_the_probability_is_smooth() -> None:
    counts = torch.linspace(3, 4, 101, dtype=torch.float64)
    values = log_density(counts / 30, torch.tensor(0.12).double(), known("poisson", 30.0)).exp()
    assert values.diff().abs().max() < 0.002
    assert values[[0, -1]].tolist() == pytest.approx(stats.poisson.pmf([3, 4], 3.6).tolist(), rel=1e-6)


def test_poisson_samples_are_positive_and_smooth() -> None:
    raw = torch.tensor([-1e6, -1.0, 0.0, 0.001, 0.002, 0.7], dtype=torch.float64, requires_grad=True)
    found = positive(raw)
    assert found.detach().tolist() == pytest.approx([1e-12, 1e-6 / 1.002, 0.0005, 0.001, 0.002, 0.7], rel=1e-6)
    (slope,) = torch.autograd.grad(found.sum(), raw)
    assert (slope > 0).all()
    assert slope[3:].tolist() == [1, 1, 1]
    for y in (0.0, 1.0):
        values = log_density(torch.tensor(y), positive(raw), known("poisson", 30.0))
        (gradient,) = torch.autograd.grad(values.sum(), raw)
        assert torch.isfinite(gradient).all()
        assert (gradient[:3] * (1 if y else -1) >= 0).all()


@pytest.mark.parametrize(("family", "level"), [("gauss", 0.1), ("poisson", 30.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_formula_on_hidden_pixels(family: str, level: float, channels: int) -> None:
    noisy = (image(2, channels, 32, 32) * 30).round() / 30
    fixed = 0.1 + image(channels, 5, seed=2)
    network = with_samples(fixed, weight=0.002)
    loss, monitors = PN2V(samples=5).loss(network, batch_of(noisy, known(family, level), seed=9), 0.5)
    index = hidden(noisy.shape, torch.Generator().manual_seed(9))
    shown = shown_to(network)
    # Every feature is one channel of the shown pixel, 96 / C times.
    samples = fixed[None, :, None] + 0.002 * FEATURES * shown.mean(1).flatten(1)[:, None, :, None]
    terms, residuals = [], []
    for n in range(2):
        for c in range(channels):
            y, s = noisy[n, c].flatten()[index[n, c]].numpy(), samples[n, c, index[n, c]].numpy()
            p = (
                stats.norm.pdf(y[:, None], s, level)
                if family == "gauss"
                else stats.poisson.pmf((level * y[:, None]).round(), level * s)
            )
            terms.append(-np.log(p.mean(1)))
            residuals.append((s.mean(1) - y) ** 2)
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-9)
    assert monitors["residual"].item() == pytest.approx(np.mean(residuals))


def test_levels_differ_from_image_to_image() -> None:
    method, noisy, network = PN2V(samples=3), image(2, 1, 32, 32), with_samples(image(1, 3, seed=4))
    levels = torch.tensor([0.05, 0.3]).double().view(2, 1, 1, 1)
    both = method.loss(network, batch_of(noisy, known("gauss", levels)), 0.5)[0].item()
    same = [method.loss(network, batch_of(noisy, known("gauss", s)), 0.5)[0].item() for s in (0.05, 0.3)]
    assert min(same) < both < max(same)
    alone = [
        method.denoise(network, noisy[i : i + 1], known("gauss", s), torch.Generator())
        for i, s in enumerate((0.05, 0.3))
    ]
    assert torch.allclose(method.denoise(network, noisy, known("gauss", levels), torch.Generator()), torch.cat(alone))


def test_the_loss_is_finite_where_no_density_is_representable() -> None:
    network, noisy = with_samples(torch.tensor([[-3.0, -2.0]])), image(1, 1, 32, 32)
    for family, level in [("gauss", 1e-9), ("poisson", 1e5), ("gamma", 4.0)]:
        loss, _ = PN2V(samples=2).loss(network, batch_of(noisy, known(family, level)), 0.5)
        loss.backward()
        assert loss > 1000
        assert torch.isfinite(loss)
        gradient = network["last"].get_parameter("bias").grad
        assert gradient is not None
        assert torch.isfinite(gradient).all()


# --- posterior mean ---


def test_a_gaussian_prior_gives_the_wiener_estimate() -> None:
    noisy, sigma, tau, mean = image(1, 1, 32, 32), 0.1, 0.2, 0.4
    network = with_samples(quantiles(stats.norm(mean, tau)))
    found = PN2V(samples=4000).denoise(network, noisy, known("gauss", sigma), torch.Generator())
    wiener = mean + tau**2 / (tau**2 + sigma**2) * (noisy - mean)
    assert (found - wiener).abs().max() < 1e-3
    plain = PN2V(samples=4000, output="mean").denoise(network, noisy, known("gauss", sigma), torch.Generator())
    assert torch.allclose(plain, torch.full_like(noisy, mean), atol=1e-9)


def test_the_posterior_of_a_lopsided_prior_is_the_integral() -> None:
    prior, sigma = stats.beta(1.5, 4), 0.15
    ys = torch.tensor([-0.2, 0.1, 0.5, 1.1]).double()
    noisy = ys.repeat(256).view(1, 1, 32, 32)
    found = PN2V(samples=4000).denoise(with_samples(quantiles(prior)), noisy, known("gauss", sigma), torch.Generator())
    for y, value in zip(ys.tolist(), found.flatten().tolist(), strict=False):
        moments = [
            integrate.quad(lambda x, p=power, y=y: x**p * prior.pdf(x) * stats.norm.pdf(y, x, sigma), 0, 1)[0]
            for power in (0, 1)
        ]
        assert value == pytest.approx(moments[1] / moments[0], abs=1e-3)


def test_a_gamma_prior_of_poisson_means_has_its_closed_form() -> None:
    counts = torch.arange(32).double().repeat(32).view(1, 1, 32, 32)
    network = with_samples(quantiles(stats.gamma(2.0, scale=1 / 8)))
    found = PN2V(samples=4000).denoise(network, counts / 30, known("poisson", 30.0), torch.Generator())
    assert torch.allclose(found, (2 + counts) / (8 + 30), atol=2e-3)


@pytest.mark.parametrize(
    ("sigma", "count", "low", "high"), [(25, 128, 0, 0.05), (5, 128, 0.75, 0.85), (5, 800, 0, 0.15)]
)
def test_what_a_finite_number_of_samples_costs(sigma: int, count: int, low: float, high: float) -> None:
    """In dB of the mean squared error, for a Laplace prior of width 0.1, by integrals over x and y."""
    prior, x, y = stats.laplace(0.5, 0.1 / 2**0.5), np.linspace(-0.5, 1.5, 4001), np.linspace(-0.4, 1.4, 1024)
    joint = stats.norm.pdf(y[:, None], x, sigma / 255) * prior.pdf(x)
    density = joint.sum(1)
    mean = (joint * x).sum(1) / density
    variance = (joint * x**2).sum(1) / density - mean**2
    network = with_samples(quantiles(prior, count))
    noisy = torch.from_numpy(y).view(1, 1, 32, 32)
    with torch.no_grad():
        found = PN2V(samples=count).denoise(network, noisy, known("gauss", sigma / 255), torch.Generator())
    more = np.average((found.numpy().ravel() - mean) ** 2, weights=density) / np.average(variance, weights=density)
    assert low < 10 * np.log10(1 + more) < high


def test_channels_have_samples_of_their_own() -> None:
    middle = torch.tensor([0.2, 0.5, 0.8]).double().view(1, 3, 1, 1)
    noisy = middle + 0.4 * (image(1, 3, 32, 32) - 0.5)
    priors = torch.cat([quantiles(stats.norm(m, 0.1), 500) for m in (0.2, 0.5, 0.8)])
    found = PN2V(samples=500).denoise(with_samples(priors), noisy, known("gauss", 0.1), torch.Generator())
    assert torch.allclose(found, (noisy + middle) / 2, atol=0.003)


@pytest.mark.parametrize("output", ["posterior", "mean"])
@pytest.mark.parametrize(("family", "level"), [("gauss", 0.1), ("poisson", 30.0)])
def test_blocks_change_nothing_and_bound_the_memory(
    monkeypatch: pytest.MonkeyPatch, output: str, family: str, level: float
) -> None:
    method, noisy = PN2V.from_settings({"samples": "20", "output": output}), image(1, 3, 32, 64)
    network = trainable(method, 3)
    sizes, direct, results = [], PN2V.prior, []

    def watched(self: PN2V, *args: Any) -> torch.Tensor:
        samples = direct(self, *args)
        sizes.append(samples.numel())
        return samples

    monkeypatch.setattr(PN2V, "prior", watched)
    for block in (10**9, 3 * 20 * 7, 1):
        monkeypatch.setattr(pn2v, "BLOCK", block)
        sizes.clear()
        with torch.no_grad():
            results.append(method.denoise(network, noisy, known(family, level), torch.Generator()))
        assert sum(sizes) == noisy.numel() * 20
        assert max(sizes) <= max(block, 3 * 20)
    assert results[0].shape == noisy.shape
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-12, atol=1e-12)


# --- the network ---


def test_the_first_prior_is_uniform_and_as_wide_as_the_scale_around_a_common_middle() -> None:
    method = PN2V(samples=50)
    network = trainable(method, 3)
    with torch.no_grad():
        features = method.features(network, image(1, 3, 32, 32))[:, None]
        samples = method.prior(network, features, known("gauss", 0.1))
    assert samples.shape == (1, 3, 32 * 32, 50)
    torch.testing.assert_close(samples.diff(dim=-1), torch.full((1, 3, 32 * 32, 49), 0.02, dtype=torch.float64))
    middle = samples.mean(-1)
    assert (middle.std(-1) > 1e-3).all()
    assert (middle - 0.5).abs().max() < 1


@pytest.mark.parametrize("channels", [1, 3])
def test_it_fits_one_image(channels: int) -> None:
    """Steps in gray and edges: the posterior mean ends far nearer to the truth than the noisy image."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    clean = torch.where((rows // 16 + columns // 16) % 2 == 0, 0.25, 0.75)[None, None].repeat(1, channels, 1, 1)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    method, told = PN2V(samples=16), known("gauss", 0.1)
    network = trainable(method, channels).float()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for step in range(60):
        optimiser.zero_grad()
        loss, _ = method.loss(network, batch_of(noisy, told, seed=step), (step + 1) / 60)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with torch.no_grad():
        result = method.denoise(network, noisy, told, torch.Generator())
    # The entropy of the noise itself bounds the loss from below, up to chance.
    entropy = math.log(0.1) + 0.5 * math.log(2 * math.pi * math.e)
    assert entropy - 0.2 < np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.2
    assert (result - clean).square().mean() < 0.6 * (noisy - clean).square().mean()


@pytest.mark.parametrize("network", ["unet_nbr", "dncnn", "blindspot"])
def test_any_network_gives_the_features(network: str) -> None:
    method = parse_method(f"pn2v[network={network},samples=4]")
    assert isinstance(method, PN2V)
    built, noisy = method.build(1), image(1, 1, 32, 32).float()
    loss, _ = method.loss(built, batch_of(noisy, known("gauss", 0.1)), 0.5)
    loss.backward()
    assert all(p.grad is not None for p in built.parameters())
    assert method.denoise(built, noisy, known("gauss", 0.1), torch.Generator()).shape == noisy.shape


def test_one_training_serves_both_outputs_and_noise_model_and_level_are_told() -> None:
    settings = [PN2V(output=output).settings(training_only=True) for output in ("posterior", "mean")]
    assert settings[0] == settings[1] == {"network": "unet", "samples": PN2V().samples}
    assert all(PN2V().told(family) == {Need.FAMILY, Need.LEVEL} for family in ("gauss", "poisson", "gamma"))


@pytest.mark.parametrize("settings", [{"samples": "0"}, {"samples": "2.5"}, {"output": "median"}])
def test_a_bad_setting_is_a_user_error(settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="pn2v"):
        PN2V.from_settings(settings)
