"""Photographs on which a training is measured: a mean that JSON can hold, whatever the network returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from denoisebench.core.progress import Quiet
from denoisebench.plugins.method import LearnedMethod
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.images import UIntImage
from denoisebench.protocol.noise import parse_noise
from denoisebench.training.heldout import SIDE, HeldOut
from denoisebench.training.job import TrainingJob
from denoisebench.training.recipe import Recipe, parse_budget
from denoisebench.training.train import train


def test_pieces_that_equal_their_reference_are_in_no_mean() -> None:
    pieces = [np.full((16, 16, 1), value, np.uint8) for value in (10, 20)]
    held = HeldOut({}, pieces)
    exact = np.stack(pieces) / np.float32(255)
    assert held._psnr(exact) is None
    off = exact.copy()
    off[1] += np.float32(1 / 255)
    assert held._psnr(off) == 48.1308, "the mean square error is 1"


class Photographs:
    """Two images of which every pixel says where it is."""

    name, data_hash, images = "photographs", "abc", ("a", "b")

    def verify(self) -> None:
        pass

    def load(self, image: str) -> UIntImage:
        rows, columns = np.mgrid[:150, :190]
        value = rows if image == "a" else columns
        return np.repeat(value[:, :, None].astype(np.uint8), 3, axis=2)


def test_pieces_are_the_middle_of_the_photographs() -> None:
    held = HeldOut.of(Photographs(), 3)  # type: ignore[arg-type]
    assert held.described == {"name": "photographs", "sha256": "abc"}
    rows, columns = held.pieces
    assert rows.shape == columns.shape == (SIDE, SIDE, 3)
    assert (rows[0, 0, 0], rows[-1, 0, 0]) == (11, 138)
    assert (columns[0, 0, 0], columns[0, -1, 0]) == (31, 158)


def test_every_piece_has_noise_of_its_own_that_is_always_the_same() -> None:
    held = HeldOut({}, [np.full((32, 32, 1), 100, np.uint8)] * 2)
    noise = parse_noise("gauss25")
    first, second = (held._noisy(number, noise)[0] for number in range(2))
    assert np.array_equal(first, held._noisy(0, noise)[0])
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2
    assert held._noisy(0, parse_noise("gauss5_50"))[1] != held._noisy(1, parse_noise("gauss5_50"))[1]


def small_method() -> LearnedMethod:
    plugin: Any = METHODS.get("n2c")

    class Small(plugin):  # type: ignore[misc]
        def build(self, channels: int) -> nn.Module:
            return nn.Conv2d(channels, channels, 3, padding=1)

    made: LearnedMethod = Small()
    return made


def test_what_is_measured_is_the_network_that_is_kept(tmp_path: Path) -> None:
    """The average of the weights, while they go on from where they were."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 1), np.uint8) for _ in range(2)]
    recipe = Recipe(parse_budget("4steps"), batch=2, crop=64, average=0.9)
    job = TrainingJob(small_method(), parse_noise("gauss25"), recipe, 1, {"name": "photos"}, {"code": "abc"}, "cpu")
    held = HeldOut({}, [rng.integers(0, 256, (64, 64, 1), np.uint8)])
    measured = train(job, images, tmp_path / "measured", "cpu", Quiet(), heldout=held)
    points = measured.record["heldout"]["points"]
    assert points[-1]["step"] == 4
    assert points[-1]["psnr"] == held.scores(job, measured.network, "cpu")["psnr"]
    plain = train(job, images, tmp_path / "plain", "cpu", Quiet())
    for ours, theirs in zip(measured.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(ours, theirs), "measuring changes nothing"
