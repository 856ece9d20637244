"""AP-BSN: sub-images and back, its loss, refinement, and correlated noise that is left out of the output."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from denoisebench.core.errors import UserError
from denoisebench.methods.apbsn import APBSN, downsampled, upsampled
from denoisebench.networks.dbsn import DilatedBlindSpot
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.plugins.method import Batch, NoiseInfo

KNOWN = NoiseInfo("apbsn", frozenset(), {})


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def batch_of(noisy: torch.Tensor) -> Batch:
    return Batch(noisy, KNOWN, torch.Generator().manual_seed(0), "apbsn", frozenset(), {})


class Spy(torch.nn.Module):
    """f(y) = y + a; keeps what it was shown."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = a
        self.shown: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown.append(x)
        return x + self.a


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_sub_images_hold_every_stride_th_pixel_and_go_back(stride: int) -> None:
    x = image(2, 3, 10 * stride, 4 * stride)
    parts = downsampled(x, stride)
    assert parts.shape == (2 * stride**2, 3, 10, 4)
    for row in range(stride):
        for column in range(stride):
            expected = x[1, :, row::stride, column::stride]
            assert torch.equal(parts[stride**2 + row * stride + column], expected)
    assert torch.equal(upsampled(parts, stride), x)


def test_the_loss_is_the_mean_absolute_error_on_sub_images() -> None:
    noisy = image(2, 3, 64, 64)
    spy = Spy(0.25)
    loss, _ = APBSN().loss(spy, batch_of(noisy), 0.5)
    assert loss.item() == pytest.approx(0.25)
    assert torch.equal(spy.shown[0], downsampled(noisy[..., :60, :60], 5))


def test_without_refinement_it_is_one_pass_over_sub_images() -> None:
    noisy, spy = image(1, 3, 16, 12), Spy(0.5)
    result = APBSN(refinements=0).denoise(spy, noisy, KNOWN, torch.Generator().manual_seed(1))
    torch.testing.assert_close(result, noisy + 0.5)
    assert torch.equal(spy.shown[0], downsampled(noisy, 2))


def test_refinement_puts_back_a_share_of_the_pixels_in_all_channels_and_averages() -> None:
    noisy, spy = image(1, 3, 64, 64), Spy(1.0)
    result = APBSN().denoise(spy, noisy, KNOWN, torch.Generator().manual_seed(1))
    assert len(spy.shown) == 9
    masks = []
    for shown in spy.shown[1:]:
        back = shown == noisy
        torch.testing.assert_close(shown, torch.where(back, noisy, noisy + 1))
        assert (back == back[:, :1]).all()
        masks.append(back)
    assert torch.stack(masks).double().mean().item() == pytest.approx(0.16, abs=0.01)
    assert not torch.equal(masks[0], masks[1])
    torch.testing.assert_close(result, torch.stack(spy.shown[1:]).mean(0) + 1)


def test_no_pixel_of_the_training_output_depends_on_itself() -> None:
    torch.manual_seed(0)
    network = DilatedBlindSpot(1, 1, 4, 2).double()
    noisy = image(1, 1, 30, 30).requires_grad_()
    output = upsampled(network(downsampled(noisy, 5)), 5)
    (gradient,) = torch.autograd.grad(output[0, 0, 12, 17], noisy)
    seen = gradient[0, 0].nonzero()
    assert len(seen) > 8
    assert ((seen - torch.tensor([12, 17])) % 5 == 0).all()
    assert gradient[0, 0, 12, 17] == 0


def test_padding_follows_the_stride() -> None:
    assert parse_method("apbsn").info.multiple == 2
    assert parse_method("apbsn[test_stride=3]").info.multiple == 3
    assert APBSN.info.multiple == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apbsn[network=unet]", "allowed are dbsn"),
        ("apbsn[network=blindspot]", "allowed are dbsn"),
        ("apbsn[train_stride=0]", "between 1 and 16"),
        ("apbsn[refinements=-1]", "at least 0"),
        ("apbsn[share=1]", "between 0 and 1"),
    ],
)
def test_a_bad_setting_is_a_user_error(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_method(text)


@pytest.mark.slow
def test_noise_that_is_correlated_between_neighbours_is_removed() -> None:
    photograph = find_dataset("samples", ()).load("astronaut")[:160, :160] / 255
    clean = torch.from_numpy(photograph).float().permute(2, 0, 1)[None]
    white = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    noise = 25 / 255 * 3 * F.avg_pool2d(F.pad(white, (1, 1, 1, 1), mode="circular"), 3, stride=1)
    noisy, kept = clean + noise, {}
    # The blind-spot network alone sees the same noise in the neighbours.
    for text in ("apbsn[train_stride=1,test_stride=1,refinements=0]", "apbsn[refinements=0]"):
        method = parse_method(text)
        assert isinstance(method, APBSN)
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(0)
            network = DilatedBlindSpot(3, 3, 12, 2)
            optimiser = torch.optim.Adam(network.parameters(), 3e-3)
            generator = torch.Generator().manual_seed(1)
            for step in range(100):
                y, x = torch.randint(0, 97, (2,), generator=generator).tolist()
                loss, _ = method.loss(network, batch_of(noisy[..., y : y + 64, x : x + 64]), step / 100)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            difference = method.denoise(network, noisy, KNOWN, torch.Generator()) - clean
        kept[text.partition("[")[2]] = float((difference * noise).mean() / noise.square().mean())
    assert kept["refinements=0]"] < 0.5 * kept["train_stride=1,test_stride=1,refinements=0]"]
