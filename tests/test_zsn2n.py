"""ZS-N2N: its pairs, its loss against the formula, and what it does to a photograph."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from denoisebench.core.errors import UserError
from denoisebench.methods.zsn2n import build, diagonals, loss
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import PerImageMethod


@pytest.mark.parametrize(("channels", "count"), [(1, 21_313), (3, 22_275)])
def test_parameter_counts(channels: int, count: int) -> None:
    assert sum(p.numel() for p in build(channels).parameters()) == count


def test_the_fast_layers_have_the_gradient_of_the_plain_ones() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    network = build(3).double()
    gradients = []
    for plain in (True, False):
        network.zero_grad()
        network.plain = plain
        value = loss(network, image)
        value.backward()
        gradients.append([value.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    assert len(gradients[0]) == 7
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_diagonals_are_the_fixed_kernels() -> None:
    image = torch.rand(1, 2, 6, 8)
    kernels = torch.tensor([[[0, 0.5], [0.5, 0]], [[0.5, 0], [0, 0.5]]])
    for half, kernel in zip(diagonals(image), kernels, strict=True):
        expected = F.conv2d(image, kernel.expand(2, 1, 2, 2), stride=2, groups=2)[0]
        torch.testing.assert_close(half, expected)


def test_the_pair_has_independent_noise() -> None:
    first, second = diagonals(torch.randn(1, 1, 600, 600, generator=torch.Generator().manual_seed(0))).flatten(1)
    assert abs(float((first * second).mean())) < 0.01
    assert float(first.var()) == pytest.approx(0.5, abs=0.01)


def test_the_loss_is_the_formula() -> None:
    image = torch.rand(1, 3, 16, 16)
    network = build(3)
    d1, d2 = diagonals(image).chunk(2)
    r1, r2 = d1 - network(d1), d2 - network(d2)
    c1, c2 = diagonals(image - network(image)).chunk(2)
    residual = (F.mse_loss(d1, r2) + F.mse_loss(d2, r1)) / 2
    consistency = (F.mse_loss(r1, c1) + F.mse_loss(r2, c2)) / 2
    torch.testing.assert_close(loss(network, image), residual + consistency)
    # Gradients flow through every term.
    parameters = list(network.parameters())
    found = torch.autograd.grad(loss(network, image), parameters)
    torch.testing.assert_close(found, torch.autograd.grad(residual + consistency, parameters))


@pytest.mark.slow
def test_a_photograph_gets_better(fitted_gain: Callable[[str, int], float]) -> None:
    assert fitted_gain("zsn2n", 400) > 5


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="lr must lie between 0 and 1"):
        parse_method("zsn2n[lr=2]")


def test_the_rate_is_halved_after_three_quarters() -> None:
    method = parse_method("zsn2n")
    assert isinstance(method, PerImageMethod)
    rates = [method.rate((step + 1) / 2000) for step in range(2000)]
    assert rates == [1e-3] * 1500 + [5e-4] * 500
