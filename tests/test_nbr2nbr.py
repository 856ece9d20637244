"""Neighbor2Neighbor: pairs of adjacent pixels, and the regularised loss."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from denoisebench.methods.nbr2nbr import NBR2NBR, draw_pairs, pick
from denoisebench.plugins.method import Batch, NoiseInfo


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(noisy: torch.Tensor, seed: int = 0) -> Batch:
    return Batch(noisy, NoiseInfo("nbr2nbr", frozenset(), {}), generator(seed), "nbr2nbr", frozenset(), {})


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(4), dtype=torch.float64)


class Gain(nn.Module):
    """f(y) = a y."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * x


# --- pairs ---


def test_each_ordered_neighbour_pair_is_drawn_once_in_eight_and_no_other() -> None:
    first, second = draw_pairs(torch.zeros(4, 3, 256, 256), generator())
    counts = Counter(zip(first.flatten().tolist(), second.flatten().tolist(), strict=True))
    assert set(counts) == {(0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2)}
    cells = 4 * 128 * 128
    assert all(abs(count / cells - 1 / 8) < 5 * (7 / 64 / cells) ** 0.5 for count in counts.values())


def test_the_two_pixels_are_adjacent_and_of_the_same_cell() -> None:
    noisy = torch.zeros(2, 2, 32, 48)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    place = torch.stack([rows, columns]).expand(2, 2, 32, 48)
    first, second = (pick(place, pixel) for pixel in draw_pairs(noisy, generator()))
    cell = torch.nn.functional.avg_pool2d(place, 2).floor() // 2
    assert torch.equal(first // 2, cell)
    assert torch.equal(second // 2, cell)
    assert torch.equal((first - second).abs().sum(1), torch.ones(2, 16, 24))


def test_a_cell_is_numbered_row_by_row() -> None:
    cell = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).expand(1, 2, 2, 2)
    for number in range(4):
        assert torch.equal(pick(cell, torch.full((1, 1, 1, 1), number)), torch.full((1, 2, 1, 1), float(number)))


def test_pairs_are_shared_by_channels_but_not_by_images_cells_or_steps() -> None:
    pair = draw_pairs(torch.zeros(2, 3, 64, 64), generator())
    assert pair.shape == (2, 2, 1, 32, 32)
    assert not torch.equal(pair[:, 0], pair[:, 1])
    assert not torch.equal(pair, draw_pairs(torch.zeros(2, 3, 64, 64), generator(1)))
    code = pair[0] * 4 + pair[1]
    assert (code[..., 1:] == code[..., :-1]).double().mean().item() == pytest.approx(1 / 8, abs=0.04)
    picked = pick(image(2, 1, 64, 64).expand(2, 3, 64, 64), pair[0])
    assert torch.equal(picked[:, 0], picked[:, 2])


# --- loss ---


def test_the_loss_is_the_formula_and_no_gradient_reaches_the_full_pass() -> None:
    a, gamma, progress = 0.7, 3.0, 0.4
    network, noisy = Gain(a), image(2, 3, 64, 64)
    loss, monitors = NBR2NBR(gamma=gamma).loss(network, batch_of(noisy, seed=5), progress)
    loss.backward()
    g1, g2 = (pick(noisy, pixel) for pixel in draw_pairs(noisy, generator(5)))
    d, r = a * g1 - g2, a * (g1 - g2)
    fidelity, regulariser = d.square().mean(), (d - r).square().mean()
    assert loss.item() == pytest.approx((fidelity + gamma * progress * regulariser).item())
    slope = (2 * d * g1).mean() + gamma * progress * (2 * (d - r) * g1).mean()
    assert network.a.grad is not None
    assert network.a.grad.item() == pytest.approx(slope.item())
    assert {name: value.item() for name, value in monitors.items()} == pytest.approx(
        {"fidelity": fidelity.item(), "regulariser": regulariser.item()}
    )


def test_the_regulariser_is_zero_for_an_identity_network() -> None:
    noisy = image(2, 3, 64, 64)
    loss, monitors = NBR2NBR().loss(nn.Identity(), batch_of(noisy), 1.0)
    assert monitors["regulariser"] == 0
    assert loss == monitors["fidelity"] > 0


def test_the_weight_of_the_regulariser_grows_linearly_to_gamma() -> None:
    noisy, gains = image(1, 1, 64, 64), {}
    for epoch in (1, 50, 100):
        loss, parts = NBR2NBR().loss(Gain(0.5), batch_of(noisy), epoch / 100)
        gains[epoch] = ((loss - parts["fidelity"]) / parts["regulariser"]).item()
    assert gains == pytest.approx({1: 0.02, 50: 1.0, 100: 2.0})
    loss, parts = NBR2NBR(gamma=0.0).loss(Gain(0.5), batch_of(noisy), 1.0)
    assert loss == parts["fidelity"]


def test_the_network_is_trained_on_half_size_images_and_applied_to_whole_ones() -> None:
    seen: list[tuple[tuple[int, ...], bool]] = []

    class Spy(Gain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((tuple(x.shape), torch.is_grad_enabled()))
            return super().forward(x)

    noisy = image(2, 3, 64, 64)
    NBR2NBR().loss(Spy(0.5), batch_of(noisy), 1.0)
    assert sorted(seen) == [((2, 3, 32, 32), True), ((2, 3, 64, 64), False)]
    output = NBR2NBR().denoise(Gain(0.5), noisy, NoiseInfo("nbr2nbr", frozenset(), {}), generator())
    assert torch.equal(output, 0.5 * noisy)


def test_it_is_told_nothing_and_wants_crops_that_can_be_halved() -> None:
    assert NBR2NBR().told("gauss") == NBR2NBR().told("poisson") == frozenset()
    assert NBR2NBR.crop_multiple == 64
    assert NBR2NBR.weight_decay == 0
    assert NBR2NBR().gamma == 2
