"""The mean squared error of a method on an image of which nobody has a clean copy, estimated.

Four estimates, none of which looks at a clean image. y is the noisy image, f(y) a result, v the variance of its noise,
all on the scale black = 0, white = 1; b are random signs, e is a small step.

captures    mean (f(y1) - y2)^2 - mean (y1 - y2)^2 / 2, over pairs of captures of one view: unbiased, whatever the
            noise, as long as it is independent between captures and the view stands still. uMSE of A. Marcos Morales
            et al., Evaluating unsupervised denoising requires unsupervised metrics, ICML 2023.
sure        mean (f(y) - y)^2 - v + 2 v mean b (f(y + e b) - f(y)) / e: for independent Gaussian noise of known
            variance. C. Stein, Annals of Statistics 1981; S. Ramani, T. Blu, M. Unser, Monte-Carlo SURE, IEEE TIP 2008.
pure        for y = a Poisson + Gaussian of variance s^2, so that v(y) = a y + s^2 has the mean of the variance:
            mean (f(y) - y)^2 - v(y) + 2 v(y) b (f(y + e b) - f(y)) / e
                - (a^2 y + 2 a s^2) c (f(y + d c) - 2 f(y) + f(y - d c)) / (k d^2),
            c random with mean 0, variance 1 and third moment k. The estimate of F. Luisier, T. Blu, M. Unser, Image
            denoising in mixed Poisson-Gaussian noise, IEEE TIP 2011, its f(y - a) expanded as by Y. Le Montagner,
            E. Angelini, J.-C. Olivo-Marin, An unbiased risk estimator for image denoising in the presence of mixed
            Poisson-Gaussian noise, IEEE TIP 2014, but to second order in a (they drop a^2 y): unbiased for f that is
            quadratic in each pixel, and nearly so for others.
heldout     mean over hidden pixels of (f(y with them replaced by the mean of their neighbours) - y)^2 - v: for noise
            that is independent between pixels. J. Batson, L. Royer, Noise2Self, ICML 2019. It scores f as it does
            without the pixel itself, which is worse than f, more so for methods that lean on single pixels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import FloatImage

FloatArray = npt.NDArray[np.float64]
#: From a noisy image to its result, black = 0 and white = 1.
Filter = Callable[[FloatImage], FloatImage]

ESTIMATES = ("captures", "pure", "sure", "heldout")
# Hidden pixels lie on a grid of this step; so many of its positions are tried.
_GRID, _HIDDEN = 4, 4
# Perturbations for the first and the second derivative, in standard deviations of the noise, and third moment of the
# second.
_EPSILON, _WIDE_EPSILON, _SKEW = 0.1, 1.0, 1.0
# Side of the blocks whose scatter gives intervals: larger than what a result is smooth over.
_BLOCK = 32


@dataclass(frozen=True)
class Estimate:
    """An estimated mean squared error.

    Parameters
    ----------
    mse : float
        Of values with black = 0 and white = 1; an unbiased estimate may lie below 0.
    error : float
        Standard error, from the scatter over blocks of the image.
    blocks : (N,) float64
        The estimate in each block.
    seconds : float
        Of one application of the method.
    results : sequence of (H, W, C) float32
        Of the method on the images as they are, where the estimate needed them: the first, of captures the first two.
    by_variance : float
        Derivative of the error with the logarithm of the variance that the noise is taken to have.
    common : float
        Standard error that all methods have alike, as the noise is not known exactly.
    """

    mse: float
    error: float
    blocks: FloatArray
    seconds: float
    results: Sequence[FloatImage] = ()
    by_variance: float = 0.0
    common: float = 0.0

    @property
    def psnr(self) -> float:
        """In dB; infinite where the estimate is not above 0."""
        return -10 * math.log10(self.mse) if self.mse > 0 else math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, in dB."""
        half = 1.96 * math.hypot(self.error, self.common)
        low, high = self.mse - half, self.mse + half
        return -10 * math.log10(high) if high > 0 else math.inf, -10 * math.log10(low) if low > 0 else math.inf

    @property
    def told(self) -> tuple[str, str]:
        """PSNR and its interval in words: of an error that is not above 0 only the lower end is known."""
        low, high = self.interval
        above = f"above {low:.2f}" if math.isfinite(low) else "cannot be told"
        interval = f"{low:.2f} to {high:.2f}" if math.isfinite(high) else above
        return f"{self.psnr:.2f}" if math.isfinite(self.psnr) else above, interval


def from_captures(method: Filter, captures: Sequence[FloatImage]) -> Estimate:
    """Score on captures of one view: each result against the next capture.

    Parameters
    ----------
    method : callable
        From a noisy image to its result, (H, W, C).
    captures : sequence of (H, W, C) float
        At least two.

    Raises
    ------
    UserError
        There are fewer than two.
    """
    if len(captures) < 2:
        raise UserError("captures of one view are needed, two at least.")
    maps, results, start = [], [], time.perf_counter()
    for number, capture in enumerate(captures):
        other = captures[(number + 1) % len(captures)]
        result = method(capture.copy())
        results += [result] if number < 2 else []
        maps.append(np.square(_wide(result) - other) - np.square(_wide(capture) - other) / 2)
    return _estimate(np.mean(maps, axis=0), (time.perf_counter() - start) / len(captures), results)


