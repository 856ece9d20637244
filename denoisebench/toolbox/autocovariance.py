"""Stationary noise that is correlated between pixels and channels: its autocovariance, known or measured in an image.

    A_cc'(d) = E[n_c(x) n_c'(x + d)]

for channels c, c' and displacements d (rows, columns) of at most L pixels along each axis; farther apart noise is taken
as independent. Its Fourier transform is the power spectrum of the noise.

Measured, it is the A that fits the spectra of the flattest blocks. With the window w over a block y, of side n,

    E|FFT(w n)|^2 (k) = sum_d A(d) W(d) cos(2 pi k d / n),    W(d) = sum_x w(x) w(x + d)

which is linear in A. The lowest frequencies, where photographs have most of their energy, are left out of the fit: what
noise has there follows from L. Flattest are the blocks with the least energy in all frequencies, each divided by that
of the noise as found so far. They are also those where noise is weak by chance, so in the end all blocks count that
have no more than noise of that spectrum explains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError

FloatArray = npt.NDArray[np.float64]

# Blocks of an image: their side, how many are looked at, about, and which share of them, but how many at least, is
# taken for flat at first. Pixels at the ends of the range that a block may have.
_SIDE, _LOOKED_AT, _FLATTEST, _FEWEST, _CLIPPED = 32, 4096, 0.03, 24, 0.01
# Energy of a block over its mean that noise explains: two standard deviations of the windowed mean square of white
# noise, sqrt(2) sum w^4 / (sum w^2)^2 = sqrt(2) 3 / (2 n) along each axis, for both.
_EXPLAINED = 1 + 2 * 2**0.5 * 1.5 / _SIDE
# How far noise is correlated, at most; lowest frequency of a block that is fitted; rounds with the flattest blocks and
# with those that noise explains, and of weighting; spectrum below which weights no longer rise, over its largest value.
_REACH, _LOWEST, _ROUNDS, _MORE_ROUNDS, _WEIGHTINGS, _FAINT = 5, 3.0, 4, 4, 3, 0.02
# Power of a block that is rounding, over the square of its largest value.
_NOTHING = 1e-18
#: Least side of an image whose noise is measured.
SMALLEST = 48


@dataclass(frozen=True)
class Autocovariance:
    """Of the noise of an image.

    Parameters
    ----------
    values : FloatArray
        (2 L + 1, 2 L + 1, C, C), displacement 0 in the middle, A(-d) = A(d)^T, on the squared scale of the image.
    """

    values: FloatArray

    def __post_init__(self) -> None:
        values = self.values
        if values.ndim != 4 or values.shape[0] != values.shape[1] or not values.shape[0] % 2:
            raise UserError(f"An autocovariance of noise has the shape (2 L + 1, 2 L + 1, C, C), not {values.shape}.")
        if not np.isfinite(values).all() or not np.allclose(values, values[::-1, ::-1].swapaxes(2, 3)):
            raise UserError("An autocovariance of noise is finite, and A(-d) is the transpose of A(d).")
        if self.own.min() < 0:
            raise UserError(f"An autocovariance of noise has variances of 0 or more, not {self.own.min():.3g}.")

    @property
    def own(self) -> FloatArray:
        """Variance (C,) of each channel."""
        middle = len(self.values) // 2
        return np.diagonal(self.values[middle, middle])

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, the root mean square over the channels."""
        return float(np.sqrt(self.own.mean()))

    def scaled_to(self, sigma: float) -> Autocovariance:
        """The same correlation for noise of another standard deviation; white noise if this one has none."""
        if self.sigma == 0:
            return filtered(np.ones((1, 1)), np.full(self.values.shape[2], sigma))
        return Autocovariance(self.values * (sigma / self.sigma) ** 2)

    def of_combinations(self, basis: FloatArray) -> list[FloatArray]:
        """Autocovariance (2 L + 1, 2 L + 1) of each combination of channels, a row of (K, C)."""
        return list(np.einsum("kc,yxcd,kd->kyx", basis, self.values, basis))


