"""Noise2Void: which pixels are hidden, by what, and what is scored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from denoisebench.core.errors import UserError
from denoisebench.methods.n2v import N2V
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, NoiseInfo


def batch_of(noisy: torch.Tensor, seed: int = 0) -> Batch:
    known = NoiseInfo("n2v", frozenset(), {})
    return Batch(noisy, known, torch.Generator().manual_seed(seed), "n2v", frozenset(), {})


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


class Spy(nn.Module):
    """f(y) = a y; keeps what it was shown."""

    def __init__(self, a: float = 1.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))
        self.shown = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shown = x.detach()
        return self.a * x


def hidden_points(method: N2V, noisy: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """(N, C, H, W), true where hidden."""
    index, inside = method.hidden(noisy, torch.Generator().manual_seed(seed))
    hit = torch.zeros_like(noisy).flatten(2).scatter_add(2, index, inside.to(noisy.dtype))
    assert hit.max() <= 1
    return (hit > 0).view_as(noisy)


# --- hidden pixels ---


@pytest.mark.parametrize(("perc", "box"), [(1.5, 8), (1.3, 9), (0.198, 22), (25.0, 2), (100.0, 1)])
def test_each_box_hides_one_uniform_pixel(perc: float, box: int) -> None:
    noisy = torch.zeros(3, 2, 6 * box, 5 * box)
    hidden = hidden_points(N2V(perc=perc), noisy)
    assert torch.equal(
        torch.nn.functional.avg_pool2d(hidden.double(), box) * box**2, torch.ones(3, 2, 6, 5, dtype=torch.float64)
    )


def test_every_place_of_a_box_is_equally_likely() -> None:
    hidden = hidden_points(N2V(), torch.zeros(4, 3, 256, 256))
    places = torch.nn.functional.pixel_unshuffle(hidden.double().view(12, 1, 256, 256), 8)
    frequency = places.mean((0, 2, 3))
    assert frequency.sum().item() == pytest.approx(1)
    count = 12 * 32 * 32
    assert (frequency - 1 / 64).abs().max() < 5 * (1 / 64 / count) ** 0.5


def test_points_are_drawn_for_each_image_and_channel_and_step() -> None:
    noisy = torch.zeros(2, 2, 64, 64)
    hidden = hidden_points(N2V(), noisy)
    assert not torch.equal(hidden[0, 0], hidden[0, 1])
    assert not torch.equal(hidden[0, 0], hidden[1, 0])
    assert not torch.equal(hidden, hidden_points(N2V(), noisy, seed=1))
    assert torch.equal(hidden, hidden_points(N2V(), noisy))


def test_points_outside_the_crop_are_dropped() -> None:
    method, noisy = N2V(perc=0.198), torch.zeros(400, 1, 64, 64)
    counts = hidden_points(method, noisy).sum((1, 2, 3))
    # Boxes of 22 in 64: two rows and columns are whole, the third is cut to 20.
    assert counts.min() >= 4
    assert counts.max() == 9
    assert counts.double().mean().item() == pytest.approx((2 + 20 / 22) ** 2, abs=0.15)


# --- replacements ---


def test_a_replacement_lies_in_the_window_and_in_the_crop() -> None:
    shape = torch.Size((1, 1, 32, 32))
    for row, column in [(16, 16), (0, 31), (3, 30)]:
        index = torch.full((1, 1, 20_000), row * 32 + column)
        source = N2V(radius=5).replacement(index, shape, torch.Generator().manual_seed(1))
        found = {(i // 32, i % 32) for i in source.unique().tolist()}
        rows, columns = (range(max(0, p - 5), min(31, p + 5) + 1) for p in (row, column))
        assert found == {(r, c) for r in rows for c in columns}


def test_a_pixel_replaces_itself_as_often_as_any_other_of_its_window() -> None:
    index = torch.full((1, 1, 200_000), 16 * 32 + 16)
    source = N2V().replacement(index, torch.Size((1, 1, 32, 32)), torch.Generator().manual_seed(2))
    frequency = source.flatten().bincount().double() / 200_000
    assert frequency[16 * 32 + 16].item() == pytest.approx(1 / 121, rel=0.1)
    assert frequency[frequency > 0].max() < 1.2 / 121


# --- loss ---


def test_only_hidden_pixels_are_changed_and_scored() -> None:
    method, network, noisy = N2V(), Spy(0.7), image(2, 3, 64, 64)
    loss, monitors = method.loss(network, batch_of(noisy, seed=3), 0.5)
    hidden = hidden_points(method, noisy, seed=3)
    changed = network.shown != noisy
    assert not (changed & ~hidden).any()
    assert changed.sum() > 0.95 * hidden.sum()
    expected = (0.7 * network.shown - noisy)[hidden].square().mean()
    assert loss.item() == pytest.approx(expected.item())
    assert monitors == {}


def test_a_hidden_pixel_takes_the_value_of_a_pixel_nearby_in_its_channel() -> None:
    method, network = N2V(radius=2), Spy()
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    noisy = torch.stack([rows, columns + 100])[None].double()
    method.loss(network, batch_of(noisy), 0.5)
    assert 0 < (network.shown - noisy).abs().max() <= 2


def test_the_network_cannot_see_the_value_it_is_scored_on() -> None:
    method, network, noisy = N2V(perc=25.0), Spy(), image(1, 1, 32, 32)
    generator = torch.Generator().manual_seed(0)
    index, _ = method.hidden(noisy, generator)
    taken = method.replacement(index, noisy.shape, generator)
    elsewhere = (taken != index).flatten()
    method.loss(network, batch_of(noisy), 0.5)
    shown = network.shown.flatten()[index.flatten()]
    assert torch.equal(shown, noisy.flatten()[taken.flatten()])
    assert (shown != noisy.flatten()[index.flatten()])[elsewhere].all()


def test_dropped_points_count_for_nothing() -> None:
    method, network, noisy = N2V(perc=0.198), Spy(0.5), image(4, 1, 32, 32)
    loss, _ = method.loss(network, batch_of(noisy, seed=6), 0.5)
    hidden = hidden_points(method, noisy, seed=6)
    assert hidden.sum() < 4 * 4
    assert not ((network.shown != noisy) & ~hidden).any()
    assert loss.item() == pytest.approx((0.5 * network.shown - noisy)[hidden].square().mean().item())


def test_a_batch_without_hidden_pixels_has_a_finite_loss() -> None:
    method, noisy = N2V(perc=0.01), image(1, 1, 64, 64)
    losses = [method.loss(Spy(), batch_of(noisy, seed), 0.5)[0] for seed in range(20)]
    assert all(torch.isfinite(loss) for loss in losses)


def test_denoising_is_one_plain_pass_and_nothing_is_told() -> None:
    noisy = image(1, 3, 32, 32)
    assert torch.equal(
        N2V().denoise(Spy(0.5), noisy, NoiseInfo("n2v", frozenset(), {}), torch.Generator()), 0.5 * noisy
    )
    assert N2V().told("gauss") == N2V().told("poisson") == frozenset()


@pytest.mark.parametrize("settings", [{"perc": "0"}, {"perc": "101"}, {"radius": "0"}, {"radius": "2.5"}])
def test_a_bad_setting_is_a_user_error(settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="n2v"):
        N2V.from_settings(settings)


@pytest.mark.parametrize(("text", "count"), [("n2v", 64), ("n2v[perc=0.198,radius=2]", 9)])
def test_so_many_pixels_of_a_patch_are_hidden_as_the_docstring_says(text: str, count: int) -> None:
    method: Any = parse_method(text)
    index, _ = method.hidden(torch.zeros(1, 1, 64, 64), torch.Generator().manual_seed(0))
    assert index.shape[-1] == count
