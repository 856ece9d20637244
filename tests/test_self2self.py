"""Self2Self: partial convolutions, masks, loss and ensemble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from denoisebench.core.errors import UserError
from denoisebench.networks.fast import weights
from denoisebench.networks.self2self import Self2SelfNet
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import NoiseInfo, PerImageMethod

NOTHING = NoiseInfo("self2self", frozenset(), {})


def method(text: str = "self2self") -> PerImageMethod:
    found = parse_method(text)
    assert isinstance(found, PerImageMethod)
    return found


@pytest.mark.parametrize(("channels", "count"), [(1, 988_609), (3, 991_203)])
def test_parameter_counts(channels: int, count: int) -> None:
    assert sum(p.numel() for p in Self2SelfNet(channels).parameters()) == count


def test_without_holes_a_partial_convolution_is_a_convolution() -> None:
    network = Self2SelfNet(3)
    x = torch.rand(1, 3, 32, 32)
    out, held = network._partial(0, x, torch.ones_like(x))
    weight, bias = weights(network.encoder[0])
    expected = F.leaky_relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias), 0.1)
    torch.testing.assert_close(out, expected)
    assert held.shape == (1, 1, 32, 32)
    assert held.all()


def test_a_partial_convolution_divides_by_the_share_it_sees() -> None:
    network = Self2SelfNet(1)
    weights(network.encoder[0])[0].data.fill_(1.0)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2, 3] = mask[..., 4, 4] = 1
    image = 0.5 * mask
    out, held = network._partial(0, image, mask)
    # One or two of nine values are known; the sum is stretched to what nine of them would give.
    assert torch.equal(held[0, 0], (F.max_pool2d(mask, 3, 1, 1)[0, 0] > 0).float())
    torch.testing.assert_close(out[0, 0], 4.5 * held[0, 0])


def test_hidden_values_never_reach_the_network() -> None:
    network = Self2SelfNet(3, dropout=0.0)
    x = torch.rand(1, 3, 32, 32)
    mask = (torch.rand(1, 3, 32, 32) < 0.7).float()
    changed = torch.where(mask.bool(), x, torch.rand_like(x))
    torch.testing.assert_close(network(x, mask), network(changed, mask), rtol=0, atol=0)


def test_the_loss_counts_dropped_values_alone() -> None:
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Constant(torch.nn.Module):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            asked.append((image, mask))
            return torch.zeros_like(image)

    noisy = torch.rand(1, 3, 64, 64)
    loss = method().loss(Constant(), noisy, NOTHING, 0.5)
    image, mask = asked[0]
    torch.testing.assert_close(loss, image[mask == 0].square().mean())
    assert float(mask.mean()) == pytest.approx(0.7, abs=0.02)


def test_flips_are_undone_in_the_ensemble() -> None:
    class Same(torch.nn.Module):
        def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return image

    noisy = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(method("self2self[passes=9]").denoise(Same(), noisy, NOTHING), noisy)


def test_dropout_stays_on_while_denoising() -> None:
    network = Self2SelfNet(1).eval()
    x = torch.rand(1, 1, 32, 32)
    assert not torch.equal(network(x, torch.ones_like(x)), network(x, torch.ones_like(x)))


@pytest.mark.parametrize("level", [0.03, 0.5, 0.97])
def test_the_output_starts_around_the_mean_of_the_image(level: float) -> None:
    """Its argument varies by order one, not by the 4 to 19 of He's weights behind dropouts."""
    torch.manual_seed(0)
    noisy = level + 0.1 * torch.randn(1, 3, 64, 64)
    network: Any = method().build(noisy)
    mean = noisy.mean((0, 2, 3))
    torch.testing.assert_close(network.centre, mean[:, None, None])
    with torch.no_grad():
        torch.testing.assert_close(network.last.bias, torch.logit(mean.clamp(0.02, 0.98)))
        output = network(noisy, (torch.rand_like(noisy) < 0.7).float())
    assert float((torch.logit(output) - network.last.bias[:, None, None]).detach().std()) < 1


def test_a_bright_image_is_to_the_network_what_a_dark_one_is() -> None:
    """Missing values as well, which are those of the centre and not black."""
    torch.manual_seed(0)
    network: Any = Self2SelfNet(3, dropout=0.0)
    x, mask = 0.2 * torch.rand(1, 3, 32, 32), (torch.rand(1, 3, 32, 32) < 0.7).float()
    bias = network.last.bias.detach().clone()
    outputs = []
    for shift in (0.0, 0.7):
        network.start_at(torch.full((3,), 0.1 + shift))
        network.last.bias.data.copy_(bias)
        outputs.append(network(x + shift, mask))
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)


def test_weights_behind_a_dropout_take_notice_of_it() -> None:
    for dropout in (0.0, 0.3):
        torch.manual_seed(0)
        network: Any = Self2SelfNet(3, dropout)
        layer = network.decoder_a[1]
        he = (2 / (1 + 0.1**2) / (9 * layer.in_channels)) ** 0.5
        assert float(layer.weight.detach().std()) == pytest.approx(he * (1 - dropout) ** 0.5, rel=0.01)
        assert float(network.encoder[3].weight.detach().std()) == pytest.approx((2 / 1.01 / (9 * 48)) ** 0.5, rel=0.02)
        assert float(network.last.weight.detach().std()) == pytest.approx(((1 - dropout) / 288) ** 0.5, rel=0.1)


def test_a_picture_on_white_does_not_end_white() -> None:
    """Fitted to the image as it is, the output is one value after ten steps and stays so: 12 dB, at best its mean."""
    torch.manual_seed(1)
    clean = torch.full((1, 3, 32, 32), 0.99)
    clean[..., :10, 22:] = 0.15
    noisy = clean + 0.1 * torch.randn_like(clean)
    one = method("self2self[passes=8]")
    network = one.build(noisy)
    optimiser = torch.optim.Adam(network.parameters(), lr=one.rate(0.5))
    for _ in range(20):
        optimiser.zero_grad()
        one.loss(network, noisy, NOTHING, 0.5).backward()
        optimiser.step()
    with torch.no_grad():
        error = (one.denoise(network, noisy, NOTHING) - clean).square().mean()
    assert float(-10 * error.log10()) > 16


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="keep, dropout and lr"):
        parse_method("self2self[keep=1]")


@pytest.mark.slow
def test_a_photograph_gets_better(fitted_gain: Callable[[str, int], float]) -> None:
    assert fitted_gain("self2self[passes=10]", 120) > 3
