"""The modified U-Net: size, cost, initialisation, wiring, and outputs at some pixels only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from denoisebench.core.errors import UserError
from denoisebench.networks import NETWORKS, allow_network, build_network, check_network, forward_at
from denoisebench.networks.dncnn import DnCNN
from denoisebench.networks.fast import weights
from denoisebench.networks.unet import UNet


def network_of(name: str, channels: int = 3, dtype: torch.dtype = torch.float32) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_network(name, channels, channels)
    assert isinstance(network, UNet)
    return network.to(dtype)


def image(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=dtype)


# --- size and cost ---


@pytest.mark.parametrize(
    ("name", "channels", "count"),
    [
        ("unet", 1, 1_099_585),
        ("unet", 3, 1_102_371),
        ("unet", 4, 1_103_764),
        ("unet_b2u", 1, 1_099_585),
        ("unet_b2u", 3, 1_102_371),
        ("unet_b2u", 4, 1_103_764),
        ("unet_nbr", 1, 1_256_689),
        ("unet_nbr", 3, 1_259_475),
        ("unet_nbr", 4, 1_260_868),
        ("dncnn", 3, 557_443),
    ],
)
def test_parameter_counts_are_those_of_the_released_networks(name: str, channels: int, count: int) -> None:
    with torch.device("meta"):
        network = build_network(name, channels, channels)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(
    ("name", "channels", "gmac"),
    [
        ("unet", 1, 4.621),
        ("unet", 3, 4.667),
        ("unet", 4, 4.689),
        ("unet_nbr", 1, 4.822),
        ("unet_nbr", 3, 4.867),
        ("unet_nbr", 4, 4.890),
        ("dncnn", 3, 9.116),
    ],
)
def test_a_pass_costs_as_many_multiply_adds_as_the_released_networks(name: str, channels: int, gmac: float) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_network(name, channels, channels)(torch.empty(1, channels, 128, 128))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.001)


# --- initialisation ---


def fan_in(layer: nn.Conv2d | nn.ConvTranspose2d) -> int:
    return int(layer.weight[0].numel())


def layers(network: UNet) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]


def bias(layer: nn.Conv2d | nn.ConvTranspose2d) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias


def test_unet_starts_with_he_weights_and_a_linear_last_layer() -> None:
    network = network_of("unet")
    inner = [layer for layer in layers(network) if layer is not network.last]
    # Half a per cent lies between this slope and none, so all weights together: of a million the deviation is known
    # to 0.1 %.
    scaled = torch.cat([(layer.weight.detach() * fan_in(layer) ** 0.5).flatten() for layer in inner])
    assert scaled.std().item() == pytest.approx((2 / (1 + 0.1**2)) ** 0.5, rel=2e-3)
    assert network.last.weight.std().item() == pytest.approx(fan_in(network.last) ** -0.5, rel=0.15)
    for layer in layers(network):
        gain = 1.0 if layer is network.last else (2 / (1 + 0.1**2)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(
            gain / fan_in(layer) ** 0.5, rel=5 / (2 * layer.weight.numel()) ** 0.5
        )
        assert not bias(layer).any()


def test_unet_nbr_starts_ten_times_smaller_in_every_layer() -> None:
    network = network_of("unet_nbr")
    transposed = [layer for layer in layers(network) if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in transposed] == [48, 96, 96, 96, 96]
    for layer in layers(network):
        assert layer.weight.std().item() == pytest.approx(0.1 * (2 / fan_in(layer)) ** 0.5, rel=0.1)
        assert not bias(layer).any()


def test_unet_b2u_starts_with_the_uniform_weights_and_biases_of_torch() -> None:
    for layer in layers(network_of("unet_b2u")):
        bound = fan_in(layer) ** -0.5
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        assert bias(layer).any()


def test_initialisation_follows_the_global_generator() -> None:
    torch.manual_seed(3)
    first = build_network("unet", 1, 1).state_dict()
    torch.manual_seed(3)
    again = build_network("unet", 1, 1).state_dict()
    other = build_network("unet", 1, 1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["last.weight"], other["last.weight"])


# --- wiring ---


def by_the_layer_table(network: UNet, x: torch.Tensor, slope: float) -> torch.Tensor:
    """The layer table, written out; weights by position."""

    def act(value: torch.Tensor) -> torch.Tensor:
        return torch.where(value > 0, value, slope * value)

    def conv(layer: nn.Module, value: torch.Tensor) -> torch.Tensor:
        assert isinstance(layer, nn.Conv2d)
        return F.conv2d(value, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)

    def up(level: int, value: torch.Tensor) -> torch.Tensor:
        layer = network.up[level]
        if isinstance(layer, nn.ConvTranspose2d):
            return F.conv_transpose2d(value, layer.weight, layer.bias, stride=2)
        return value.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    e = network.encoder
    p1 = F.max_pool2d(act(conv(e[1], act(conv(e[0], x)))), 2)
    p2 = F.max_pool2d(act(conv(e[2], p1)), 2)
    p3 = F.max_pool2d(act(conv(e[3], p2)), 2)
    p4 = F.max_pool2d(act(conv(e[4], p3)), 2)
    out = act(conv(e[6], F.max_pool2d(act(conv(e[5], p4)), 2)))
    for level, skip in enumerate([p4, p3, p2, p1, x]):
        out = torch.cat([up(level, out), skip], dim=1)
        out = act(conv(network.decoder_b[level], act(conv(network.decoder_a[level], out))))
    out = act(conv(network.head[1], act(conv(network.head[0], out))))
    return conv(network.last, out)


@pytest.mark.parametrize(("name", "slope"), [("unet", 0.1), ("unet_b2u", 0.1), ("unet_nbr", 0.2)])
def test_a_pass_follows_the_layer_table(name: str, slope: float) -> None:
    network, x = network_of(name, dtype=torch.float64), image(1, 3, 32, 64)
    if name == "unet_nbr":  # at its own start the output is all bias and rounding
        network.load_state_dict({key: 10 * value for key, value in network.state_dict().items()})
    with torch.no_grad():
        expected = by_the_layer_table(network, x, slope)
        assert expected.std() > 1e-3
        torch.testing.assert_close(network(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_output_has_the_shape_of_the_input(name: str, channels: int) -> None:
    x = image(2, channels, 32, 64, dtype=torch.float32)
    before = x.clone()
    with torch.no_grad():
        assert build_network(name, channels, channels)(x).shape == x.shape
    assert torch.equal(x, before)


# --- outputs at some pixels only ---


class Plain(nn.Module):
    """A network that does not offer `forward_at`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x))


