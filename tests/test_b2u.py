"""Blind2Unblind: masks, filler, blindness, loss, schedule, outputs and diagnosis."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import nn

from denoisebench.core.errors import ContractError, UserError
from denoisebench.methods.b2u import (
    B2U,
    global_masks,
    random_mask,
)
from denoisebench.networks.unet import UNet
from denoisebench.plugins.method import Batch, Need, NoiseInfo
from denoisebench.toolbox.masking import fill

Point = dict[str, float]


#: The exact loss and the ramp whose end is the end of the training.
EXACT: dict[str, Any] = {"masks": None, "ramp_start": 0.4, "ramp_end": 1.0}


def known_of(method: B2U, ranged: bool = False) -> NoiseInfo:
    return NoiseInfo("b2u", method.told("gauss"), {Need.RANGED: ranged})


def batch_of(method: B2U, noisy: torch.Tensor, seed: int = 0) -> Batch:
    told = method.told("gauss")
    return Batch(noisy, known_of(method), torch.Generator().manual_seed(seed), "b2u", told, {})


def image(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4), dtype=dtype)


def unet(channels: int = 1) -> nn.Module:
    """The U-Net with random weights and few channels."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return UNet(channels, channels, width=8, init="he").double()


class Gain(nn.Module):
    """f(y) = a y, small enough for formulas by hand."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * x


def gradients(network: nn.Module) -> list[torch.Tensor]:
    found = []
    for parameter in network.parameters():
        assert parameter.grad is not None
        found.append(parameter.grad.clone())
    network.zero_grad(set_to_none=True)
    return found


def denoised(method: B2U, network: nn.Module, noisy: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = method.denoise(network, noisy, known_of(method), torch.Generator())
    return output


# --- masks and filler ---


@pytest.mark.parametrize(("stride", "count"), [(4, 16), (2, 4), (8, 64)])
def test_the_masks_partition_the_image(stride: int, count: int) -> None:
    masks = global_masks(torch.zeros(2, 3, 16, 24), stride)
    assert len(masks) == count
    assert torch.equal(sum(mask.int() for mask in masks), torch.ones(1, 1, 16, 24, dtype=torch.int))
    for i, mask in enumerate(masks):
        hidden = mask[0, 0].nonzero()
        assert set(map(tuple, (hidden % stride).tolist())) == {(i // stride, i % stride)}


def test_the_filler_is_not_renormalised_at_the_border() -> None:
    filled = fill(torch.ones(1, 2, 6, 7, dtype=torch.float64))
    expected = torch.full((6, 7), 8 / 12, dtype=torch.float64)
    expected[1:-1, 1:-1] = 1
    expected[0, 0] = expected[0, -1] = expected[-1, 0] = expected[-1, -1] = 5 / 12
    torch.testing.assert_close(filled, expected.expand(1, 2, 6, 7))


def test_the_filler_weighs_eight_neighbours_and_leaves_the_centre_out() -> None:
    spot = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    spot[0, 0, 2, 2] = 1
    response = fill(spot)
    expected = torch.tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]], dtype=torch.float64) / 12
    torch.testing.assert_close(response[0, 0, 1:4, 1:4], expected)
    assert not response[0, 1].any()


def test_the_filler_keeps_a_seventh_of_the_noise_variance() -> None:
    noise = torch.randn(1, 1, 400, 400, generator=torch.Generator().manual_seed(6))
    assert fill(noise)[..., 1:-1, 1:-1].var().item() == pytest.approx(0.139, abs=0.004)


@pytest.mark.parametrize("stride", [2, 4])
def test_a_random_mask_hides_one_pixel_of_each_cell_uniformly(stride: int) -> None:
    cells = 64
    mask = random_mask(torch.zeros(4, 3, cells * stride, cells * stride), stride, torch.Generator().manual_seed(7))
    assert mask.shape == (4, 1, cells * stride, cells * stride)
    assert mask.dtype == torch.bool
    places = mask.view(4, cells, stride, cells, stride).transpose(2, 3).reshape(-1, stride * stride)
    assert torch.equal(places.sum(1), torch.ones(4 * cells * cells, dtype=torch.long))
    frequency = places.double().mean(0)
    expected = 1 / stride**2
    assert (frequency - expected).abs().max() < 5 * (expected * (1 - expected) / places.shape[0]) ** 0.5
    assert not torch.equal(mask[0], mask[1])


def test_a_random_mask_chooses_neighbouring_cells_independently() -> None:
    mask = random_mask(torch.zeros(1, 1, 400, 400), 4, torch.Generator().manual_seed(8))
    place = mask.view(100, 4, 100, 4).transpose(1, 2).reshape(100, 100, 16).int().argmax(-1)
    assert (place[:, 1:] == place[:, :-1]).double().mean().item() == pytest.approx(1 / 16, abs=0.015)
    assert (place[1:] == place[:-1]).double().mean().item() == pytest.approx(1 / 16, abs=0.015)


# --- outputs ---


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_the_blind_output_of_an_identity_network_is_the_filler(stride: Literal[2, 4, 8]) -> None:
    noisy = image(2, 3, 32, 64)
    output = denoised(B2U(output="dn", stride=stride), nn.Identity(), noisy)
    torch.testing.assert_close(output, fill(noisy), rtol=1e-14, atol=0)


def test_the_visible_output_is_one_plain_pass() -> None:
    noisy = image(1, 1, 32, 32)
    assert torch.equal(denoised(B2U(), nn.Identity(), noisy), noisy)
    assert torch.equal(denoised(B2U(), Gain(0.5), noisy), 0.5 * noisy)


@pytest.mark.parametrize(("blend", "weight"), [(None, 20.0), (19.4, 19.4), (0.0, 0.0)])
def test_the_blend_weighs_the_visible_output_by_lambda(blend: float | None, weight: float) -> None:
    noisy = image(1, 3, 32, 32)
    output = denoised(B2U(output="mid", blend=blend), nn.Identity(), noisy)
    torch.testing.assert_close(output, (fill(noisy) + weight * noisy) / (1 + weight))


def blind_by_definition(network: nn.Module, noisy: torch.Tensor, stride: int) -> torch.Tensor:
    """sum_i m_i f(y (1 - m_i) + (K * y) m_i), written out."""
    total = torch.zeros_like(noisy)
    for mask in global_masks(noisy, stride):
        m = mask.to(noisy.dtype)
        total = total + m * network(noisy * (1 - m) + fill(noisy) * m)
    return total


@pytest.mark.parametrize("stride", [2, 4])
def test_the_blind_output_sees_all_neighbours_of_a_pixel_but_not_itself(stride: Literal[2, 4]) -> None:
    network, noisy = unet(), image(1, 1, 32, 32).requires_grad_()
    output = blind_by_definition(network, noisy, stride)
    with torch.no_grad():
        ours = denoised(B2U(output="dn", stride=stride), network, noisy)
    torch.testing.assert_close(ours, output.detach(), rtol=1e-11, atol=1e-13)
    for row, column in [(13, 14), (12, 12), (0, 31), (31, 7)]:
        (slope,) = torch.autograd.grad(output[0, 0, row, column], noisy, retain_graph=True)
        assert slope[0, 0, row, column] == 0
        around = itertools.product((row - 1, row, row + 1), (column - 1, column, column + 1))
        inside = [(r, c) for r, c in around if 0 <= r < 32 and 0 <= c < 32 and (r, c) != (row, column)]
        assert all(slope[0, 0, r, c] != 0 for r, c in inside)


@pytest.mark.parametrize(("row", "column"), [(13, 14), (0, 31)])
def test_a_changed_pixel_changes_the_blind_output_elsewhere_only(row: int, column: int) -> None:
    network, method, noisy = unet(3), B2U(output="dn"), image(1, 3, 32, 32)
    changed = noisy.clone()
    changed[0, :, row, column] += torch.tensor([0.5, -0.3, 7.0])
    with torch.no_grad():
        before, after = (denoised(method, network, x) for x in (noisy, changed))
        seen_before, seen_after = (denoised(B2U(), network, x) for x in (noisy, changed))
    assert torch.equal(before[0, :, row, column], after[0, :, row, column])
    below = (before != after)[0, :, row + 1, column]
    assert below.all()
    assert (seen_before != seen_after)[0, :, row, column].all()


# --- loss ---


@pytest.mark.parametrize(
    ("settings", "progress", "weight"),
    [({}, 0.4, 2.0), ({}, 1.0, 20.0), ({"eta": 3.0, "lambda_f": 40.0}, 1.0, 40.0), ({"eta": 0.0}, 0.7, 11.0)],
)
def test_the_gradient_is_that_of_a_regression_on_an_amplified_residual(
    settings: dict[str, float], progress: float, weight: float
) -> None:
    method, network, noisy = B2U(**EXACT, **settings), unet(), image(1, 1, 32, 32)
    loss, _ = method.loss(network, batch_of(method, noisy), progress)
    loss.backward()
    ours = gradients(network)
    with torch.no_grad():
        target = noisy - weight / (1 + method.eta) * (network(noisy) - noisy)
    h = blind_by_definition(network, noisy, method.stride)
    ((1 + method.eta) * (h - target).square().mean()).backward()
    for gradient, reference in zip(ours, gradients(network), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("revisible", ["A", "B"])
def test_the_loss_is_the_formula_and_no_gradient_reaches_the_visible_pass(revisible: Literal["A", "B"]) -> None:
    a, weight, eta = 0.7, 2.0, 1.5
    method, network, noisy = B2U(**EXACT, revisible=revisible, eta=eta), Gain(a), image(2, 3, 32, 32)
    loss, monitors = method.loss(network, batch_of(method, noisy), 0.3)
    loss.backward()
    filled = fill(noisy)
    d1, d2 = a * filled - noisy, a * noisy - noisy
    first, sign = (d1 + weight * d2, 1) if revisible == "A" else (weight * d2 - d1, -1)
    assert loss.item() == pytest.approx((first.square().mean() + eta * d1.square().mean()).item())
    # d first / d a holds the filled image alone; the visible pass would add weight * noisy.
    slope = (2 * first * sign * filled + eta * 2 * d1 * filled).mean()
    assert network.a.grad is not None
    assert network.a.grad.item() == pytest.approx(slope.item())
    assert {name: value.item() for name, value in monitors.items()} == pytest.approx(
        {
            "blind": d1.square().mean().item(),
            "seen": d2.square().mean().item(),
            "gap": (d1 - d2).square().mean().item(),
            "lambda": weight,
        }
    )
    assert not any(value.requires_grad for value in monitors.values())


def test_without_the_visible_term_the_loss_is_the_blind_one_and_nothing_is_told() -> None:
    method, noisy = B2U(masks=None, visible=False), image(1, 1, 32, 32)
    assert method.told("gauss") == frozenset()
    loss, monitors = method.loss(Gain(0.7), batch_of(method, noisy), 1.0)
    assert loss.item() == pytest.approx((0.7 * fill(noisy) - noisy).square().mean().item())
    assert monitors["lambda"] == 0


def test_the_random_mapper_averages_one_masked_copy_over_all_elements() -> None:
    method, noisy = B2U(stride=4, mapper="random", visible=False), image(2, 3, 32, 32)
    loss, monitors = method.loss(Gain(0.7), batch_of(method, noisy, seed=9), 1.0)
    mask = random_mask(noisy, 4, torch.Generator().manual_seed(9)).expand_as(noisy)
    squared = (0.7 * fill(noisy) - noisy).square()[mask]
    assert loss.item() == pytest.approx((squared.sum() / noisy.numel()).item())
    assert monitors["blind"].item() == pytest.approx(squared.mean().item())


def test_the_random_mapper_masks_the_visible_residual_too() -> None:
    a, method, noisy = 0.7, B2U(**EXACT, mapper="random"), image(2, 3, 32, 32)
    loss, _ = method.loss(Gain(a), batch_of(method, noisy, seed=9), 0.4)
    mask = random_mask(noisy, 4, torch.Generator().manual_seed(9))
    d1, d2 = (a * fill(noisy) - noisy) * mask, (a * noisy - noisy) * mask
    assert loss.item() == pytest.approx(((d1 + 2 * d2).square().mean() + d1.square().mean()).item())


@pytest.mark.parametrize(
    "method",
    [
        B2U(**EXACT),
        B2U(**EXACT, stride=2),
        B2U(**EXACT, revisible="B"),
        B2U(**EXACT, stride=2, eta=0.0),
        B2U(masks=None, visible=False),
        B2U(mapper="random"),
        B2U(mapper="random", visible=False),
        B2U(),
        B2U(masks=3, stride=2, revisible="B"),
        B2U(visible=False),
    ],
    ids=lambda method: method.text,
)
def test_backward_accumulates_the_gradient_of_the_loss(method: B2U) -> None:
    network, noisy = unet(), image(2, 1, 32, 32)
    loss, monitors = method.loss(network, batch_of(method, noisy), 0.9)
    loss.backward()
    reference = gradients(network)
    total, same_monitors = method.backward(network, batch_of(method, noisy), 0.9)
    assert total.item() == pytest.approx(loss.item(), rel=1e-10)
    assert not total.requires_grad
    for gradient, expected in zip(gradients(network), reference, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-12)
    assert set(monitors) == {"blind", "seen", "gap", "lambda"}
    for name, value in monitors.items():
        torch.testing.assert_close(same_monitors[name], value)


@pytest.mark.parametrize("masks", [1, 3])
@pytest.mark.parametrize("visible", [True, False])
def test_the_mean_of_the_sampled_gradients_is_the_exact_one(
    masks: int, visible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all cyclic shifts of the cell every mask is drawn equally often, by each of the two images on its own."""
    exact = B2U(**EXACT, stride=2, visible=visible)
    sampled, network, noisy = replace(exact, masks=masks), unet(), image(2, 1, 32, 32)
    total, monitors = exact.backward(network, batch_of(exact, noisy), 0.9)
    reference = gradients(network)
    sums = [torch.zeros_like(gradient) for gradient in reference]
    losses, blinds = [], []
    for shift in range(4):
        shifts = itertools.cycle((shift, 3 * shift + 1))
        monkeypatch.setattr(torch, "randperm", lambda n, shifts=shifts, **_: torch.arange(n).roll(next(shifts)))
        loss, seen = sampled.backward(network, batch_of(sampled, noisy), 0.9)
        losses.append(loss.item() / 4)
        blinds.append(seen["blind"].item() / 4)
        for mean, gradient in zip(sums, gradients(network), strict=True):
            mean += gradient / 4
    assert sum(losses) == pytest.approx(total.item(), rel=1e-10)
    assert sum(blinds) == pytest.approx(monitors["blind"].item(), rel=1e-10)
    for gradient, expected in zip(sums, reference, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-12)


