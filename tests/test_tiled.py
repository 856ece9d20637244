"""Tiles: as much around them as an output can see, no seam, the same for every learned method, and recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.core.errors import ContractError, UserError
from denoisebench.evaluation import evaluate as evaluation
from denoisebench.experiment.options import parse_tile
from denoisebench.networks import NETWORKS, build_network
from denoisebench.networks.blindspot import BlindSpotUNet
from denoisebench.networks.dbsn import DilatedBlindSpot
from denoisebench.networks.dncnn import DnCNN
from denoisebench.networks.tiled import Tiled, in_tiles, is_tileable, windows
from denoisebench.networks.unet import UNet
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Info, LearnedMethod
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.noise import Draw, parse_noise

LEARNED = [name for name in METHODS.names() if issubclass(METHODS.get(name), LearnedMethod)]
# A receptive field does not depend on the number of channels: narrow networks, long thin images.
NARROW: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "unet": (lambda: UNet(1, 1, 2), 384, 32),
    "unet, blurred": (lambda: UNet(1, 1, 2, pooling="blur", top_skip=False), 512, 32),
    "unet, transposed": (lambda: UNet(1, 1, 2, upsampling="transposed"), 384, 32),
    "blindspot": (lambda: BlindSpotUNet(1, 1, 2), 736, 32),
    "dncnn": (lambda: DnCNN(1, 2, 2), 128, 8),
    "dbsn": (lambda: DilatedBlindSpot(1, 1, 2), 192, 8),
}


def farthest(network: Any, height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How far from an output pixel an input with an influence lies, over positions in the grid of 32."""
    # A maximum depends on every pixel of its block; its gradient shows only one.
    monkeypatch.setattr(F, "max_pool2d", F.avg_pool2d)
    network.plain = True
    for parameter in network.parameters():
        # Positive weights: nothing cancels, no unit is off.
        parameter.data = parameter.data.abs() + 0.01
        parameter.requires_grad_(False)
    x = torch.rand((1, 1, height, width), dtype=torch.float64, requires_grad=True)
    y, found = network.double()(x), 0
    for offset in (0, 8, 15, 16, 23, 31):
        place = height // 64 * 32 + offset
        (gradient,) = torch.autograd.grad(y[0, 0, place, width // 2], x, retain_graph=True)
        rows = gradient[0, 0].any(1).nonzero().flatten()
        found = max(found, place - int(rows[0]), int(rows[-1]) - place)
    return found


@pytest.mark.parametrize("name", NARROW)
def test_the_declared_reach_is_that_of_the_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, height, width = NARROW[name]
    network: Any = make()
    found = farthest(network, height, width, monkeypatch)
    assert found < height // 2 - 32, "the test image is too small to tell"
    assert network.reach - 32 < found <= network.reach


def test_every_network_by_name_declares_its_reach() -> None:
    assert [name for name in NETWORKS if not is_tileable(build_network(name, 1, 1))] == []


def test_tiles_cover_an_image_once() -> None:
    seen = np.zeros((70, 96), int)
    for rows, columns in windows(70, 96, 32):
        seen[rows, columns] += 1
    assert (seen == 1).all()


def one_image(
    method: LearnedMethod, network: nn.Module, tile: int | None, side: tuple[int, int]
) -> evaluation.Denoised:
    rng = np.random.default_rng(3)
    draw = Draw(rng.random((*side, 1), dtype=np.float32), 25 / 255)
    route = evaluation.Route(method, network, parse_noise("gauss25"), tile=tile)
    return evaluation.denoise(route, draw, evaluation.Place("seams", "", 0))


SETTINGS = {
    "b2u": ["b2u[output=mid,stride=4]", "b2u[output=dn]", "b2u"],
    "noise2self": ["noise2self[output=invariant]"],
    "r2r": ["r2r[passes=2]"],
    "noisier2noise": ["noisier2noise[passes=2]"],
    "laine19_pme": ["laine19_pme[level=image]", "laine19_pme"],
    "pn2v": ["pn2v[samples=4]"],
}
CASES = [text for name in LEARNED for text in SETTINGS.get(name, [name])]


def narrow(name: str, given: int, made: int) -> nn.Module:
    """The network of a method with few channels: the seams are where they are, the time is not."""
    if name == "dbsn":
        return DilatedBlindSpot(given, made, 4, blocks=8)
    return BlindSpotUNet(given, made, 2) if name == "blindspot" else UNet(given, made, 2, init="he")


@pytest.mark.parametrize("text", CASES)
def test_tiles_leave_no_seam(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LEARNED:
        module = __import__(METHODS.get(name).__module__, fromlist=["x"])
        if hasattr(module, "build_network"):
            monkeypatch.setattr(module, "build_network", narrow)
    monkeypatch.setattr("denoisebench.networks.build_network", narrow)
    method = parse_method(text)
    assert isinstance(method, LearnedMethod)
    torch.manual_seed(0)
    network = method.build(1).eval()
    # Sides that padding has to complete, and more than a halo, so that tiles do not see the whole image.
    size, side = ((40, 780), 224) if "laine" in text else ((70, 430), 32) if text == "n2c" else ((40, 430), 128)
    whole, tiled = (one_image(method, network, tile, size) for tile in (0, side))
    assert (whole.tile, tiled.tile) == (0, side)
    assert tiled.image.shape == whole.image.shape == (*size, 1)
    np.testing.assert_allclose(tiled.image, whole.image, atol=1e-5, rtol=0)


def test_a_halo_that_is_too_small_shows() -> None:
    torch.manual_seed(0)
    network, x = UNet(1, 1, 4, init="he"), torch.rand(1, 1, 32, 512)
    with torch.inference_mode():
        whole, tiled = network(x), in_tiles(network, 32)
        assert (tiled(x) - whole).abs().max() < 1e-5
        assert isinstance(tiled, Tiled)
        tiled.halo = 32
        assert (tiled(x) - whole).abs().max() > 1e-5


class Hungry(nn.Module):
    """Has memory for so many pixels, and says how many it was given."""

    reach = 3

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.given: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.given.append(x.shape[2] * x.shape[3])
        if self.given[-1] > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return x


class Plain(LearnedMethod):
    name = "plain"
    info = Info(label="Plain")


def test_without_memory_smaller_and_smaller_tiles_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "TILES", (128, 64))
    result = one_image(Plain(), Hungry(150 * 150), None, (200, 160))
    assert result.tile == 64
    assert result.image.shape == (200, 160, 1)
    assert one_image(Plain(), Hungry(10**6), None, (200, 160)).tile == 0
    for tile in (None, 0, 96):
        with pytest.raises(ContractError, match=r"160x200 pixels does not fit into the memory of cpu .*--tile"):
            one_image(Plain(), Hungry(9), tile, (200, 160))


def test_large_images_are_tiled_from_the_start_and_small_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "TILES", (128,))
    monkeypatch.setattr(evaluation, "WHOLE", 160 * 160)
    network = Hungry(10**6)
    assert one_image(Plain(), network, None, (200, 160)).tile == 128
    assert max(network.given) <= (128 + 32) ** 2
    assert one_image(Plain(), network, None, (160, 160)).tile == 0
    assert one_image(Plain(), network, 0, (200, 160)).tile == 0
    assert one_image(Plain(), network, 256, (200, 160)).tile == 0


def test_a_network_that_declares_nothing_is_never_tiled_and_other_errors_pass() -> None:
    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[2] > 100:
                raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
            return x

    assert one_image(Plain(), Silent(), 32, (80, 80)).tile == 0
    with pytest.raises(RuntimeError, match="mat1"):
        one_image(Plain(), Silent(), 32, (200, 80))


@pytest.mark.parametrize(("text", "expected"), [("auto", None), ("none", 0), ("256", 256)])
def test_tiles_on_the_command_line(text: str, expected: int | None) -> None:
    assert parse_tile(text) == expected


@pytest.mark.parametrize("text", ["", "0", "31", "100", "-32", "32.0", "²56", "many"])
def test_other_tiles_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="multiples of 32"):
        parse_tile(text)