def corners_and_middle(stride: int) -> list[tuple[int, int]]:
    return [(0, 0), (0, stride - 1), (stride - 1, 0), (stride - 1, stride - 1), (stride // 2, 1)]


def strided(network: nn.Module, x: torch.Tensor, offsets: Sequence[tuple[int, int]], stride: int) -> list[torch.Tensor]:
    """One full pass per copy."""
    count = x.shape[0] // len(offsets)
    return [
        network(x[k * count : (k + 1) * count])[:, :, row::stride, column::stride]
        for k, (row, column) in enumerate(offsets)
    ]


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("name", ["unet", "unet_nbr", "dncnn", "blindspot", "plain"])
def test_forward_at_equals_the_strided_full_pass(name: str, stride: int) -> None:
    network = Plain().double() if name == "plain" else build_network(name, 2, 2).double()
    offsets = corners_and_middle(stride)
    x = image(2 * len(offsets), 2, 32, 64)
    with torch.no_grad():
        parts = forward_at(network, x, offsets, stride)
        expected = strided(network, x, offsets, stride)
    for part, whole in zip(parts, expected, strict=True):
        assert part.shape == (2, 2, 32 // stride, 64 // stride)
        torch.testing.assert_close(part, whole, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("name", ["unet", "plain"])
def test_forward_at_has_the_gradient_of_the_strided_full_pass(name: str, stride: int) -> None:
    network = Plain().double() if name == "plain" else network_of(name, 2, torch.float64)
    offsets = corners_and_middle(stride)[1:4]
    x = image(len(offsets), 2, 32, 32).requires_grad_()
    gradients = []
    for compute in (forward_at, strided):
        loss = torch.stack([part.square().mean() for part in compute(network, x, offsets, stride)]).sum()
        gradients.append(torch.autograd.grad(loss, [x, *network.parameters()]))
    for ours, reference in zip(*gradients, strict=True):
        assert reference.any()
        torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-14)


# --- names ---


def test_an_unknown_network_is_a_user_error_with_the_nearest_name() -> None:
    for check in (lambda: check_network("unet_nb"), lambda: build_network("unet_nb", 3, 3)):
        with pytest.raises(UserError, match=r"Unknown network 'unet_nb'\. Did you mean 'unet_nbr'\?.*unet, unet_b2u"):
            check()


def test_every_listed_network_is_known() -> None:
    for name in NETWORKS:
        check_network(name)


OWN = """
import torch

class Net(torch.nn.Conv2d):
    def __init__(self, given, made):
        super().__init__(given, made, 3, padding=1)

class Odd(torch.nn.Module):
    def __init__(self):
        super().__init__()
"""


def test_a_network_of_ones_own_is_a_class_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    with pytest.raises(UserError, match="stored settings name, not you: it is not run"):
        build_network(f"{path}:Net", 3, 1)
    allow_network(f"{path}:Net")
    network = build_network(f"{path}:Net", 3, 1)
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 1, 8, 8)
    for name, words in (
        (f"{path}:Missing", "no torch.nn.Module named 'Missing'"),
        (f"{path}:torch", "no torch.nn.Module named 'torch'"),
        (f"{path}:Odd", "cannot be made from the numbers of input and output channels"),
        (f"{tmp_path}/absent.py:Net", "absent.py does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            build_network(name, 3, 3)


# --- DnCNN ---


def test_dncnn_is_a_residual_stack() -> None:
    network = build_network("dncnn", 3, 3).double()
    x = image(1, 3, 40, 36)
    out = x
    parameters = list(network.parameters())
    for number in range(17):
        out = F.conv2d(out, parameters[2 * number], parameters[2 * number + 1], padding=1)
        out = F.relu(out) if number < 16 else out
    torch.testing.assert_close(network(x), x - out)
    assert build_network("dncnn", 3, 9)(x.float()).shape == (1, 9, 40, 36)


def test_dncnn_starts_with_a_small_guess_of_the_noise() -> None:
    torch.manual_seed(0)
    network, he = DnCNN(3, 3), (2 / (9 * 64)) ** 0.5
    assert float(weights(network.layers[-1])[0].detach().std()) == pytest.approx(0.1 * he, rel=0.05)
    assert float(weights(network.layers[5])[0].detach().std()) == pytest.approx(he, rel=0.02)
