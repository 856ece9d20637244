"""DBSN: the blind spot is exact and stays so, loss and fusion are those of the formulas, stages follow progress."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from denoisebench.core.errors import UserError
from denoisebench.evaluation.evaluate import Place, Route, denoise
from denoisebench.methods.dbsn import misfit
from denoisebench.networks import build_network, part
from denoisebench.networks.dbsn import Block, DilatedBlindSpot, pointwise
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, Need, NoiseInfo
from denoisebench.protocol.noise import Draw, parse_noise

TOLD = frozenset({Need.FAMILY})


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def told(family: str = "gauss") -> NoiseInfo:
    return NoiseInfo("dbsn", TOLD, {Need.FAMILY: family})


def batch_of(noisy: torch.Tensor, family: str = "gauss") -> Batch:
    return Batch(noisy, told(family), torch.Generator(), "dbsn", TOLD, {})


def small(channels: int, numbers: int, width: int = 8, blocks: int = 1, student: bool = False) -> nn.ModuleDict:
    """What `build` makes, narrower and in float64."""
    torch.manual_seed(0)
    parts: dict[str, nn.Module] = {
        "mean": DilatedBlindSpot(channels, channels, width, blocks),
        "prior": pointwise(width, 8, numbers, 3, start=0.1),
        "noise": pointwise(channels, 8, channels, 5),
    }
    if student:
        parts["student"] = nn.Conv2d(channels, channels, 3, padding=1)
    return nn.ModuleDict(parts).double()


def pixel_gradient(network: DilatedBlindSpot, x: torch.Tensor, row: int, column: int) -> torch.Tensor:
    """Sum over channels of |d output / d input| and |d features / d input| at one output pixel, (H, W)."""
    x = x.clone().requires_grad_()
    output, features = network.with_features(x)
    total = torch.zeros(x.shape[2:], dtype=x.dtype)
    for values in (output, features):
        (gradient,) = torch.autograd.grad(values[0, :, row, column].sum(), x, retain_graph=True)
        total += gradient[0].abs().sum(0)
    return total


def check_blind_spot(network: DilatedBlindSpot, x: torch.Tensor, row: int, column: int) -> None:
    gradient = pixel_gradient(network, x, row, column)
    assert gradient[row, column] == 0
    near = gradient[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
    assert near.count_nonzero() == near.numel() - 1


def matrix(rows: Any, n: int, r: int, c: int) -> torch.Tensor:
    """The whole symmetric matrix of one pixel."""
    places = range(len(rows))
    return torch.stack([torch.stack([rows[max(i, j)][min(i, j)][n, r, c] for j in places]) for i in places])


# --- the network ---


@pytest.mark.parametrize(("channels", "count"), [(1, 6_612_289), (3, 6_612_675)])
def test_parameter_count_is_that_of_the_released_network(channels: int, count: int) -> None:
    with torch.device("meta"):
        network = build_network("dbsn", channels, channels)
    assert sum(p.numel() for p in network.parameters()) == count


def test_every_weight_is_one_multiply_add_per_pixel() -> None:
    network = DilatedBlindSpot(3, 3, width=20, blocks=2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(2, 3, 40, 20))
    weights = sum(p.numel() for p in network.parameters() if p.dim() > 1)
    assert counter.get_total_flops() == 2 * weights * 2 * 40 * 20


@pytest.mark.parametrize(("row", "column"), [(0, 0), (7, 12), (18, 22)])
def test_an_output_sees_all_around_but_not_its_own_pixel(row: int, column: int) -> None:
    torch.manual_seed(0)
    network = build_network("dbsn", 1, 1).double()
    assert isinstance(network, DilatedBlindSpot)
    check_blind_spot(network, image(1, 1, 19, 23), row, column)


def test_the_blind_spot_survives_an_optimiser_and_foreign_weights() -> None:
    torch.manual_seed(0)
    network = DilatedBlindSpot(3, 3, width=24, blocks=2).double()
    x = image(1, 3, 33, 40)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(2):
        network(x).sub(x).square().mean().backward()
        optimiser.step()
    check_blind_spot(network, x, 20, 11)
    foreign = {name: torch.randn_like(value) * 0.1 for name, value in network.state_dict().items()}
    assert not any(name.endswith(".mask") for name in foreign)
    network.load_state_dict(foreign)
    check_blind_spot(network, x, 20, 11)


def test_the_network_sees_fifty_pixels_far() -> None:
    torch.manual_seed(0)
    # Weights above zero let every path through.
    network = DilatedBlindSpot(1, 1, width=2).double()
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()
    gradient = pixel_gradient(network, image(1, 1, 14, 120), 7, 60)
    seen = torch.zeros(14, 120)
    seen[:, 10:111] = 1
    # Both branches miss the multiples of both their dilations, as they miss the pixel itself.
    for row in (1, 4, 7, 10, 13):
        for column in range(12, 111, 3):
            near = abs(column - 60) <= 33
            if not near or (row in (1, 7, 13) and (column - 60) % 6 == 0):
                seen[row, column] = 0
    assert torch.equal(gradient != 0, seen != 0)


@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("shape", [(2, 6, 9, 14), (1, 16, 37, 41), (2, 16, 32, 32)])
def test_a_block_follows_the_layer_table(dilation: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    block = Block(shape[1], dilation).double()
    for parameter in block.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    x = image(*shape) - 0.5
    p = dict(block.named_parameters())

    def reference(x: torch.Tensor) -> torch.Tensor:
        paths = []
        for number, side in enumerate((5, 3, 1)):
            path = F.relu(F.conv2d(x, p[f"enter.{number}.weight"], p[f"enter.{number}.bias"]))
            if side > 1:
                weight, bias = p[f"dilated.{number}.weight"], p[f"dilated.{number}.bias"]
                path = F.relu(F.conv2d(path, weight, bias, padding=side // 2 * dilation, dilation=dilation))
            paths.append(path)
        x = x + F.relu(F.conv2d(torch.cat(paths, 1), p["join.weight"], p["join.bias"]))
        x = F.relu(F.conv2d(x, p["leave.0.weight"], p["leave.0.bias"]))
        return F.relu(F.conv2d(x, p["leave.1.weight"], p["leave.1.bias"]))

    results = []
    for compute in (block, reference):
        given = x.clone().requires_grad_()
        out = compute(given)
        gradients = torch.autograd.grad((out * image(*out.shape, seed=3)).sum(), [given, *p.values()])
        results.append([out, *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (17, 5), (32, 64)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    assert DilatedBlindSpot(3, 9, width=4, blocks=1)(torch.zeros(2, 3, *size)).shape == (2, 9, *size)


def test_laine19_mu_can_use_it() -> None:
    method: Any = parse_method("laine19_mu[network=dbsn]")
    network, noisy = method.build(1), image(1, 1, 16, 16).float()
    loss, _ = method.loss(network, batch_of(noisy), 0.5)
    torch.testing.assert_close(loss, (network(noisy) - noisy).square().mean())


# --- loss ---


@pytest.mark.parametrize(
    ("objective", "progress", "bounded"),
    [("bound", 1.0, True), ("likelihood", 0.5, False), ("staged", 0.5, True), ("staged", 1.0, False)],
)
@pytest.mark.parametrize("family", ["gauss", "poisson"])
@pytest.mark.parametrize(("channels", "shape", "numbers"), [(1, "full", 1), (3, "full", 6), (3, "diagonal", 3)])
def test_the_loss_is_that_of_full_matrices(
    objective: str, progress: float, bounded: bool, family: str, channels: int, shape: str, numbers: int
) -> None:
    method: Any = parse_method(f"dbsn[objective={objective},covariance={shape}]")
    network, noisy = small(channels, numbers), image(2, channels, 4, 5)
    mean, features = part(network, "mean").with_features(noisy)
    rows, variance = method.spreads(network, noisy, mean, features, told(family))
    loss, _ = method.loss(network, batch_of(noisy, family), progress)
    total = 0.0
    for n, r, c in np.ndindex(2, 4, 5):
        prior = matrix(rows, n, r, c).detach().numpy()
        noise = np.diag(variance[n, :, r, c].detach().numpy())
        difference = (noisy - mean)[n, :, r, c].detach().numpy()
        value = -multivariate_normal.logpdf(difference, cov=prior + noise) - 0.5 * channels * np.log(2 * np.pi)
        bound = value - 0.5 * np.linalg.slogdet(prior + noise)[1]
        bound += 0.5 * (np.linalg.slogdet(noise)[1] + np.trace(np.linalg.solve(noise, prior)))
        assert bound >= value
        total += bound if bounded else value
    assert loss.item() == pytest.approx(total / 40, rel=1e-9)
    if shape == "full" and channels == 3:
        assert rows[1][0].abs().min() > 0


def test_gaussian_levels_are_one_per_image_and_channel_and_poisson_ones_follow_the_mean() -> None:
    method: Any = parse_method("dbsn")
    network, noisy = small(3, 6), image(2, 3, 6, 7)
    mean, features = part(network, "mean").with_features(noisy)
    _, gauss = method.spreads(network, noisy, mean, features, told())
    assert torch.equal(gauss, gauss[:, :, :1, :1].expand_as(gauss))
    assert gauss[:, :, 0, 0].unique().numel() == 6
    alone = [method.spreads(network, noisy[n : n + 1], mean[n : n + 1], features[n : n + 1], told())[1] for n in (0, 1)]
    torch.testing.assert_close(gauss, torch.cat(alone))
    raw = network["noise"](noisy[:1]).mean((2, 3))
    torch.testing.assert_close(gauss[:1, :, 0, 0], (F.softplus(raw - 4) + 1e-3).square())
    _, poisson = method.spreads(network, noisy, mean, features, told("poisson"))
    torch.testing.assert_close(poisson, (F.softplus(network["noise"](mean) - 4) + 1e-3).square())


# --- fusion ---


def test_the_fused_estimate_is_a_numerical_integral() -> None:
    method: Any = parse_method("dbsn")
    network, noisy = small(1, 1), image(1, 1, 3, 3)
    mean, features = part(network, "mean").with_features(noisy)
    rows, variance = method.spreads(network, noisy, mean, features, told())
    fused = method.denoise(network, noisy, told(), torch.Generator())
    x = torch.linspace(-60, 60, 2_000_001, dtype=torch.float64)
    for r, c in ((0, 0), (1, 2)):
        y, mu = noisy[0, 0, r, c], mean[0, 0, r, c].detach()
        s, n = rows[0][0][0, r, c].detach(), variance[0, 0, r, c].detach()
        exponent = -((x - mu) ** 2) / (2 * s) - (y - x) ** 2 / (2 * n)
        weight = torch.exp(exponent - exponent.max())
        assert fused[0, 0, r, c].item() == pytest.approx(float((weight * x).sum() / weight.sum()), abs=1e-6)


@pytest.mark.parametrize(("channels", "numbers"), [(1, 1), (3, 6)])
def test_gamma_acts_as_in_the_two_released_formulas(channels: int, numbers: int) -> None:
    network, noisy, gamma = small(channels, numbers), image(1, channels, 2, 2), 0.7
    fused = {}
    for kind in ("precision", "variance"):
        method: Any = parse_method(f"dbsn[gamma={gamma},gamma_of={kind}]")
        fused[kind] = method.denoise(network, noisy, told(), torch.Generator())[0, :, 1, 0]
    mean, features = part(network, "mean").with_features(noisy)
    rows, variance = method.spreads(network, noisy, mean, features, told())
    y, mu = noisy[0, :, 1, 0], mean[0, :, 1, 0]
    prior = matrix(rows, 0, 1, 0)
    noise = torch.diag(variance[0, :, 1, 0])
    s, n = prior.inverse(), noise.inverse()
    torch.testing.assert_close(fused["precision"], (s + gamma * n).inverse() @ (s @ mu + gamma * n @ y))
    if channels == 1:
        expected = (y * prior[0] + gamma * mu * noise[0]) / (prior[0] + gamma * noise[0])
        torch.testing.assert_close(fused["variance"], expected)
    assert (fused["precision"] - fused["variance"]).abs().min() > 1e-6


# --- stages ---


def moved(method: Any, network: nn.ModuleDict, progress: float) -> set[str]:
    """Parts that get a gradient other than zero; all must get one."""
    network.zero_grad(set_to_none=True)
    method.loss(network, batch_of(image(1, 1, 12, 12)), progress)[0].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    return {name.partition(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}


def test_stages_follow_progress() -> None:
    method: Any = parse_method("dbsn")
    network = small(1, 1)
    for progress in (0.001, 0.2, 0.4):
        assert moved(method, network, progress) == {"mean"}
    for progress in (0.41, 0.6):
        assert moved(method, network, progress) == {"prior", "noise"}
    for progress in (0.61, 1.0):
        assert moved(method, network, progress) == {"mean", "prior", "noise"}


def test_the_student_learns_last_and_teaches_nobody() -> None:
    method: Any = parse_method("dbsn[student=unet]")
    network = small(1, 1, student=True)
    assert moved(method, network, 0.2) == {"mean"}
    assert moved(method, network, 0.3) == {"prior", "noise"}
    assert moved(method, network, 0.5) == {"mean", "prior", "noise"}
    assert moved(method, network, 0.51) == moved(method, network, 1.0) == {"student"}
    noisy = image(1, 1, 12, 12)
    teacher: Any = parse_method("dbsn")
    fused = teacher.denoise(network, noisy, told(), torch.Generator())
    loss, _ = method.loss(network, batch_of(noisy), 0.9)
    torch.testing.assert_close(loss, (network["student"](noisy) - fused).square().mean())


def test_denoising_with_a_student_is_its_one_pass() -> None:
    method: Any = parse_method("dbsn[student=unet]")
    network = method.build(1)
    noisy = image(40, 35, 1).float().numpy()
    expected = network["student"](F.pad(torch.from_numpy(noisy)[None, None, :, :, 0], (0, 29, 0, 24), mode="reflect"))
    del network["mean"], network["prior"], network["noise"]
    route = Route(method, network, parse_noise("gauss25"))
    result = denoise(route, Draw(noisy, 0.1), Place("test", "", 0)).image
    np.testing.assert_allclose(result[:, :, 0], expected[0, 0, :40, :35].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert type(method).info.multiple == 1


# --- what it declares ---


@pytest.mark.parametrize("noise", ["gauss5_50", "poisson5_50"])
def test_a_range_of_levels_is_skipped_with_a_reason_unless_asked_for(noise: str) -> None:
    reason = parse_method("dbsn").unsuitable(parse_noise(noise), 3)
    assert reason is not None
    assert "single noise level" in reason
    assert "dbsn[ranged=true]" in reason
    assert parse_method("dbsn[ranged=true]").unsuitable(parse_noise(noise), 3) is None
    assert parse_method("dbsn").unsuitable(parse_noise("gauss25"), 1) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("network=unet", "allowed is dbsn"),
        ("gamma=0", "gamma must be above 0"),
        ("student=unett", "Did you mean 'unet'"),
        ("objective=map", "bound, likelihood"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_method(f"dbsn[{settings}]")


def test_one_training_serves_every_gamma() -> None:
    one, other = parse_method("dbsn"), parse_method("dbsn[gamma=0.9,gamma_of=variance,ranged=true]")
    assert one.settings(training_only=True) == other.settings(training_only=True)
    assert one.settings() != other.settings()


@pytest.mark.parametrize("bound", [False, True])
def test_the_volume_of_small_noise_is_not_clamped(bound: bool) -> None:
    """sigma^6 at 25/255 is below the 1e-6 at which the released code clamps determinants."""
    variance = torch.full((1, 3, 1, 1), (25 / 255) ** 2, dtype=torch.float64, requires_grad=True)
    assert float(variance.detach().prod()) == pytest.approx(8.88e-7, rel=1e-3)
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    loss = misfit(torch.zeros(1, 3, 1, 1, dtype=torch.float64), [[zero] * (i + 1) for i in range(3)], variance, bound)
    (gradient,) = torch.autograd.grad(loss, variance)
    torch.testing.assert_close(gradient, 0.5 / variance.detach())


def test_the_prior_starts_at_a_tenth_of_he_and_the_noise_at_all_of_it() -> None:
    torch.manual_seed(0)
    wide: Any = pointwise(8, 4096, 64, 2, start=0.1)
    assert float(wide[-1].weight.detach().std()) == pytest.approx(0.1 * (2 / 4096) ** 0.5, rel=0.01)
    network: Any = parse_method("dbsn").build(3)  # type: ignore[attr-defined]
    for name, start in (("prior", 0.1), ("noise", 1.0)):
        weights = network[name][-1].weight.detach()
        # Their mean is known to be zero; the mean square of n normal values varies by sqrt(2 / n).
        square = float(weights.square().mean()) / (start**2 * 2 / 32)
        assert square == pytest.approx(1, abs=3 * (2 / weights.numel()) ** 0.5)


# --- learning ---


def test_it_denoises_the_image_it_is_trained_on() -> None:
    method: Any = parse_method("dbsn")
    network = small(1, 1, width=16, blocks=2).float()
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    clean = (0.2 + 0.6 * ((rows // 8 + columns // 8) % 2).float())[None, None]
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    steps = 500
    for step in range(steps):
        noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
        optimiser.zero_grad(set_to_none=True)
        method.loss(network, batch_of(noisy), (step + 1) / steps)[0].backward()
        optimiser.step()
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    with torch.no_grad():
        mean, features = part(network, "mean").with_features(noisy)
        _, variance = method.spreads(network, noisy, mean, features, told())
        fused = method.denoise(network, noisy, told(), torch.Generator())
    errors = {name: (value - clean).square().mean().sqrt().item() for name, value in (("mean", mean), ("fused", fused))}
    # Noise of 0.1; the pattern can be told from its surroundings, so there is little for the fusion to add.
    assert max(errors.values()) < 0.04
    assert variance.mean().sqrt().item() == pytest.approx(0.1, rel=0.3)