def test_the_table_and_the_rows_say_what_was_tiled(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    pictures = image_folder("wide", count=1, size=(96, 64))
    out = tmp_path / "o"
    call = ("run", "--methods", "n2c", "--datasets", pictures, "--train-data", pictures, "--budget", "1steps")
    ran = command(*call, "--crop", 32, "--tile", "64", "--out", out)
    assert ran.code == 0, ran.err
    assert "n2c: 1 large images were denoised in tiles of 64 pixels." in (out / "table.md").read_text(encoding="utf-8")
    assert sum('"tile": 64' in path.read_text(encoding="utf-8") for path in (out / "cells").glob("*.json")) == 1


def test_an_audit_denoises_in_the_tiles_of_the_run(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out, pictures = tmp_path / "out", image_folder(count=1, size=(100, 90))
    training = ("--methods", "n2c", "--budget", "1step", "--crop", 32, "--batch", 1)
    ran = command("run", *training, "--datasets", pictures, "--tile", 64, "--out", out)
    assert ran.code == 0, ran.err
    ran = command("audit", out, "--detail", "SSIM window", "--datasets", pictures)
    assert ran.code == 0, ran.err
    audited = [path.read_text(encoding="utf-8") for path in (out / "audit" / "cells").glob("*.json")]
    assert audited
    assert all('"tile": 64' in text for text in audited)
