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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Lag = tuple[int, int]

# Blocks for levels of noise, for how it grows with the signal: side, highest frequency (sum of both) that chooses,
# lowest that measures, part that is kept.
_SIDE, _CHOOSING, _MEASURING, _FLATTEST = 8, 3, 10, 0.1
_STEP, _LEVELS, _FEWEST = 3, 16, 60
# Width of a level of brightness, over the standard deviation of the mean of a block.
_WIDER = 3.0
# Share of the pixels of a plane that have its least or its largest value, beyond which these are clipped; share of such
# pixels in a block whose noise is cut; share of the blocks that must be free of it to tell more than all together.
_CLIPPED, _CUT, _WHOLE = 0.005, 0.02, 0.5
# Blocks for correlations, and how far these are looked for.
_WIDE, _WIDE_CHOOSING, _WIDE_STEP, _FEWEST_WIDE, _FLATTEST_WIDE = 16, 4, 8, 24, 0.02
REACH = 7
LAGS: Sequence[Lag] = (
    *((0, k) for k in range(1, REACH + 1)), *((k, 0) for k in range(1, REACH + 1)), (1, 1),
)  # fmt: skip


def _frequencies(side: int) -> npt.NDArray[np.intp]:
    down, across = np.mgrid[:side, :side]
    return np.asarray(down + across)


def _blocks(plane: npt.NDArray[np.floating[Any] | np.bool_], side: int, step: int) -> FloatArray:
    if min(plane.shape) < side:
        return np.empty((0, side, side))
    windows = np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), (side, side))
    return windows[::step, ::step].reshape(-1, side, side)


class _Blocks(NamedTuple):
    """Blocks of an image.

    Mean brightness, and mean squares of the coefficients of low, middle and high frequencies: of white noise the mean
    of each is its variance, and one tells nothing of the others. And the share of pixels that are clipped.
    """

    mean: FloatArray
    low: FloatArray
    middle: FloatArray
    high: FloatArray
    clipped: FloatArray


class _Levels(NamedTuple):
    """Mean brightness of some blocks, variance of the noise there, and how many blocks."""

    signal: FloatArray
    variance: FloatArray
    weight: FloatArray