def test_masks_are_drawn_for_every_image_and_all_equally_often() -> None:
    method, drawn = B2U(), torch.zeros(4, 16)
    for seed in range(400):
        batch = batch_of(method, torch.zeros(4, 1, 8, 8), seed)
        for row in range(4):
            drawn[row, torch.randperm(16, generator=batch.generator)[0]] += 1
    # Binomial(400, 1/16): mean 25, standard deviation 4.8.
    assert drawn.min() > 5
    assert drawn.max() < 50


def test_one_mask_per_image_costs_one_pass_at_its_own_offset() -> None:
    calls: list[tuple[torch.Size, list[tuple[int, int]], bool]] = []

    class Spy(Gain):
        def forward_at(self, x: torch.Tensor, offsets: list[tuple[int, int]], stride: int) -> list[torch.Tensor]:
            calls.append((x.shape, offsets, torch.is_grad_enabled()))
            parts = x.chunk(len(offsets))
            return [self.a * p[..., r::stride, c::stride] for p, (r, c) in zip(parts, offsets, strict=True)]

    method, noisy = B2U(), image(5, 3, 32, 32)
    loss, monitors = method.backward(Spy(0.7), batch_of(method, noisy), 1.0)
    (seen, blind) = calls
    assert seen[0] == blind[0] == noisy.shape
    assert (seen[2], blind[2]) == (False, True)
    assert seen[1] == blind[1]
    assert len(set(blind[1])) > 1
    filled = fill(noisy)
    at = [(n, slice(None), slice(r, None, 4), slice(c, None, 4)) for n, (r, c) in enumerate(blind[1])]
    d1 = torch.stack([0.7 * filled[i] - noisy[i] for i in at])
    d2 = torch.stack([0.7 * noisy[i] - noisy[i] for i in at])
    assert loss.item() == pytest.approx(((d1 + 20 * d2).square() + d1.square()).mean().item())
    assert monitors["gap"].item() == pytest.approx((d1 - d2).square().mean().item())


