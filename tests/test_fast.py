"""The layers for a CPU against PyTorch's own: outputs and every gradient, in float64."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from denoisebench.networks import build_network, fast

SLOPE = 0.1
Layer = Callable[..., torch.Tensor]


def tensor(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_up(low: torch.Tensor, skip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(plain_up_linear(low, skip, weight, bias), SLOPE)


def plain_up_linear(
    low: torch.Tensor, skip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, above: int = 1
) -> torch.Tensor:
    joined = torch.cat([F.interpolate(low, scale_factor=2, mode="nearest"), skip], dim=1)
    # Above 1, one row of zeros more on top, one less below: the kernel ends with the pixel's own row.
    return F.conv2d(F.pad(joined, (1, 1, above, 2 - above)), weight, bias)


def compare(one: Layer, other: Layer, *inputs: torch.Tensor) -> None:
    results = []
    for layer in (one, other):
        leaves = [value.clone().requires_grad_() for value in inputs]
        out = layer(*leaves)
        out.backward(tensor(*out.shape, seed=9))
        results.append([out.detach(), *[leaf.grad for leaf in leaves]])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 16, 33, 35), (1, 20, 40, 30), (3, 16, 1, 2), (2, 5, 64, 32)])
def test_a_convolution_is_pytorchs(shape: tuple[int, ...]) -> None:
    compare(
        lambda x, w, b: fast.conv3x3(x, w, b, SLOPE),
        lambda x, w, b: F.leaky_relu(F.conv2d(x, w, b, padding=1), SLOPE),
        tensor(*shape, seed=1), tensor(7, shape[1], 3, 3, seed=2), tensor(7, seed=3),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 16, 17, 19), (1, 24, 32, 32), (3, 4, 2, 5)])
@pytest.mark.parametrize("skipped", [1, 3, 16])
def test_a_convolution_after_upsampling_is_pytorchs(shape: tuple[int, ...], skipped: int) -> None:
    count, channels, height, width = shape
    compare(
        lambda x, skip, w, b: fast.up_conv3x3(x, skip, w, b, SLOPE),
        plain_up,
        tensor(*shape, seed=1), tensor(count, skipped, 2 * height, 2 * width, seed=4),
        tensor(6, channels + skipped, 3, 3, seed=2), tensor(6, seed=3),
    )  # fmt: skip


@pytest.mark.parametrize("above", [1, 2])
@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 16, 17, 19), (3, 4, 2, 5)])
@pytest.mark.parametrize("skipped", [1, 16])
def test_a_folded_convolution_is_pytorchs_and_may_look_up(shape: tuple[int, ...], skipped: int, above: int) -> None:
    count, channels, height, width = shape
    compare(
        lambda x, skip, w, b: fast.folded_up_conv(x, skip, w, b, above),
        lambda x, skip, w, b: plain_up_linear(x, skip, w, b, above),
        tensor(*shape, seed=1), tensor(count, skipped, 2 * height, 2 * width, seed=4),
        tensor(6, channels + skipped, 3, 3, seed=2), tensor(6, seed=3),
    )  # fmt: skip


def test_mixed_precision_rounds_a_folded_kernel_once() -> None:
    low, skip = torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 8, 8)
    weight = torch.zeros(1, 2, 3, 3)
    # Two taps that fold; bfloat16 has nothing between 1 and 1 + 2^-7.
    weight[0, 0, 1, 1:] = torch.tensor([1 + 2**-8 + 2**-10, -1])
    with torch.autocast("cpu", torch.bfloat16):
        out = fast.folded_up_conv(low, skip, weight, torch.zeros(1))
    assert float(out[0, 0, 2, 2]) == 2**-8 + 2**-10


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_a_convolution_at_some_pixels_is_that_part_of_the_whole(stride: int) -> None:
    offsets = [(0, 0), (stride - 1, 0), (1, stride - 1)]

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        whole = F.leaky_relu(F.conv2d(x, weight, bias, padding=1), SLOPE).chunk(3)
        return torch.cat([w[:, :, r::stride, c::stride] for w, (r, c) in zip(whole, offsets, strict=True)])

    compare(
        lambda x, w, b: fast.conv3x3_at(x, w, b, SLOPE, offsets, stride),
        plain,
        tensor(6, 5, 16, 24, seed=1), tensor(7, 5, 3, 3, seed=2), tensor(7, seed=3),
    )  # fmt: skip


def test_folding_saves_five_of_nine_multiply_adds() -> None:
    weight = tensor(6, 5, 3, 3, seed=1)
    folded = fast._fold(weight)
    assert folded.shape == (24, 5, 2, 2)
    assert folded[0].numel() * 4 / (4 * weight[0].numel()) == pytest.approx(4 / 9)
    torch.testing.assert_close(folded.view(4, 6, 5, 4).sum(-1), weight.sum((2, 3)).expand(4, 6, 5))


@pytest.mark.parametrize("name", ["unet", "unet_nbr", "blindspot", "dncnn"])
@pytest.mark.parametrize("size", [(2, 3, 64, 96), (1, 3, 32, 32)])
def test_the_network_computes_the_same_with_either(name: str, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network: Any = build_network(name, 3, 3).double()
    results = []
    for plain in (False, True):
        network.plain = plain
        network.zero_grad()
        x = tensor(*size, seed=1).requires_grad_()
        network(x).square().mean().backward()
        results.append([x.grad, *[parameter.grad for parameter in network.parameters()]])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", [partial(fast.up_conv3x3, slope=1.0), fast.folded_up_conv])
def test_float32_gradients_agree_to_rounding(layer: Layer) -> None:
    # Of a layer without a kink: where rounding moves a value across one, a network's gradient jumps, with PyTorch's
    # layers as with these.
    inputs = tensor(2, 16, 32, 32, seed=1), tensor(2, 3, 64, 64, seed=4), tensor(8, 19, 3, 3, seed=2), tensor(8, seed=3)
    layers: list[tuple[Layer, torch.dtype]] = [(plain_up_linear, torch.float64), (layer, torch.float32)]
    found = []
    for function, dtype in layers:
        leaves = [value.to(dtype, copy=True).requires_grad_() for value in inputs]
        out = function(*leaves)
        out.backward(tensor(*out.shape, seed=9).to(dtype))
        found.append([out.detach(), *[leaf.grad for leaf in leaves]])
    for exact, mine in zip(*found, strict=True):
        assert exact is not None
        assert mine is not None
        assert float((mine - exact).norm() / exact.norm()) < 1e-5


def test_it_may_be_imported_while_another_device_is_the_default() -> None:
    with torch.device("meta"):
        spec = importlib.util.find_spec(fast.__name__)
        assert spec is not None
        assert spec.loader is not None
        again = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(again)
    assert torch.equal(again._fold(torch.ones(1, 1, 3, 3)), fast._fold(torch.ones(1, 1, 3, 3)))


def test_gradients_of_its_own_serve_where_onednn_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "FAST_GRADIENTS", False)
    x = torch.zeros(1, 16, 32, 32)
    assert fast.suits(x, False)
    assert not fast.suits(x, True)
    assert not fast.suits(x.bfloat16(), False)
    assert not fast.suits(x[..., :31], False), "fewer than MIN_PIXELS"
    with torch.autocast("cpu", torch.bfloat16):
        assert not fast.suits(x, False)
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        assert fast.suits(x, False)
    monkeypatch.setattr(fast, "FAST_GRADIENTS", True)
    assert not fast.suits(x, False)
    assert fast.suits(x.double(), False), "oneDNN has no float64"


def test_other_ways_than_pytorchs_are_for_a_cpu() -> None:
    assert fast.serves(torch.zeros(1, 1, 2, 2), False)
    assert not fast.serves(torch.zeros(1, 1, 2, 2), True)
    assert not fast.serves(torch.zeros(1, 1, 2, 2, device="meta"), False)
