"""``denoisebench rank``: estimates of the error without a clean image, against the error with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut

from denoisebench.commands.making import load_plugins
from denoisebench.core.errors import UserError
from denoisebench.own.denoise import Request
from denoisebench.own.model import Detector
from denoisebench.own.rank import rank_file, ranking_table
from denoisebench.own.residual import MOVED
from denoisebench.own.stack import Stack
from denoisebench.plugins.lookup import parse_method, parse_methods
from denoisebench.protocol.images import FloatImage
from denoisebench.training.weights import Shelf

CLEAN: FloatImage = (np.asarray(astronaut(), np.float32) / np.float32(255))[:, :, 1:2]
SIGMA = 0.08


def noisy(seed: int) -> FloatImage:
    noise = np.random.default_rng(seed).standard_normal(CLEAN.shape)
    return (CLEAN + SIGMA * noise).astype(np.float32)


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


def test_a_level_that_was_found_and_not_told_is_in_the_intervals() -> None:
    data, methods = noisy(0)[128:320, 128:320, 0], parse_methods("nlm", None)
    told, found = (
        rank_file(stack_of(data, "YX"), methods, asked, None, "sure", 192)
        for asked in (request(), replace(request(), sigma=None))
    )
    given, own = (ranking.methods[0].estimate for ranking in (told, found))
    assert given is not None
    assert own is not None
    assert (given.common, own.common > 0.02 * SIGMA**2) == (0.0, True)
    truth = float(np.mean(np.square(own.results[0][:, :, 0] - CLEAN[128:320, 128:320, 0])))
    low, high = own.interval
    assert low < -10 * np.log10(truth) < high


def test_the_command(command: Callable[..., Any], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noisy(0)[128:256, 128:256, 0])
    np.save(tmp_path / "c.npy", np.full((99, 99), 3.0))
    done = command("rank", tmp_path / "a.npy", tmp_path / "c.npy", "--methods", "nlm", "--range", "0..1")
    assert done.code == 1, done.err
    assert "| nlm" in done.out
    assert "| noisy input" in done.out
    assert "Take nlm" in done.out
    assert "c.npy" in done.err
    alone = command("rank", tmp_path / "a.npy", "--methods", "nlm", "--captures", "files")
    assert (alone.code, "two at least; there is 1" in alone.err) == (2, True)
    wrong = command("rank", tmp_path / "a.npy", "--methods", "blur", "--by", "psnr")
    assert wrong.code == 2
    assert "'blur'" in wrong.err
    assert "value of --by 'psnr'" in wrong.err


def test_levels_in_brackets_are_told_apart() -> None:
    noisy = (CLEAN[128:256, 128:256, 0] + 0.1 * np.random.default_rng(0).standard_normal((128, 128))).astype(np.float32)
    methods = parse_methods("nlm,nlm[sigma=2],nlm[sigma=25.5]", None)
    told = rank_file(stack_of(noisy, "YX"), methods, replace(request(), sigma=0.1), None, "auto", 128)
    found = {row.text: row.estimate.psnr for row in told.methods if row.estimate is not None}
    assert found["nlm"] == pytest.approx(found["nlm[sigma=25.5]"], abs=0.3)
    assert found["nlm[sigma=2]"] < found["nlm"] - 3
    assert not any("--sigma" in doubt for doubt in told.doubts)
    other = rank_file(stack_of(noisy, "YX"), methods[:1], replace(request(), sigma=25.0), None, "auto", 128)
    assert any("and --sigma is 25; it is meant in the values of the file" in doubt for doubt in other.doubts)


def test_counts_are_scored_as_counts(tmp_path: Path) -> None:
    gain = 0.02
    smooth = gaussian_filter(CLEAN, (1.5, 1.5, 0))[128:384, 128:384]
    counts = (gain * np.random.default_rng(0).poisson(smooth / gain)).astype(np.float32)[:, :, 0]
    asked = replace(request(), sigma=None)
    methods = parse_methods("nlm,nlm[strength=0.2]", None)
    told = rank_file(stack_of(counts, "YX"), methods, asked, None, "auto", 256)
    assert (told.by, told.methods[0].text) == ("pure", "nlm")
    noisy_input = next(row.estimate for row in told.methods if row.text == "noisy input")
    assert noisy_input is not None
    assert noisy_input.mse == pytest.approx(float(np.mean(np.square(counts - smooth[:, :, 0]))), rel=0.06)
    given = rank_file(stack_of(counts, "YX"), methods, replace(asked, detector=Detector(gain)), None, "auto", 256)
    same = next(row.estimate for row in given.methods if row.text == "noisy input")
    assert same is not None
    assert (given.by, given.noise) == ("pure", f"variance = {gain} x value + 0")
    assert same.mse == pytest.approx(float(np.mean(np.square(counts - smooth[:, :, 0]))), rel=0.02)
    assert not [text for text in given.doubts if "--gain" in text]
    wrong = rank_file(stack_of(counts, "YX"), methods, replace(asked, detector=Detector(9 * gain)), None, "auto", 256)
    assert [text for text in wrong.doubts if "--gain" in text]
    assert "Local means moved" in ranking_table(told)
    assert "Resolution" not in ranking_table(told)
    with pytest.raises(UserError, match=r"grows with the signal.*--by pure"):
        rank_file(stack_of(counts, "YX"), methods, asked, None, "sure", 256)
    with pytest.raises(UserError, match=r"no growth .* is known .*--by sure"):
        rank_file(stack_of(counts, "YX"), methods, request(), None, "pure", 256)


@pytest.mark.usefixtures("fresh_registry")
def test_results_that_moved_brightness_are_doubted_and_captures_have_a_resolution(plugin_file: Any) -> None:
    load_plugins([plugin_file("darker", "return noisy * 0.9")])
    captures = np.stack([noisy(seed)[128:320, 128:320, 0] for seed in range(2)])
    methods = parse_methods("nlm,darker", None)
    told = rank_file(stack_of(captures, "TYX"), methods, request(), "T", "auto", 192)
    rows = {row.text: row.checks for row in told.methods}
    assert rows["darker"] is not None
    assert rows["darker"].moved > MOVED > rows["nlm"].moved  # type: ignore[union-attr]  # nlm was scored as well
    assert any("darker changed the means" in text for text in told.doubts)
    assert "| Resolution, px" in ranking_table(told)
    # The same on both captures, so what they share is as fine as before.
    assert rows["darker"].resolution == pytest.approx(rows["noisy input"].resolution)  # type: ignore[union-attr]