def filtered(kernel: FloatArray, levels: Sequence[float] | FloatArray) -> Autocovariance:
    """Of white noise that went through a linear filter, each channel by itself.

    Parameters
    ----------
    kernel : FloatArray
        (H, W) of any size and scale; [[1]] leaves noise white.
    levels : sequence of float
        Standard deviation in each channel after the filter.
    """
    from scipy.signal import correlate2d

    own = correlate2d(kernel, kernel) / np.sum(np.square(kernel))
    reach = max(own.shape) // 2
    own = np.pad(own, [(reach - side // 2,) * 2 for side in own.shape])
    return Autocovariance(own[:, :, None, None] * np.diag(np.square(np.asarray(levels, dtype=np.float64))))


def spectrum(values: FloatArray, height: int = 64, width: int = 64) -> FloatArray:
    """Power spectrum (height, width, ...) of noise on a torus, E |FFT(n)|^2 by pixel: of white noise its variance.

    Parameters
    ----------
    values : FloatArray
        (2 L + 1, 2 L + 1, ...), an autocovariance whose A(-d) is A(d).
    height, width : int
        Sides of the torus.
    """
    reach, plane = len(values) // 2, np.zeros((height, width, *values.shape[2:]))
    rows, columns = (np.arange(-reach, reach + 1) % side for side in (height, width))
    np.add.at(plane, np.ix_(rows, columns), values)
    return np.asarray(np.fft.fft2(plane, axes=(0, 1)).real)


def measured(image: npt.NDArray[np.floating]) -> Autocovariance:
    """Of the noise of an image, as it is in its flattest blocks.

    On 256x256 of the 16 photographs of ``heldout``, with noise of sigma 25 that is white, blurred or alternates, the
    level that follows is 2 to 4 % too large in the mean and 33 % at worst; at sigma 10 it is 12 to 14 % too large, 4 to
    7 % in the median: fine texture that fills the image is taken for noise.

    Parameters
    ----------
    image : (H, W, C) float
        Of any scale.

    Raises
    ------
    UserError
        It is too small.
    """
    height, width, channels = image.shape
    if min(height, width) < SMALLEST:
        raise UserError(
            f"The correlation of noise is measured from {SMALLEST} pixels on each side, and this image is "
            f"{width}x{height}; give a kernel such as correlation=3x3, or leave correlation out."
        )
    spectra = _spectra(image.astype(np.float64))
    design, fitted = _design()
    count = min(len(spectra), max(_FEWEST, int(len(spectra) * _FLATTEST)))
    total = np.einsum("nkcc->nk", spectra)
    expected = np.ones(_SIDE**2)
    flat = np.arange(0)
    for number in range(_ROUNDS + _MORE_ROUNDS):
        # The mean is taken off each block, so frequency 0 says nothing.
        energy = (total[:, 1:] / expected[1:]).mean(axis=1)
        if number < _ROUNDS:
            flat = np.argpartition(energy, count - 1)[:count]
        else:
            flat = np.flatnonzero(energy <= _EXPLAINED * energy[flat].mean())
        power = total[flat].mean(axis=0)
        if power.max() <= _NOTHING * float(np.square(image.astype(np.float64)).max()):
            return Autocovariance(np.zeros((1, 1, channels, channels)))
        weights = 1 / expected[fitted]
        for _ in range(_WEIGHTINGS):
            solution = _solved(design[fitted], power[fitted, None], weights)
            expected = design @ solution[:, 0]
            expected = np.maximum(expected, _FAINT * expected.max())
            weights = 1 / expected[fitted]
    mean = spectra[flat].mean(axis=0).reshape(_SIDE**2, -1)
    return Autocovariance(_without_negative(_unfolded(_solved(design[fitted], mean[fitted], weights), channels)))


def _spectra(image: FloatArray) -> FloatArray:
    """Windowed spectra and cross spectra (blocks, frequencies, C, C), real parts, of blocks that are not clipped."""
    step = max(1, math.isqrt(math.prod(side - _SIDE + 1 for side in image.shape[:2]) // _LOOKED_AT))
    ends = (image == image.min(axis=(0, 1))) | (image == image.max(axis=(0, 1)))
    blocks, clipped = (
        np.lib.stride_tricks.sliding_window_view(one, (_SIDE, _SIDE), axis=(0, 1))[::step, ::step]
        for one in (image, ends)
    )
    usable = clipped.mean(axis=(3, 4)).max(axis=2) <= _CLIPPED
    if np.count_nonzero(usable) < _FEWEST:
        usable[:] = True
    chosen = blocks[usable]
    windowed = (chosen - chosen.mean(axis=(2, 3), keepdims=True)) * np.outer(_window(), _window())
    found = np.fft.fft2(windowed).reshape(*chosen.shape[:2], -1)
    return np.asarray(np.einsum("nck,ndk->nkcd", found, found.conj()).real)


def _window() -> FloatArray:
    return np.sin(np.pi * (np.arange(_SIDE) + 0.5) / _SIDE)


def _lags() -> FloatArray:
    """Displacements of a half plane, 0 first, of which the others are mirror images."""
    return np.array(
        [(y, x) for y in range(_REACH + 1) for x in range(-_REACH, _REACH + 1) if y or x >= 0], dtype=np.int64
    )


@cache
def _design() -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """What each of the `_lags` adds to the spectrum of a block (frequencies, lags); which frequencies are fitted."""
    overlap = np.correlate(_window(), _window(), "full")[_SIDE - 1 :]
    lags = _lags()
    frequencies = np.stack(np.meshgrid(*[np.fft.fftfreq(_SIDE)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    times = np.where(lags.any(axis=1), 2, 1) * overlap[np.abs(lags)].prod(axis=1)
    return times * np.cos(2 * np.pi * frequencies @ lags.T), _SIDE * np.hypot(*frequencies.T) >= _LOWEST


def _solved(design: FloatArray, right: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted least squares."""
    return np.asarray(np.linalg.lstsq(design * weights[:, None], right * weights[:, None], rcond=None)[0])


def _unfolded(half: FloatArray, channels: int) -> FloatArray:
    """From values at the `_lags` to (2 L + 1, 2 L + 1, C, C)."""
    values = np.zeros((2 * _REACH + 1, 2 * _REACH + 1, channels, channels))
    for (y, x), value in zip(_lags(), half.reshape(-1, channels, channels), strict=True):
        values[_REACH + y, _REACH + x] = values[_REACH - y, _REACH - x] = value
    return values


def _without_negative(values: FloatArray) -> FloatArray:
    """The same with what is negative in the spectrum set to 0."""
    powers, vectors = np.linalg.eigh(spectrum(values))
    plane = np.fft.ifft2(np.einsum("yxij,yxj,yxkj->yxik", vectors, powers.clip(min=0), vectors), axes=(0, 1)).real
    near = np.arange(-_REACH, _REACH + 1) % len(plane)
    return np.asarray(plane[np.ix_(near, near)])