def from_sure(method: Filter, noisy: FloatImage, variance: float, rng: np.random.Generator) -> Estimate:
    """Stein's unbiased risk estimate, its divergence by one random perturbation.

    Parameters
    ----------
    method : callable
        From a noisy image to its result.
    noisy : (H, W, C) float
        The image.
    variance : float
        Of its noise, Gaussian and of one level.
    rng : np.random.Generator
        For the perturbation.

    Raises
    ------
    UserError
        The variance is not above 0.
    """
    none = np.zeros(noisy.shape[2])
    return from_pure(method, noisy, none, none + variance, rng)


def from_pure(
    method: Filter, noisy: FloatImage, gain: FloatArray, offset: FloatArray, rng: np.random.Generator
) -> Estimate:
    """Poisson-Gaussian unbiased risk estimate, its derivatives by random perturbations.

    Parameters
    ----------
    method : callable
        From a noisy image to its result.
    noisy : (H, W, C) float
        The image.
    gain, offset : (C,) float
        Variance of the noise by channel, gain * signal + offset. Where the offset is above 0 it is taken for Gaussian
        noise, where it is below for a constant that was added to counts.
    rng : np.random.Generator
        For the perturbations.

    Raises
    ------
    UserError
        The noise has no variance.
    """
    # Not cut off at 0, where it is dark: its mean would no longer be that of the noise.
    variance = gain * _wide(noisy) + offset
    sigma = math.sqrt(max(float(np.mean(variance)), 0.0))
    if sigma <= 0:
        raise UserError("it has no noise to speak of.")
    signs, step = rng.choice(np.array([-1.0, 1.0]), noisy.shape), _EPSILON * sigma
    start = time.perf_counter()
    result = method(noisy.copy())
    seconds = time.perf_counter() - start
    wide = _wide(result)

    def moved(direction: FloatArray, by: float) -> FloatArray:
        return _wide(method((noisy + by * direction).astype(np.float32)))

    by_variance = 2 * variance * signs * (moved(signs, step) - wide) / step - variance
    errors = np.square(wide - noisy) + by_variance
    if gain.any():
        # a^2 y + 2 a s^2, y counted from the constant that was added.
        curved = gain * (variance + np.maximum(offset, 0.0))
        skewed, step = _skewed(noisy.shape, rng), _WIDE_EPSILON * sigma
        second = moved(skewed, step) - 2 * wide + moved(skewed, -step)
        errors -= curved / _SKEW * skewed * second / step**2
    return replace(_estimate(errors, seconds, [result]), by_variance=float(by_variance.mean()))


def _skewed(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Two values at random, so chosen that their mean is 0, their variance 1 and their third moment _SKEW."""
    share = 0.5 + _SKEW / (2 * math.sqrt(_SKEW**2 + 4))
    low, high = -math.sqrt((1 - share) / share), math.sqrt(share / (1 - share))
    return np.where(rng.random(shape) < share, low, high)


def from_heldout(method: Filter, noisy: FloatImage, variance: FloatArray, rng: np.random.Generator) -> Estimate:
    """How well hidden pixels are foretold.

    Parameters
    ----------
    method : callable
        From a noisy image to its result.
    noisy, variance : (H, W, C) float
        The image, and the variance of its noise.
    rng : np.random.Generator
        Chooses which pixels are hidden.
    """
    from scipy.ndimage import correlate

    around = np.array([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])[:, :, None] / 6
    filled = correlate(noisy, around, mode="reflect")
    places = [divmod(int(place), _GRID) for place in rng.permutation(_GRID**2)[:_HIDDEN]]
    total, seen, start = np.zeros(noisy.shape), np.zeros(noisy.shape, bool), time.perf_counter()
    for row, column in places:
        hidden = np.zeros(noisy.shape[:2], bool)
        hidden[row::_GRID, column::_GRID] = True
        result = _wide(method(np.where(hidden[:, :, None], filled, noisy).astype(np.float32)))
        total[hidden] = (np.square(result - noisy) - variance)[hidden]
        seen[hidden] = True
    found = _estimate(np.where(seen, total, np.nan), (time.perf_counter() - start) / _HIDDEN)
    return replace(found, by_variance=-float(np.mean(variance[seen])))


def difference(first: Estimate, second: Estimate) -> tuple[float, float]:
    """How much smaller the error of the second is, with the standard error of that, block by block."""
    gaps = first.blocks - second.blocks
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.inf


def _wide(image: npt.NDArray[np.floating]) -> FloatArray:
    return np.asarray(image, dtype=np.float64)


def _estimate(errors: FloatArray, seconds: float, results: Sequence[FloatImage] = ()) -> Estimate:
    """From the error in every pixel, not-a-number where it was not measured."""
    rows, columns = (max(1, side // _BLOCK) for side in errors.shape[:2])
    cut = [np.array_split(line, columns, axis=1) for line in np.array_split(errors, rows, axis=0)]
    blocks = np.array([np.nanmean(block) for line in cut for block in line])
    spread = blocks.std(ddof=1) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.inf
    return Estimate(float(np.nanmean(errors)), float(spread), blocks, seconds, results)


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """The mean error of one method over several images."""
    errors = np.array([one.error for one in estimates])
    return Estimate(
        float(np.mean([one.mse for one in estimates])), float(np.sqrt(np.square(errors).sum()) / len(errors)),
        np.concatenate([one.blocks for one in estimates]), float(np.mean([one.seconds for one in estimates])),
        common=float(np.mean([one.common for one in estimates])),
    )  # fmt: skip
