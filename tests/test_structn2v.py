"""StructN2V: what is hidden around a scored pixel, by what, and noise along rows that N2V keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from denoisebench.core.errors import UserError
from denoisebench.methods.structn2v import StructN2V
from denoisebench.networks.unet import UNet
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.plugins.method import Batch, NoiseInfo


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def batch_of(noisy: torch.Tensor, generator: torch.Generator) -> Batch:
    return Batch(noisy, NoiseInfo("structn2v", frozenset(), {}), generator, "structn2v", frozenset(), {})


def shown_by(method: StructN2V, noisy: torch.Tensor, points: list[tuple[int, int]], seed: int = 0) -> torch.Tensor:
    """What the network sees if these pixels are scored."""
    height, width = noisy.shape[-2:]
    index = torch.tensor([y * width + x for y, x in points]).expand(*noisy.shape[:2], -1)
    offsets = method.offsets(height, width)
    generator = torch.Generator().manual_seed(seed)
    return method.hide(noisy, index, torch.ones_like(index, dtype=torch.bool), offsets, generator)


@pytest.mark.parametrize(
    ("mask", "rows", "columns"),
    [
        ("1x9", [20], list(range(11, 20))),
        ("5x1", [18, 19, 20, 21, 22], [15]),
        ("3x3", [19, 20, 21], [14, 15, 16]),
        ("row", [20], list(range(32))),
        ("column", list(range(32)), [15]),
    ],
)
def test_the_mask_around_a_scored_pixel_is_hidden_and_nothing_else(
    mask: str, rows: list[int], columns: list[int]
) -> None:
    noisy = image(1, 2, 32, 32)
    changed = shown_by(StructN2V(mask=mask), noisy, [(20, 15)]) != noisy
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[torch.tensor(rows)[:, None], torch.tensor(columns)] = True
    assert (changed == expected).all()


def test_shapes_are_joined() -> None:
    offsets = StructN2V(mask="1x5+3x1").offsets(32, 32).tolist()
    assert sorted(map(tuple, offsets)) == [(-1, 0), (0, -2), (0, -1), (0, 0), (0, 1), (0, 2), (1, 0)]


@pytest.mark.parametrize("mask", ["1x9", "row", "3x5", "31x31"])
@pytest.mark.parametrize("point", [(0, 0), (31, 31), (0, 17), (16, 15)])
def test_what_is_put_in_is_found_beyond_the_mask_and_near_it(mask: str, point: tuple[int, int]) -> None:
    # Values that tell where they are from.
    noisy = torch.arange(32.0 * 32).view(1, 1, 32, 32)
    method = StructN2V(mask=mask, radius=2)
    offsets = method.offsets(32, 32)
    own = {(point[0] + dy, point[1] + dx) for dy, dx in offsets.tolist()}
    reach = [min(int(r), 31) + 2 for r in offsets.abs().amax(0)]
    for seed in range(5):
        shown = shown_by(method, noisy, [point], seed)
        taken = shown[shown != noisy].long().tolist()
        assert len(taken) == len({(y, x) for y, x in own if 0 <= y < 32 and 0 <= x < 32})
        for value in taken:
            place = divmod(value, 32)
            assert place not in own
            assert all(abs(a - b) <= r for a, b, r in zip(place, point, reach, strict=True))


def test_changing_the_noise_under_the_mask_does_not_change_what_is_shown() -> None:
    noisy, other = image(1, 1, 32, 32), image(1, 1, 32, 32)
    other[0, 0, 20, 11:20] = 7.0
    first, second = (shown_by(StructN2V(), one, [(20, 15)]) for one in (noisy, other))
    assert torch.equal(first, second)


@pytest.mark.parametrize("mask", ["1x9", "9x9", "row", "column", "row+column", "31x31"])
def test_at_most_a_quarter_is_hidden(mask: str) -> None:
    method, noisy = StructN2V(mask=mask), image(8, 1, 64, 64)
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

    for seed in range(4):
        method.loss(Spy(), batch_of(noisy, torch.Generator().manual_seed(seed)), 0.5)
    share = (torch.stack(seen) != noisy).double().mean()
    assert 0.02 < share <= 0.25


def test_only_the_pixel_in_the_middle_is_scored() -> None:
    class Ones(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(x)

    method, noisy = StructN2V(mask="1x9"), image(2, 1, 36, 36)
    loss, _ = method.loss(Ones(), batch_of(noisy, torch.Generator().manual_seed(2)), 0.5)
    from denoisebench.toolbox.hidden import stratified

    index, inside = stratified(noisy, (8, 9), torch.Generator().manual_seed(2))
    scored = noisy.flatten(2).gather(2, index)[inside]
    assert loss.item() == pytest.approx((1 - scored).square().mean().item())


def test_where_masks_overlap_the_result_does_not_depend_on_their_order() -> None:
    noisy = image(1, 1, 32, 32)
    hidden = shown_by(StructN2V(), noisy, [(20, 15), (20, 18)]) != noisy
    assert hidden[0, 0, 20, 11:23].all()
    assert hidden.sum() == 12


@pytest.mark.parametrize("mask", ["", "9", "1x8", "0x3", "1x33", "row+", "3x3x3", "rows"])
def test_a_bad_mask_is_a_user_error(mask: str) -> None:
    with pytest.raises(UserError, match=r"structn2v.mask=.*allowed are row, column"):
        StructN2V(mask=mask)


def test_masks_can_be_written_in_brackets() -> None:
    for text in ("structn2v[mask=row+column]", "structn2v[mask=1x5+5x1]"):
        assert parse_method(text).text == text


# --- what it is for ---


def trained(method: Any, noisy: torch.Tensor, steps: int) -> torch.Tensor:
    """Output of a narrow U-Net after a short training on crops of one image."""
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        network = UNet(1, 1, 8, init="he")
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        generator = torch.Generator().manual_seed(1)
        for step in range(steps):
            corners = torch.randint(0, noisy.shape[-1] - 63, (2, 2), generator=generator).tolist()
            crops = torch.stack([noisy[0, :, y : y + 64, x : x + 64] for y, x in corners])
            loss, _ = method.loss(network, batch_of(crops, generator), step / steps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            return network(noisy)


@pytest.mark.slow
def test_noise_along_rows_that_n2v_keeps_is_removed() -> None:
    photograph = find_dataset("samples", ()).load("astronaut")[:192, :192].mean(2) / 255
    clean = torch.from_numpy(photograph).float()[None, None]
    white = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    smooth = F.conv2d(F.pad(white, (2, 2, 0, 0), mode="circular"), torch.full((1, 1, 1, 5), 5**-0.5))
    noise = 25 / 255 * smooth
    kept, error = {}, {}
    for text in ("n2v", "structn2v[mask=1x9]"):
        difference = trained(parse_method(text), clean + noise, 200) - clean
        kept[text] = float((difference * noise).mean() / noise.square().mean())
        error[text] = float(difference.square().mean())
    # The share of the noise that is left in the output: most of it, or next to nothing.
    assert kept["n2v"] > 0.5
    assert kept["structn2v[mask=1x9]"] < 0.25
    assert error["structn2v[mask=1x9]"] < error["n2v"]