# --- lambda ---


@pytest.mark.parametrize(
    ("ranged", "table"),
    [
        (
            True,
            {1: 2, 40: 2, 41: 2.3, 50: 5, 60: 8, 80: 14, 90: 17, 97: 19.1, 98: 19.4, 99: 19.7, 100: 20},
        ),
        (False, {1: 2, 41: 2, 80: 2, 81: 2.9, 90: 11, 95: 15.5, 99: 19.1, 100: 20}),
    ],
)
def test_lambda_follows_the_table_for_a_hundred_epochs(ranged: bool, table: dict[int, float]) -> None:
    method = B2U(ramp_start=None)
    weights = {epoch: method.weight(epoch / 100, known_of(method, ranged)) for epoch in table}
    assert weights == pytest.approx(table)
    if ranged:
        nothing = NoiseInfo("b2u", frozenset(), {})
        same = B2U(ramp_start=0.4, ramp_end=1.0)
        assert {epoch: same.weight(epoch / 100, nothing) for epoch in table} == pytest.approx(table)


def test_by_default_lambda_rises_during_the_first_half_and_stays() -> None:
    nothing = NoiseInfo("b2u", frozenset(), {})
    weights = [B2U().weight(progress, nothing) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert weights == pytest.approx([2, 11, 20, 20, 20])


def test_lambda_jumps_where_the_ramp_ends_before_it_starts() -> None:
    nothing = NoiseInfo("b2u", frozenset(), {})
    weights = [B2U(ramp_start=0.7).weight(progress, nothing) for progress in (0.5, 0.7, 0.71)]
    assert weights == [2, 2, 20]


def test_a_given_ramp_start_needs_to_be_told_nothing() -> None:
    method = B2U(ramp_start=0.5, ramp_end=1.0)
    assert method.told("gauss") == frozenset()
    nothing = NoiseInfo("b2u", frozenset(), {})
    assert [method.weight(progress, nothing) for progress in (0.5, 0.75, 1)] == pytest.approx([2, 11, 20])
    with pytest.raises(ContractError):
        B2U(ramp_start=None).weight(0.5, nothing)


def test_only_the_released_rule_is_told_the_kind_of_level() -> None:
    assert B2U().told("gauss") == B2U().told("poisson") == frozenset()
    assert B2U(ramp_start=None).told("gauss") == {Need.RANGED}
    assert B2U(ramp_start=None, visible=False).told("gauss") == frozenset()


# --- diagnosis ---


def curve(blind: float, seen: float, gap: float) -> list[Point]:
    """Well until 90 %, then as given."""
    well = {"blind": 0.012, "seen": 0.009, "gap": 0.001, "lambda": 2.0}
    late = {"blind": blind, "seen": seen, "gap": gap, "lambda": 20.0}
    return [{"progress": i / 20, "loss": 0.1, **(late if i >= 18 else well)} for i in range(1, 21)]


def test_a_healthy_curve_gives_no_warning() -> None:
    assert B2U().diagnose(curve(0.012, 0.009, 0.001)) == []
    assert B2U().diagnose([]) == []


def test_a_visible_output_that_copies_its_input_is_an_identity_collapse() -> None:
    (problem,) = B2U().diagnose(curve(0.012, 0.0004, 0.011))
    assert "identity collapse" in problem
    assert "output=dn" in problem


@pytest.mark.parametrize(("seen", "gap"), [(0.03, 0.001), (0.012, 0.02)])
def test_parted_outputs_are_reported(seen: float, gap: float) -> None:
    (problem,) = B2U().diagnose(curve(0.012, seen, gap))
    assert "parted" in problem


def test_trouble_that_was_over_before_the_end_is_not_reported() -> None:
    points = [{**point, "seen": 9.0} if point["progress"] < 0.9 else point for point in curve(0.012, 0.009, 0.001)]
    assert B2U().diagnose(points) == []


def test_a_training_without_the_visible_term_is_not_diagnosed() -> None:
    assert B2U(visible=False).diagnose(curve(0.012, 0.0, 0.012)) == []


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": "3"}, "allowed values are 2, 4, 8"),
        ({"ramp_start": "1"}, "ramp_start=1"),
        ({"ramp_start": "-0.1"}, "ramp_start=-0.1"),
        ({"ramp_end": "0"}, "ramp_end=0"),
        ({"ramp_end": "1.1"}, "ramp_end=1.1"),
        ({"masks": "0"}, "masks=0.*1 to 16"),
        ({"masks": "5", "stride": "2"}, "masks=5.*1 to 4"),
        ({"eta": "-1"}, "must not be negative"),
        ({"lambda_s": "-1"}, "must not be negative"),
        ({"lambda_f": "nan"}, "a finite number"),
        ({"revisible": "C"}, "allowed values are A, B"),
        ({"mapper": "globl"}, "global, random"),
        ({"visible": "maybe"}, "true and false"),
        ({"output": "best"}, "exp, dn, mid"),
        ({"strid": "2"}, "Did you mean 'stride'"),
    ],
)
def test_a_bad_setting_is_a_user_error(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        B2U.from_settings(settings)


def test_a_negative_blend_is_a_user_error() -> None:
    with pytest.raises(UserError):
        B2U.from_settings({"output": "mid", "blend": "-1"})


def test_settings_are_read_from_texts() -> None:
    method = B2U.from_settings({"stride": "8", "ramp_start": "none", "visible": "no", "blend": "19.4"})
    assert method == B2U(stride=8, ramp_start=None, visible=False, blend=19.4)
    assert method.text == "b2u[stride=8,ramp_start=none,visible=false,blend=19.4]"


def test_outputs_share_one_training() -> None:
    assert B2U(output="mid", blend=5.0).settings(training_only=True) == B2U().settings(training_only=True)
    assert B2U(stride=8).settings(training_only=True) != B2U().settings(training_only=True)
