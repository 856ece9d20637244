"""Deep Image Prior: network, fixed input, running mean."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.networks.hourglass import Hourglass
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import NoiseInfo, PerImageMethod

NOTHING = NoiseInfo("dip", frozenset(), {})


def method(text: str = "dip") -> PerImageMethod:
    found = parse_method(text)
    assert isinstance(found, PerImageMethod)
    return found


def test_parameter_count() -> None:
    assert sum(p.numel() for p in Hourglass(32, 3).parameters()) == 2_217_831


@pytest.mark.parametrize("size", [(64, 64), (64, 128)])
def test_the_network_keeps_the_size_and_stays_within_0_and_1(size: tuple[int, int]) -> None:
    out = Hourglass(32, 3)(torch.rand(1, 32, *size))
    assert out.shape == (1, 3, *size)
    assert 0 < out.min() < out.max() < 1


def test_the_input_is_fixed_and_jittered_and_never_the_image() -> None:
    torch.manual_seed(0)
    noisy = torch.rand(1, 3, 64, 64)
    network = method().build(noisy)
    given = network.get_buffer("given").clone()
    assert given.shape == (1, 32, 64, 64)
    assert 0 <= given.min() < given.max() <= 0.1
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for _ in range(2):
        method().loss(network, noisy, NOTHING, 0.5)
    assert torch.equal(given, network.get_buffer("given"))
    for jittered in seen:
        assert float((jittered - given).std()) == pytest.approx(1 / 30, rel=0.02)
    assert not torch.equal(*seen)


def test_the_result_is_the_running_mean_of_outputs() -> None:
    noisy = torch.rand(1, 1, 64, 64)
    found = method("dip[decay=0.75]")
    network = found.build(noisy)
    outputs: list[torch.Tensor] = []
    network.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    for _ in range(3):
        found.loss(network, noisy, NOTHING, 0.5)
    weights = [0.75**2 * 0.25, 0.75 * 0.25, 0.25]
    expected = sum(w * out for w, out in zip(weights, outputs, strict=True)) / sum(weights)
    torch.testing.assert_close(found.denoise(network, noisy, NOTHING), expected)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="dip: lr and decay"):
        parse_method("dip[lr=0]")


@pytest.mark.slow
def test_a_photograph_gets_better(fitted_gain: Callable[[str, int], float]) -> None:
    assert fitted_gain("dip[decay=0.9]", 60) > 2
