"""N2V2: what stands for hidden pixels, what is scored, and the changes of the network."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import generic_filter

from denoisebench.core.errors import UserError
from denoisebench.methods.n2v2 import N2V2
from denoisebench.networks import build_network, fast
from denoisebench.networks.unet import UNet, blur_pool
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Batch, NoiseInfo
from denoisebench.toolbox.hidden import box_of, stratified, window


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def batch_of(noisy: torch.Tensor, seed: int = 0) -> Batch:
    known = NoiseInfo("n2v2", frozenset(), {})
    return Batch(noisy, known, torch.Generator().manual_seed(seed), "n2v2", frozenset(), {})


@pytest.mark.parametrize(("fill", "function"), [("median", np.median), ("mean", np.mean)])
def test_a_hidden_pixel_takes_the_median_or_mean_of_its_window_without_itself(fill: Any, function: Any) -> None:
    noisy, radius = image(1, 1, 9, 11), 2
    index = torch.arange(9 * 11)[None, None]
    found = N2V2(fill=fill, radius=radius).filled(noisy, index).view(9, 11)
    side = 2 * radius + 1
    footprint = np.ones((side, side))
    footprint[radius, radius] = 0
    expected = generic_filter(noisy[0, 0].numpy(), function, footprint=footprint, mode="constant")
    # Inside the image the window is whole, and 24 values have two in the middle.
    inner = (slice(radius, -radius), slice(radius, -radius))
    if fill == "mean":
        np.testing.assert_allclose(found.numpy()[inner], expected[inner])
    else:
        lower = generic_filter(noisy[0, 0].numpy(), lambda v: np.sort(v)[11], footprint=footprint, mode="constant")
        np.testing.assert_array_equal(found.numpy()[inner], lower[inner])
    corner = noisy[0, 0, :3, :3].flatten()[1:]
    assert found[0, 0].item() == pytest.approx(float(corner.mean() if fill == "mean" else corner.sort().values[3]))


def test_the_pixel_itself_changes_nothing_that_is_put_in_its_place() -> None:
    noisy = image(1, 1, 16, 16)
    index = torch.tensor([[[5 * 16 + 7]]])
    other = noisy.clone()
    other[0, 0, 5, 7] = 9.0
    for fill in ("median", "mean"):
        method = N2V2.from_settings({"fill": fill})
        assert torch.equal(method.filled(noisy, index), method.filled(other, index))


def test_only_hidden_pixels_are_changed_and_scored() -> None:
    class Spy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.shown = x
            return 0.7 * x

    method, noisy, network = N2V2(), image(2, 3, 32, 32), Spy()
    loss, _ = method.loss(network, batch_of(noisy, 3), 0.5)
    index, inside = stratified(noisy, (8, 8), torch.Generator().manual_seed(3))
    assert inside.all()
    hidden = torch.zeros_like(noisy).flatten(2).scatter(2, index, 1.0).view_as(noisy).bool()
    assert torch.equal(network.shown != noisy, hidden)
    assert loss.item() == pytest.approx((0.7 * network.shown - noisy)[hidden].square().mean().item())


def test_a_window_ends_at_the_edge() -> None:
    around, exists = window(torch.tensor([[[0, 3 * 8 + 4]]]), (1, 1, 6, 8), 1)
    assert around[0, 0, 0][exists[0, 0, 0]].tolist() == [0, 1, 8, 9]
    assert around[0, 0, 1].tolist() == [19, 20, 21, 27, 28, 29, 35, 36, 37]
    assert exists[0, 0, 1].all()


def test_the_mask_is_that_of_n2v() -> None:
    assert (box_of(1.5), box_of(0.198), box_of(100)) == (8, 22, 1)
    noisy = torch.zeros(2, 3, 40, 32)
    n2v: Any = parse_method("n2v")
    hers, _ = n2v.hidden(noisy, torch.Generator().manual_seed(7))
    ours, _ = stratified(noisy, (8, 8), torch.Generator().manual_seed(7))
    assert torch.equal(hers, ours)


# --- the network ---


def test_pooling_is_a_maximum_then_a_binomial_blur_at_every_second_pixel() -> None:
    x = image(1, 2, 8, 12)
    padded = F.pad(x, (1, 2, 1, 2), mode="replicate")
    highest = torch.stack([padded[..., a : a + 10, b : b + 14] for a in (0, 1) for b in (0, 1)]).amax(0)
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    for row in range(4):
        for column in range(6):
            part = highest[..., 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected = (part * taps[:, None] * taps).sum((-2, -1))
            torch.testing.assert_close(blur_pool(x)[..., row, column], expected)


def test_pooling_follows_an_edge_that_moves_more_evenly_than_a_maximum() -> None:
    edges = [(torch.arange(16) > place).double().expand(1, 1, 16, 16) for place in (7, 8, 9)]

    def largest_change(pool: Callable[[torch.Tensor], torch.Tensor]) -> float:
        pooled = [pool(edge) for edge in edges]
        return max(float((a - b).abs().max()) for a, b in itertools.pairwise(pooled))

    assert largest_change(lambda x: F.max_pool2d(x, 2)) == 1
    assert largest_change(blur_pool) == 0.5


def test_no_skip_leads_from_the_input_to_the_last_level() -> None:
    network = build_network("unet_n2v2", 3, 3)
    assert isinstance(network, UNet)
    plain = build_network("unet", 3, 3)
    assert isinstance(plain, UNet)
    assert [fast.weights(one.decoder_a[-1])[0].shape[1] for one in (network, plain)] == [96, 99]
    shapes = {name: p.shape for name, p in network.named_parameters() if name != "decoder_a.4.weight"}
    assert shapes == {name: p.shape for name, p in plain.named_parameters() if name != "decoder_a.4.weight"}


@pytest.mark.parametrize("settings", [{"perc": "0"}, {"perc": "101"}, {"radius": "0"}, {"fill": "none"}])
def test_a_bad_setting_is_a_user_error(settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="n2v2"):
        N2V2.from_settings(settings)
