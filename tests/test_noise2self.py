"""Noise2Self: what is hidden stays hidden, and its output knows nothing of a pixel's own noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, NoiseInfo
from denoisebench.toolbox.masking import fill

METHOD: Any = parse_method("noise2self")


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def batch(noisy: torch.Tensor, seed: int = 0) -> Batch:
    known = NoiseInfo("noise2self", frozenset(), {})
    return Batch(noisy, known, torch.Generator().manual_seed(seed), "noise2self", frozenset(), {})


@pytest.mark.parametrize("mode", ["interpolate", "zero"])
def test_one_pixel_per_cell_is_replaced(mode: str) -> None:
    method: Any = parse_method(f"noise2self[mode={mode}]")
    noisy = image(2, 3, 32, 32)
    masked = method.hide(noisy, (1, 2))
    hidden = torch.zeros(32, 32, dtype=torch.bool)
    hidden[1::4, 2::4] = True
    assert torch.equal(masked[..., ~hidden], noisy[..., ~hidden])
    expected = fill(noisy)[..., hidden] if mode == "interpolate" else torch.zeros(2, 3, 64)
    assert torch.equal(masked[..., hidden], expected)


def test_the_loss_is_the_error_of_hidden_pixels() -> None:
    network = METHOD.build(3)
    noisy = image(2, 3, 32, 32)
    row, column = divmod(int(torch.randint(16, (), generator=torch.Generator().manual_seed(4))), 4)
    loss, _ = METHOD.loss(network, batch(noisy, 4), 0.5)
    whole = network(METHOD.hide(noisy, (row, column)))
    expected = (whole - noisy)[..., row::4, column::4].square().mean()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("stride", [2, 4])
def test_every_offset_is_drawn(stride: int) -> None:
    method: Any = parse_method(f"noise2self[stride={stride},mode=zero]")
    hidden: list[tuple[int, int]] = []

    def spy(masked: torch.Tensor) -> torch.Tensor:
        ((row, column),) = (masked[0, 0, :stride, :stride] == 0).nonzero().tolist()
        hidden.append((row, column))
        return masked

    noisy = 0.1 + image(1, 1, 8, 8)
    for seed in range(40 * stride):
        method.loss(spy, batch(noisy, seed), 0.5)
    assert set(hidden) == {(row, column) for row in range(stride) for column in range(stride)}


def test_the_invariant_output_does_not_depend_on_the_pixel_itself() -> None:
    method: Any = parse_method("noise2self[output=invariant]")
    network = METHOD.build(1).double()
    noisy = image(1, 1, 32, 32).double().requires_grad_()
    known = NoiseInfo("noise2self", frozenset(), {})
    with torch.enable_grad():
        result = torch.zeros_like(noisy)
        for number in range(16):
            row, column = divmod(number, 4)
            result = result + torch.where(
                torch.nn.functional.pad(torch.ones(1), (0, 0)).bool()
                & (torch.arange(32)[:, None] % 4 == row)
                & (torch.arange(32) % 4 == column),
                network(METHOD.hide(noisy, (row, column))),
                0,
            )
        (gradient,) = torch.autograd.grad(result[0, 0, 13, 18], noisy)
    assert gradient[0, 0, 13, 18] == 0
    around = gradient[0, 0, 12:15, 17:20].flatten()
    assert torch.count_nonzero(around) == 8
    with torch.no_grad():
        torch.testing.assert_close(method.denoise(network, noisy, known, torch.Generator()), result)


def test_strides_are_checked() -> None:
    with pytest.raises(UserError, match="allowed values are 2, 4, 8, 16 and 32"):
        parse_method("noise2self[stride=3]")
