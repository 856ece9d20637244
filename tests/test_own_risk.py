"""Estimates of the error without a clean image, against the error with one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from skimage.data import astronaut

from denoisebench.own.risk import Estimate, combined, difference, from_captures, from_heldout, from_pure, from_sure
from denoisebench.protocol.images import FloatImage

CLEAN: FloatImage = (np.asarray(astronaut(), np.float32) / np.float32(255))[:, :, 1:2]
SIGMA = 0.08
VARIANCE = np.full(CLEAN.shape, SIGMA**2)
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
            found = from_sure(blur(width), noisy(0), SIGMA**2, rng)
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
            found.append(from_sure(blur(width), noisy(0), SIGMA**2, rng).mse)
        else:
            found.append(from_heldout(blur(width), noisy(0), VARIANCE, rng).mse)
    truth = [true_mse(width) for width in WIDTHS[1:]]
    assert spearmanr(truth, found).statistic > (0.85 if kind != "heldout" else 0.5)
    if kind != "heldout":
        assert int(np.argmin(found)) == int(np.argmin(truth))


def square(image: FloatImage) -> FloatImage:
    return np.square(image)


def soft(image: FloatImage) -> FloatImage:
    """Small details shrunk, large ones kept."""
    smooth = blur(1.0)(image)
    detail = image - smooth
    return smooth + detail**3 / (detail**2 + np.float32(0.01))


@pytest.mark.parametrize(("gain", "sigma", "pedestal"), [(0.02, 0.05, 0.0), (0.1, 0.05, 0.0), (0.1, 0.0, 0.2)])
@pytest.mark.parametrize("method", [blur(0.7), square, soft])
def test_noise_that_grows_with_the_signal(
    method: Callable[[FloatImage], FloatImage], gain: float, sigma: float, pedestal: float
) -> None:
    """Against the true error over draws: within four standard errors of the mean, and 1 % for what is cubic."""
    rng, gaps, truths = np.random.default_rng(5), [], []
    for _ in range(6):
        counts = gain * rng.poisson(CLEAN / gain) + pedestal + sigma * rng.standard_normal(CLEAN.shape)
        given = np.array([gain]), np.array([sigma**2 - gain * pedestal])
        found = from_pure(method, counts.astype(np.float32), *given, rng)
        truths.append(float(np.mean(np.square(method(counts.astype(np.float32)) - CLEAN - pedestal))))
        gaps.append(found.mse - truths[-1])
    chance = 4 * float(np.std(gaps, ddof=1)) / len(gaps) ** 0.5
    assert abs(np.mean(gaps)) < chance + 0.01 * float(np.mean(truths))
    assert chance < 0.1 * float(np.mean(truths))


def test_curvature_counts_where_there_are_few_photons() -> None:
    """Of pixels squared the terms of first order alone are 7 % off."""
    rng, gain = np.random.default_rng(0), 0.1
    counts = (gain * rng.poisson(CLEAN / gain)).astype(np.float32)
    found = from_pure(square, counts, np.array([gain]), np.zeros(1), rng)
    truth = float(np.mean(np.square(square(counts) - CLEAN)))
    assert found.mse == pytest.approx(truth, rel=0.02)
    wide = counts.astype(np.float64)
    first_order = float(np.mean(np.square(wide**2 - wide) - gain * wide + 4 * gain * wide**2))
    assert first_order > 1.05 * truth


def test_a_wrong_level_moves_all_methods_alike_and_widens_their_intervals() -> None:
    rng, variance = np.random.default_rng(0), 0.01
    noisy = (0.5 + variance**0.5 * rng.standard_normal((64, 64, 1))).astype(np.float32)
    found = from_sure(lambda image: 0.25 * image, noisy, variance, rng)
    # Of a filter c y the estimate changes by v (2 c - 1) where v grows by its share.
    assert found.by_variance == pytest.approx(variance * (2 * 0.25 - 1), rel=0.03)
    hidden = from_heldout(lambda image: image, noisy, np.full(noisy.shape, variance), rng)
    assert hidden.by_variance == pytest.approx(-variance)
    sure, wide = Estimate(0.01, 0.001, np.zeros(9), 0.1), Estimate(0.01, 0.001, np.zeros(9), 0.1, common=0.003)
    assert wide.interval[0] < sure.interval[0] < sure.interval[1] < wide.interval[1]
    assert difference(wide, wide) == difference(sure, sure)


def test_differences_are_paired() -> None:
    base = np.random.default_rng(0).random(50)
    first, second = (Estimate(float(blocks.mean()), 0.1, blocks, 0.0) for blocks in (base, base - 0.01))
    gap, error = difference(first, second)
    assert gap == pytest.approx(0.01)
    assert error < 1e-9


def test_a_mean_over_images_has_the_error_of_a_mean() -> None:
    one, two = (Estimate(mse, 0.3, np.array([mse]), 1.0) for mse in (1.0, 2.0))
    found = combined([one, two])
    assert (found.mse, list(found.blocks)) == (1.5, [1.0, 2.0])
    assert found.error == pytest.approx(0.3 / 2**0.5)


def test_what_is_not_finite_is_told_in_words() -> None:
    blocks = np.zeros(4)
    assert Estimate(1e-3, 1e-4, blocks, 0.0).told == ("30.00", "29.22 to 30.95")
    assert Estimate(1e-3, 1e-3, blocks, 0.0).told == ("30.00", "above 25.29")
    assert Estimate(-1e-4, 1e-3, blocks, 0.0).told == ("above 27.30", "above 27.30")
    assert Estimate(1e-3, np.inf, blocks[:1], 0.0).told == ("30.00", "cannot be told")
    assert Estimate(-1e-3, 1e-4, blocks, 0.0).told == ("cannot be told", "cannot be told")
