"""Noise where an image is flattest, measured apart from what made these places count as flat.

Blocks are chosen by the energy of their lowest frequencies (DCT, orthonormal), and noise is measured on the others:
white noise is independent between the two, so that choosing does not bias it. After N. Ponomarenko et al., An automatic
approach to lossy compression of AVIRIS images, IGARSS 2007, who find noise variance in DCT blocks of least low energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Lag = tuple[int, int]

# Blocks for levels of noise, for how it grows with the signal: side, highest frequency (sum of both) that chooses,
# lowest that measures, part that is kept.
_SIDE, _CHOOSING, _MEASURING, _FLATTEST = 8, 3, 10, 0.1
_STEP, _LEVELS, _FEWEST = 3, 12, 60
# Blocks for correlations, and how far these are looked for.
_WIDE, _WIDE_CHOOSING, _WIDE_STEP, _FEWEST_WIDE = 16, 4, 8, 24
REACH = 7
LAGS: Sequence[Lag] = (
    *((0, k) for k in range(1, REACH + 1)), *((k, 0) for k in range(1, REACH + 1)), (1, 1),
)  # fmt: skip


def _frequencies(side: int) -> npt.NDArray[np.intp]:
    down, across = np.mgrid[:side, :side]
    return np.asarray(down + across)


def _blocks(plane: npt.NDArray[np.floating[Any]], side: int, step: int) -> FloatArray:
    windows = np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), (side, side))
    return windows[::step, ::step].reshape(-1, side, side)


@dataclass(frozen=True)
class Levels:
    """Variance of the noise by brightness.

    Parameters
    ----------
    signal, variance, weight : (N,) float64
        Mean brightness, variance of the noise there, and of how many independent values that is the mean.
    """

    signal: FloatArray
    variance: FloatArray
    weight: FloatArray


#: Names of the parts of `Levels`.
PARTS = ("signal", "variance", "weight")


def noise_by_brightness(plane: npt.NDArray[np.floating[Any]]) -> Levels:
    """The variance of white noise in the flattest blocks of each of twelve levels of brightness, equally many each.

    Parameters
    ----------
    plane : (H, W) float
        Any scale; at least 8 pixels on each side.

    Returns
    -------
    Levels
        Empty where there are too few blocks.
    """
    from scipy.fft import dctn

    frequency = _frequencies(_SIDE)
    coefficients = dctn(_blocks(plane, _SIDE, _STEP), axes=(1, 2), norm="ortho")
    mean = coefficients[:, 0, 0] / _SIDE
    low = np.square(coefficients[:, (frequency > 0) & (frequency <= _CHOOSING)]).sum(axis=1)
    measured = frequency >= _MEASURING
    high = np.square(coefficients[:, measured]).mean(axis=1)
    edges = np.quantile(mean, np.linspace(0, 1, _LEVELS + 1))
    rows = []
    for lower, upper in pairwise(edges):
        members = np.flatnonzero((mean >= lower) & (mean <= upper))
        if len(members) < _FEWEST:
            continue
        kept = max(_FEWEST // 2, int(len(members) * _FLATTEST))
        flat = members[np.argpartition(low[members], kept - 1)[:kept]]
        # Blocks every 3 pixels share most of theirs.
        independent = kept * measured.sum() * min(1.0, (_STEP / _SIDE) ** 2 * 3)
        rows.append((mean[flat].mean(), high[flat].mean(), independent))
    columns = np.array(rows, np.float64).reshape(-1, 3).T
    return Levels(*columns)


@cache
def _white() -> tuple[npt.NDArray[np.bool_], dict[Lag, float]]:
    """Frequencies that measure, and what white noise without the others correlates by, at each lag."""
    from scipy.fft import idctn

    kept = _frequencies(_WIDE) > _WIDE_CHOOSING
    size = _WIDE * _WIDE
    basis = idctn(np.eye(size).reshape(size, _WIDE, _WIDE)[kept.ravel()], axes=(1, 2), norm="ortho")
    return kept, {lag: _product(basis, lag).sum() / _product(basis, (0, 0)).sum() for lag in LAGS}


def _product(blocks: FloatArray, lag: Lag) -> FloatArray:
    """Mean product of pixels that lie so far apart (rows, columns), by block."""
    down, across = lag
    first = blocks[:, : _WIDE - down, : _WIDE - across]
    return np.asarray((first * blocks[:, down:, across:]).mean(axis=(1, 2)))


def noise_correlation(plane: npt.NDArray[np.floating[Any]]) -> dict[Lag, tuple[float, float]]:
    """How much noise of pixels at a distance agrees, in the flattest tenth of an image: 0 for white noise.

    Parameters
    ----------
    plane : (H, W) float
        Any scale; at least 16 pixels on each side.

    Returns
    -------
    dict of (int, int) to (float, float)
        By distance (rows, columns): correlation coefficient, less that of white noise without the frequencies that
        choose blocks, and its standard error. Strong textures correlate too.
    """
    from scipy.fft import dctn, idctn

    kept, expected = _white()
    coefficients = dctn(_blocks(plane, _WIDE, _WIDE_STEP), axes=(1, 2), norm="ortho")
    low = np.square(coefficients[:, ~kept & (_frequencies(_WIDE) > 0)]).sum(axis=1)
    count = min(len(low), max(_FEWEST_WIDE, int(len(low) * _FLATTEST)))
    flat = np.argpartition(low, count - 1)[:count]
    residual = idctn(coefficients[flat] * kept, axes=(1, 2), norm="ortho")
    energy = _product(residual, (0, 0))
    total = float(energy.sum())
    if total <= 0:
        return dict.fromkeys(LAGS, (0.0, 0.0))
    found = {}
    for lag in LAGS:
        product = _product(residual, lag)
        ratio = float(product.sum()) / total
        error = float(np.sqrt(np.square(product - ratio * energy).sum())) / total
        found[lag] = ratio - expected[lag], error
    return found


# Levels below which no line is fitted; passes of the fit, and median deviations that count in full.
_FEWEST_LEVELS, _PASSES, _HUBER = 4, 6, 2.2


@dataclass(frozen=True)
class Growth:
    """Variance of the noise as a line in the signal: gain * signal + offset, with standard errors.

    Parameters
    ----------
    gain, offset : float
        Gain at least 0, and 0 where the noise does not grow; the offset may be negative, where the camera adds a
        constant to all pixels.
    gain_error, offset_error : float
        Standard errors, from the scatter about the line.
    covariance : float
        Of these two errors.
    """

    gain: float
    offset: float
    gain_error: float
    offset_error: float
    covariance: float = 0.0

    @property
    def grows(self) -> bool:
        """Whether the gain is more than chance."""
        return self.gain > 4 * self.gain_error > 0

    def error(self, signal: float) -> float:
        """Standard error of the variance at a signal."""
        squared = (signal * self.gain_error) ** 2 + 2 * signal * self.covariance + self.offset_error**2
        return float(np.sqrt(max(squared, 0.0)))


def growth_of(levels: Levels) -> Growth:
    """A line through the variance of the noise by brightness.

    Weighted least squares, weights from the line itself; points far from it count less (Huber). On textured photographs
    the standard errors are large, and the fit is as uncertain as they say.

    Parameters
    ----------
    levels : Levels
        As `noise_by_brightness` finds them.
    """
    signal, variance = levels.signal, levels.variance
    if len(signal) < _FEWEST_LEVELS or np.ptp(signal) <= 0:
        return _constant(levels, levels.weight)
    design = np.stack([signal, np.ones_like(signal)], axis=1)
    fitted = np.full_like(variance, np.average(variance, weights=levels.weight))
    robust = np.ones_like(signal)
    for _ in range(_PASSES):
        # The sampling variance of a mean square is proportional to its square over the count.
        scale = np.maximum(fitted, 1e-3 * float(fitted.max()) + 1e-300)
        weights = robust * levels.weight / np.square(scale)
        normal = design.T @ (design * weights[:, None])
        line = np.linalg.solve(normal, design.T @ (weights * variance))
        fitted = np.maximum(design @ line, 0.0)
        off = np.abs(variance - fitted) / np.maximum(fitted, 1e-3 * float(fitted.max()) + 1e-300)
        robust = np.minimum(1.0, _HUBER * float(np.median(off)) / np.maximum(off, 1e-300))
    if line[0] <= 0:
        return _constant(levels, weights)
    spread = float(np.sum(weights * np.square(variance - design @ line))) / (len(signal) - 2)
    scatter = np.linalg.inv(normal) * spread
    errors = np.sqrt(np.diag(scatter))
    return Growth(float(line[0]), float(line[1]), float(errors[0]), float(errors[1]), float(scatter[0, 1]))


def _constant(levels: Levels, weights: FloatArray) -> Growth:
    if not len(levels.variance):
        return Growth(0.0, 0.0, 0.0, float("inf"))
    variance = float(np.average(levels.variance, weights=weights))
    scatter = float(np.average(np.square(levels.variance - variance), weights=weights))
    return Growth(0.0, variance, 0.0, float(np.sqrt(scatter / len(levels.variance))))