def clipped(plane: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Pixels (H, W) at the least or the largest finite value, where so many are that the noise is cut there."""
    found = np.zeros(plane.shape, bool)
    values = plane[np.isfinite(plane)]
    for end in (values.min(), values.max()) if values.size else ():
        at_end = plane == end
        if at_end.mean() > _CLIPPED:
            found |= at_end
    return found


def _measured(plane: npt.NDArray[np.floating[Any]]) -> _Blocks:
    from scipy.fft import dctn

    frequency = _frequencies(_SIDE)
    bands = (
        (frequency > 0) & (frequency <= _CHOOSING), (frequency > _CHOOSING) & (frequency < _MEASURING),
        frequency >= _MEASURING,
    )  # fmt: skip
    blocks = _blocks(plane, _SIDE, _STEP)
    finite = np.isfinite(blocks).all(axis=(1, 2))
    coefficients = dctn(blocks[finite], axes=(1, 2), norm="ortho")
    squares = np.square(coefficients)
    cut = _blocks(clipped(plane), _SIDE, _STEP)[finite].mean(axis=(1, 2))
    low, middle, high = (squares[:, band].mean(axis=1) for band in bands)
    return _Blocks(coefficients[:, 0, 0] / _SIDE, low, middle, high, cut)


def _edges(blocks: _Blocks) -> FloatArray:
    """Bounds of levels of brightness: equally many blocks in each, but no level narrower than what noise makes of one.

    Blocks of a ground of one brightness, sorted into several levels, would be sorted by their noise.
    """
    order = np.argsort(blocks.mean)
    mean, energy = blocks.mean[order], np.concatenate([[0.0], np.cumsum(blocks.high[order])])
    edges, start, count = [float(mean[0])] if len(mean) else [], 0, len(mean)
    for left in range(_LEVELS, 0, -1):
        if start == count:
            break
        step = -(-(count - start) // left)
        for end in (*range(start + step, count, -(-step // 4)), count):
            noise = np.sqrt((energy[end] - energy[start]) / (end - start)) / _SIDE
            if mean[end - 1] - mean[start] >= _WIDER * noise:
                break
        edges.append(float(mean[end - 1]))
        start = end
    return np.array(edges)


def _levels(blocks: _Blocks, share: float, edges: FloatArray) -> _Levels:
    """Levels of brightness that have enough blocks, and in each the share of them that is flattest."""
    rows = []
    for lower, upper in pairwise(edges):
        members = np.flatnonzero((blocks.mean >= lower) & (blocks.mean <= upper))
        if len(members) < _FEWEST:
            continue
        kept = max(_FEWEST // 2, int(len(members) * share))
        flat = members[np.argpartition(blocks.low[members], kept - 1)[:kept]]
        rows.append((blocks.mean[flat].mean(), blocks.high[flat].mean(), kept))
    return _Levels(*np.array(rows, np.float64).reshape(-1, 3).T)


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
    """How much noise of pixels at a distance agrees, in the flattest fiftieth of an image: 0 for white noise.

    Parameters
    ----------
    plane : (H, W) float
        Any scale; at least 16 pixels on each side.

    Returns
    -------
    dict of (int, int) to (float, float)
        By distance (rows, columns): correlation coefficient, less that of white noise without the frequencies that
        choose blocks, and its standard error. Texture correlates too; it is the less, the flatter the blocks are.
    """
    from scipy.fft import dctn, idctn

    kept, expected = _white()
    coefficients = dctn(_blocks(plane, _WIDE, _WIDE_STEP), axes=(1, 2), norm="ortho")
    low = np.square(coefficients[:, ~kept & (_frequencies(_WIDE) > 0)]).sum(axis=1)
    count = min(len(low), max(_FEWEST_WIDE, int(len(low) * _FLATTEST_WIDE)))
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


# Levels below which no line is fitted; passes of the fit, median deviations that count in full, and the least variance
# as a share of the largest.
_FEWEST_LEVELS, _PASSES, _HUBER, _LEAST = 4, 6, 2.2, 1e-3
# Rounds of choosing blocks and fitting, the change of the gain that ends them, and how much more than noise the lowest
# frequencies may hold, where every image has some.
_ROUNDS, _SETTLED, _GENTLE = 10, 0.002, 8.0
# Errors by what noise was found to be on held-out photographs, over the scatter about the line; gains that are more.
_TEXTURE, _CLEAR = 2.0, 3.0


@dataclass(frozen=True)
class Growth:
    """Variance of the noise as a line in the signal: gain * signal + offset, with standard errors.

    Parameters
    ----------
    gain, offset : float
        Gain at least 0, and 0 where the noise does not grow; the offset may be negative, where the camera adds a
        constant to all pixels.
    gain_error, offset_error : float
        Standard errors, see `noise_growth`.
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
        return self.gain > _CLEAR * self.gain_error > 0

    def error(self, signal: float) -> float:
        """Standard error of the variance at a signal."""
        squared = (signal * self.gain_error) ** 2 + 2 * signal * self.covariance + self.offset_error**2
        return float(np.sqrt(max(squared, 0.0)))


def noise_growth(planes: Sequence[npt.NDArray[np.floating[Any]]]) -> Growth:
    """How the variance of white noise grows with the signal: a line through its levels by brightness.

    At first the flattest tenth of the blocks of each level of brightness. Then, again and again, all blocks whose
    middle frequencies hold no more than the noise that the line says: texture that shows there would be taken for noise
    in the high ones. Texture that shows in the high frequencies alone stays, as does noise that a photograph had
    before: the gain is 1 to 3 % too large in the median of photographs, and more where all of the image is fine
    texture. Errors are twice those by the scatter about the line, for this.

    Parameters
    ----------
    planes : sequence of (H, W) float
        Of one camera, any scale; blocks with pixels that are not finite are left out.

    Returns
    -------
    Growth
        Its offset error infinite where there are too few blocks.
    """
    measured = [_measured(plane) for plane in planes]
    blocks = _Blocks(*(np.concatenate(parts) for parts in zip(*measured, strict=True)))
    growth = _grown(blocks)
    whole = blocks.clipped <= _CUT
    if growth.grows and not whole.all() and whole.mean() > _WHOLE:
        # Noise that is cut at an end is less there, which looks like growth.
        elsewhere = _grown(_Blocks(*(part[whole] for part in blocks)))
        return growth if elsewhere.grows else elsewhere
    return growth


def _grown(blocks: _Blocks) -> Growth:
    """The line through levels of blocks, chosen again and again."""
    edges = _edges(blocks)
    growth = _line(_levels(blocks, _FLATTEST, edges))
    for _ in range(_ROUNDS if len(blocks.mean) else 0):
        expected = growth.gain * blocks.mean + growth.offset
        expected = np.maximum(expected, _LEAST * float(expected.max()))
        noise_alone = (blocks.middle <= expected) & (blocks.low <= _GENTLE * expected)
        if np.count_nonzero(noise_alone) < _LEVELS * _FEWEST:
            break
        # Levels of all blocks: of those of chosen ones a dark ground would be more each time, until it is all of them.
        levels = _levels(_Blocks(*(part[noise_alone] for part in blocks)), 1.0, edges)
        if len(levels.signal) < _FEWEST_LEVELS:
            break
        before, growth = growth, _line(levels)
        if abs(growth.gain - before.gain) <= _SETTLED * before.gain:
            break
    return growth


def noise_over_line(planes: Sequence[npt.NDArray[np.floating[Any]]], gain: float, offset: float) -> float:
    """How many times the standard deviation that a line says white noise has, in the flattest tenth of the blocks.

    Parameters
    ----------
    planes : sequence of (H, W) float
        Of one camera, any scale.
    gain, offset : float
        Variance of the noise is said to be gain * signal + offset.

    Returns
    -------
    float
        1 where the line is right, a little more where fine texture is everywhere; nan where there are too few blocks,
        or the line says that there is no noise.
    """
    blocks = _Blocks(*(np.concatenate(parts) for parts in zip(*map(_measured, planes), strict=True)))
    levels = _levels(blocks, _FLATTEST, _edges(blocks))
    said = float(np.sum(levels.weight * np.maximum(gain * levels.signal + offset, 0.0)))
    return float(np.sqrt(np.sum(levels.weight * levels.variance) / said)) if said > 0 else float("nan")


def _line(levels: _Levels) -> Growth:
    """Weighted least squares, weights from the line itself; points far from it count less (Huber)."""
    signal, variance = levels.signal, levels.variance
    if len(signal) < _FEWEST_LEVELS or np.ptp(signal) <= 0 or not variance.any():
        return _constant(levels, levels.weight)
    design = np.stack([signal, np.ones_like(signal)], axis=1)
    fitted = np.full_like(variance, np.average(variance, weights=levels.weight))
    robust = np.ones_like(signal)
    for _ in range(_PASSES):
        # The sampling variance of a mean square is proportional to its square over the count.
        scale = np.maximum(fitted, _LEAST * float(fitted.max()) + 1e-300)
        weights = robust * levels.weight / np.square(scale)
        normal = design.T @ (design * weights[:, None])
        line = np.linalg.solve(normal, design.T @ (weights * variance))
        fitted = np.maximum(design @ line, 0.0)
        off = np.abs(variance - fitted) / np.maximum(fitted, _LEAST * float(fitted.max()) + 1e-300)
        robust = np.minimum(1.0, _HUBER * float(np.median(off)) / np.maximum(off, 1e-300))
    if line[0] <= 0:
        return _constant(levels, weights)
    spread = float(np.sum(weights * np.square(variance - design @ line))) / (len(signal) - 2)
    scatter = np.linalg.inv(normal) * spread * _TEXTURE**2
    errors = np.sqrt(np.diag(scatter))
    return Growth(float(line[0]), float(line[1]), float(errors[0]), float(errors[1]), float(scatter[0, 1]))


def _constant(levels: _Levels, weights: FloatArray) -> Growth:
    if not len(levels.variance):
        return Growth(0.0, 0.0, 0.0, float("inf"))
    variance = float(np.average(levels.variance, weights=weights))
    scatter = float(np.average(np.square(levels.variance - variance), weights=weights))
    return Growth(0.0, variance, 0.0, float(np.sqrt(scatter / len(levels.variance))))
