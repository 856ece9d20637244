"""ZS-N2N: its pairs, its loss against the formula, and what it does to a photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut

from denoisebench.errors import UserError
from denoisebench.experiment import parse_method
from denoisebench.method import Known, PlainMethod
from denoisebench.methods.zsn2n import build, diagonals, loss  # type: ignore[import-untyped]

NOTHING = Known("zsn2n", frozenset(), {})


@pytest.mark.parametrize(("channels", "count"), [(1, 21_313), (3, 22_275)])
def test_parameter_counts(channels: int, count: int) -> None:
    assert sum(p.numel() for p in build(channels).parameters()) == count


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


@pytest.mark.slow
def test_a_photograph_gets_better_by_several_db() -> None:
    clean = astronaut()[64:160, 160:256] / 255.0  # type: ignore[no-untyped-call]
    noisy = (clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape)).astype(np.float32)
    method = parse_method("zsn2n[steps=400]")
    assert isinstance(method, PlainMethod)
    results = [method.denoise(noisy, NOTHING, np.random.default_rng(1)) for _ in range(2)]
    before, after = (float(np.mean((image - clean) ** 2)) for image in (noisy, results[0]))
    assert 10 * np.log10(before / after) > 5
    np.testing.assert_array_equal(*results)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="steps must be at least 1"):
        parse_method("zsn2n[steps=0]")
