"""Noise2Fast: its pairs, its loss, when it stops, and what it does to a photograph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.evaluation.fit import FitRecipe, fit
from denoisebench.methods.noise2fast import Noise2Fast, normalised, pairs
from denoisebench.networks.noise2fast import FastNet
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import NoiseInfo
from denoisebench.toolbox.averaging import mean_of
from denoisebench.training.recipe import Budget

KNOWN = NoiseInfo("noise2fast", frozenset(), {})


def test_halves_are_the_two_colours_of_a_checkerboard_moved_left_or_up() -> None:
    image = torch.rand(1, 2, 6, 8)
    (left, left_targets), (up, up_targets) = pairs(image)
    assert left.shape == (2, 2, 6, 4)
    assert up.shape == (2, 2, 3, 8)
    for colour in (0, 1):
        for row in range(6):
            expected = [image[0, :, row, column] for column in range(8) if (row + column) % 2 == colour]
            assert torch.equal(left[colour, :, row], torch.stack(expected, 1))
        for column in range(8):
            expected = [image[0, :, row, column] for row in range(6) if (row + column) % 2 == colour]
            assert torch.equal(up[colour, :, :, column], torch.stack(expected, 1))
    assert torch.equal(left_targets, left.flip(0))
    assert torch.equal(up_targets, up.flip(0))


def test_a_pair_has_independent_noise() -> None:
    noise = torch.randn(1, 1, 400, 400, generator=torch.Generator().manual_seed(0))
    for sources, targets in pairs(noise):
        assert abs(float((sources * targets).mean())) < 0.01


def test_every_pair_is_drawn_and_its_cross_entropy_is_the_loss() -> None:
    method, noisy = Noise2Fast(), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    scaled, low, span = normalised(noisy)
    assert (scaled.amin(), scaled.amax()) == (0, 1)
    torch.testing.assert_close(low + span * scaled, noisy)
    torch.manual_seed(0)
    network = method.build(noisy)
    expected = set()
    for sources, targets in pairs(scaled):
        for s, t in zip(sources, targets, strict=True):
            f = torch.sigmoid(network(s[None]))
            expected.add(round(-(t * f.log() + (1 - t) * (1 - f).log()).mean().item(), 5))
    found = {round(method.loss(network, noisy, KNOWN, 0.5).item(), 5) for _ in range(60)}
    assert len(expected) == 4
    assert found == expected


def test_it_stops_after_as_many_steps_without_a_better_validation() -> None:
    method, scaled = Noise2Fast(patience=3), torch.rand(1, 1, 8, 8)
    network = method.build(scaled)
    method.validate(network, scaled)
    ended = []
    for _ in range(3):  # an unchanged network is never better
        ended.append(method.finished(network))
        method.validate(network, scaled)
    assert ended == [False, False, False]
    assert method.finished(network)
    with torch.no_grad():
        network.get_buffer("least").fill_(1e6)
    method.validate(network, scaled)
    assert not method.finished(network)
    torch.testing.assert_close(mean_of(network), torch.sigmoid(network(scaled)))


def test_the_result_has_the_scale_of_the_image() -> None:
    method, noisy = Noise2Fast(), 0.3 + 0.4 * torch.rand(1, 1, 8, 8)
    network = method.build(noisy)
    method.validate(network, normalised(noisy)[0])
    result = method.denoise(network, noisy, KNOWN)
    torch.testing.assert_close(result, noisy.min() + (noisy.max() - noisy.min()) * mean_of(network))


def test_a_fit_ends_with_it_before_the_budget() -> None:
    noisy = np.random.default_rng(0).random((16, 16, 1), dtype=np.float32)
    _, steps = fit(Noise2Fast(patience=5), noisy, KNOWN, FitRecipe(Budget(2000, "steps")), ("test",))
    assert 5 < steps < 2000
    _, steps = fit(Noise2Fast(patience=5), noisy, KNOWN, FitRecipe(Budget(4, "steps")), ("test",))
    assert steps == 4


@pytest.mark.parametrize(("channels", "count"), [(1, 259_201), (3, 260_483)])
def test_parameter_counts(channels: int, count: int) -> None:
    sizes = [channels * 9 * 64 + 64, 7 * (64 * 9 * 64 + 64), 64 * channels + channels]
    assert sum(sizes) == count == sum(p.numel() for p in FastNet(channels).parameters())


def test_the_fast_layers_are_the_plain_ones() -> None:
    torch.manual_seed(0)
    network, image = FastNet(3).double(), torch.rand(1, 3, 40, 32, dtype=torch.float64)
    quick = network(image)
    network.plain = True
    torch.testing.assert_close(quick, network(image))


@pytest.mark.slow
def test_a_photograph_gets_better(fitted_gain: Callable[[str, int], float]) -> None:
    assert fitted_gain("noise2fast", 200) > 4


@pytest.mark.parametrize("text", ["noise2fast[lr=2]", "noise2fast[patience=0]"])
def test_settings_are_checked(text: str) -> None:
    with pytest.raises(UserError, match="lr must lie between 0 and 1, and patience"):
        parse_method(text)
