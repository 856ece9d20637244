"""``denoisebench rank``: estimates of the error without a clean image, against the error with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from skimage.data import astronaut

from denoisebench.core.errors import UserError
from denoisebench.own.denoise import Request
from denoisebench.own.rank import Estimate, difference, from_captures, from_heldout, from_sure, rank_file
from denoisebench.own.stack import Stack
from denoisebench.plugins.lookup import parse_method, parse_methods
from denoisebench.protocol.images import FloatImage
from denoisebench.training.weights import Shelf

CLEAN: FloatImage = (np.asarray(astronaut(), np.float32) / np.float32(255))[:, :, 1:2]
SIGMA = 0.08
VARIANCE = np.full_like(CLEAN, SIGMA**2, dtype=np.float32)
WIDTHS = (0.0, 0.4, 0.7, 1.0, 1.6, 3.0)


def noisy(seed: int) -> FloatImage:
    noise = np.random.default_rng(seed).standard_normal(CLEAN.shape)
    return (CLEAN + SIGMA * noise).astype(np.float32)


def blur(width: float) -> Callable[[FloatImage], FloatImage]:
    return lambda image: gaussian_filter(image, (width, width, 0)) if width else image


def true_mse(width: float) -> float:
    return float(np.mean(np.square(blur(width)(noisy(0)) - CLEAN)))


@pytest.mark.parametrize("kind", ["captures", "sure"])
def test_the_error_is_estimated_without_bias(kind: str) -> None:
    rng = np.random.default_rng(5)
    for width in WIDTHS:
        if kind == "captures":
            found = from_captures(blur(width), [noisy(0), noisy(1)])
        else:
            found = from_sure(blur(width), noisy(0), VARIANCE, rng)
        # Chance of the noise in a whole image, not of a block: 512^2 pixels of variance 2 sigma^4.
        assert abs(found.mse - true_mse(width)) < max(4 * found.error, 6 * SIGMA**2 / 512)
        low, high = found.interval
        assert low <= found.psnr <= high


@pytest.mark.parametrize("kind", ["captures", "sure", "heldout"])
def test_the_order_is_that_of_the_true_error(kind: str) -> None:
    rng = np.random.default_rng(5)
    found = []
    for width in WIDTHS[1:]:
        if kind == "captures":
            found.append(from_captures(blur(width), [noisy(0), noisy(1)]).mse)
        elif kind == "sure":
            found.append(from_sure(blur(width), noisy(0), VARIANCE, rng).mse)
        else:
            found.append(from_heldout(blur(width), noisy(0), VARIANCE, rng).mse)
    truth = [true_mse(width) for width in WIDTHS[1:]]
    assert spearmanr(truth, found).statistic > (0.85 if kind != "heldout" else 0.5)
    if kind != "heldout":
        assert int(np.argmin(found)) == int(np.argmin(truth))


def test_noise_that_grows_with_the_signal() -> None:
    rng, gain = np.random.default_rng(5), 0.03
    counts = (gain * rng.poisson(CLEAN / gain)).astype(np.float32)
    for width in (0.7, 1.0, 1.6):
        found = from_sure(blur(width), counts, np.maximum(np.float32(gain) * counts, 0), rng)
        truth = float(np.mean(np.square(blur(width)(counts) - CLEAN)))
        assert abs(found.mse - truth) < max(4 * found.error, 0.03 * truth)


def test_differences_are_paired() -> None:
    base = np.random.default_rng(0).random(50)
    first, second = (Estimate(float(blocks.mean()), 0.1, blocks, 0.0) for blocks in (base, base - 0.01))
    gap, error = difference(first, second)
    assert gap == pytest.approx(0.01)
    assert error < 1e-9


def stack_of(data: np.ndarray, axes: str) -> Stack:
    return Stack(Path("a.npy"), data, axes, lambda path, result: None, ".npy")


def request() -> Request:
    return Request(method=parse_method("nlm"), out=Path(), shelf=Shelf([]), range="0..1", sigma=SIGMA)


def test_methods_on_a_file_are_ranked_and_what_cannot_be_trusted_is_refused() -> None:
    methods = parse_methods("nlm[strength=0.05],nlm,identity,n2v", None)
    data = noisy(0)[128:320, 128:320, 0]
    told = rank_file(stack_of(data, "YX"), methods, request(), None, "auto", 192)
    assert told.by == "sure"
    assert told.methods[0].text == "nlm"
    estimate = told.methods[0].estimate
    assert estimate is not None
    assert told.verdict.startswith("Take nlm: it is best here")
    (failed,) = [one for one in told.methods if one.estimate is None]
    assert failed.text == "n2v"
    assert "no trained network" in failed.problem
    captures = np.stack([noisy(seed)[128:320, 128:320, 0] for seed in range(3)])
    by_captures = rank_file(stack_of(captures, "TYX"), methods, request(), "T", "auto", 192)
    assert by_captures.by == "captures"
    other = by_captures.methods[0].estimate
    assert other is not None
    assert other.psnr == pytest.approx(estimate.psnr, abs=0.7)
    tied = gaussian_filter(np.random.default_rng(0).standard_normal(data.shape), 0.7)
    with pytest.raises(UserError, match=r"not independent.*--captures"):
        rank_file(stack_of(CLEAN[128:320, 128:320, 0] + 0.3 * tied, "YX"), methods, request(), None, "auto", 192)
    with pytest.raises(UserError, match="none is named Q"):
        rank_file(stack_of(data, "YX"), methods, request(), "Q", "auto", 192)
    with pytest.raises(UserError, match="--by captures needs --captures"):
        rank_file(stack_of(data, "YX"), methods, request(), None, "captures", 192)


def test_the_command(command: Callable[..., Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noisy(0)[128:256, 128:256, 0])
    np.save(tmp_path / "c.npy", np.full((99, 99), 3.0))
    done = command("rank", tmp_path / "a.npy", tmp_path / "c.npy", "--methods", "nlm", "--range", "0..1")
    assert done.code == 1, done.err
    assert "| nlm" in done.out
    assert "| noisy input" in done.out
    assert "Take nlm" in done.out
    assert "c.npy" in done.err
    wrong = command("rank", tmp_path / "a.npy", "--methods", "blur", "--by", "psnr")
    assert wrong.code == 2
    assert "'blur'" in wrong.err
    assert "value of --by 'psnr'" in wrong.err
