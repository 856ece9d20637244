"""Variance stabilisation: Poisson counts made nearly Gaussian of variance 1, and back without bias.

Sources: F. J. Anscombe, Biometrika 1948; M. Makitalo and A. Foi, "Optimal inversion of the Anscombe
transformation in low-count Poisson image denoising", IEEE TIP 2011; "A closed-form approximation of the
exact unbiased inverse of the Anscombe variance-stabilizing transformation", IEEE TIP 2011; "Optimal
inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 2013.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: The transform of zero counts, its smallest value.
SMALLEST = 2.0 * math.sqrt(3.0 / 8.0)
# At the end of the table the asymptotic inverse is off by less than 1e-6 of the mean.
_TABLE_END, _TABLE_SIZE = 200.0, 4001


def anscombe(counts: npt.NDArray[np.floating]) -> FloatArray:
    """Anscombe transform 2 sqrt(z + 3/8): variance about 1 for Poisson counts of mean above about 4.

    Parameters
    ----------
    counts : npt.NDArray[np.floating]
        Photon counts, any shape; values below -3/8 are taken as -3/8.

    Returns
    -------
    FloatArray
        Same shape, float64, unit noise standard deviation.
    """
    return np.asarray(2.0 * np.sqrt(np.maximum(counts.astype(np.float64) + 3.0 / 8.0, 0.0)))


def inverse_anscombe(stabilised: npt.NDArray[np.floating]) -> FloatArray:
    """Exact unbiased inverse: the mean count m for which E[2 sqrt(Z + 3/8)], Z ~ Poisson(m), is the value.

    The expectation is tabulated for m up to 200 by summing the Poisson pmf, and interpolated linearly; above,
    D^2/4 - 1/8. The algebraic inverse D^2/4 - 3/8 would be 1/4 of a count too low.

    Parameters
    ----------
    stabilised : npt.NDArray[np.floating]
        D, a denoised `anscombe` image, any shape.

    Returns
    -------
    FloatArray
        Counts, same shape, float64; 0 where D lies below 2 sqrt(3/8).
    """
    value = stabilised.astype(np.float64)
    means, expected = _table()
    return np.where(value > expected[-1], value**2 / 4.0 - 1.0 / 8.0, np.interp(value, expected, means))


def inverse_anscombe_closed(stabilised: npt.NDArray[np.floating]) -> FloatArray:
    """Closed-form approximation of `inverse_anscombe`, within 0.02 counts everywhere.

    max(0, D^2/4 + sqrt(3/2)/(4 D) - 11/(8 D^2) + 5 sqrt(3/2)/(8 D^3) - 1/8)

    Parameters
    ----------
    stabilised : npt.NDArray[np.floating]
        D, any shape.

    Returns
    -------
    FloatArray
        Counts, same shape, float64; 0 where D lies below 2 sqrt(3/8).
    """
    return np.maximum(_series(stabilised), 0.0)


def inverse_anscombe_algebraic(stabilised: npt.NDArray[np.floating]) -> FloatArray:
    """Algebraic inverse max(0, D^2/4 - 3/8), biased: 1/4 of a count too low where counts are many.

    Parameters
    ----------
    stabilised : npt.NDArray[np.floating]
        D, any shape.

    Returns
    -------
    FloatArray
        Counts, same shape, float64.
    """
    return np.asarray(np.maximum(stabilised.astype(np.float64) ** 2 / 4.0 - 3.0 / 8.0, 0.0))


def inverse_anscombe_asymptotic(stabilised: npt.NDArray[np.floating]) -> FloatArray:
    """Asymptotically unbiased inverse max(0, D^2/4 - 1/8): 0.13 counts too high at a mean of 0.5, 0.02 at 2.

    Parameters
    ----------
    stabilised : npt.NDArray[np.floating]
        D, any shape.

    Returns
    -------
    FloatArray
        Counts, same shape, float64; 1/4 where D is 2 sqrt(3/8), the transform of no photon.
    """
    value = np.maximum(stabilised.astype(np.float64), 0.0)
    return np.asarray(np.maximum(value**2 / 4.0 - 1.0 / 8.0, 0.0))


def generalised_anscombe(values: npt.NDArray[np.floating], gain: float, sigma: float) -> FloatArray:
    """Generalised Anscombe transform for noise of variance gain * x + sigma^2.

    (2/gain) sqrt(max(0, gain z + 3/8 gain^2 + sigma^2))

    Parameters
    ----------
    values : npt.NDArray[np.floating]
        Z = gain * Poisson(x / gain) + N(0, sigma^2), any shape.
    gain : float
        Value of one photon, above 0, in the units of ``values``.
    sigma : float
        Standard deviation of the signal-independent noise, same units.

    Returns
    -------
    FloatArray
        Same shape, float64, unit noise standard deviation.

    Raises
    ------
    ValueError
        If the gain is not above 0 or sigma is negative.
    """
    _check(gain, sigma)
    radicand = gain * values.astype(np.float64) + 3.0 / 8.0 * gain**2 + sigma**2
    return np.asarray(2.0 / gain * np.sqrt(np.maximum(radicand, 0.0)))


def inverse_generalised_anscombe(stabilised: npt.NDArray[np.floating], gain: float, sigma: float) -> FloatArray:
    """Closed-form unbiased inverse of `generalised_anscombe`.

    gain * max(0, closed(D) - (sigma/gain)^2), closed being the series of `inverse_anscombe_closed`.

    Parameters
    ----------
    stabilised : npt.NDArray[np.floating]
        D, any shape.
    gain, sigma : float
        As given to the forward transform.

    Returns
    -------
    FloatArray
        X in the units of the gain, same shape, float64; never negative.

    Raises
    ------
    ValueError
        If the gain is not above 0 or sigma is negative.
    """
    _check(gain, sigma)
    return gain * np.maximum(_series(stabilised) - (sigma / gain) ** 2, 0.0)


def _series(stabilised: npt.NDArray[np.floating]) -> FloatArray:
    value = np.maximum(stabilised.astype(np.float64), SMALLEST)
    root = math.sqrt(3.0 / 2.0)
    corrections = root / (4 * value) - 11.0 / (8 * value**2) + 5 * root / (8 * value**3)
    return np.asarray(value**2 / 4.0 + corrections - 1.0 / 8.0)


def _check(gain: float, sigma: float) -> None:
    if not gain > 0 or not sigma >= 0:
        raise ValueError(f"The gain must be above 0 and sigma at least 0, not gain={gain} and sigma={sigma}.")


@functools.lru_cache(maxsize=1)
def _table() -> tuple[FloatArray, FloatArray]:
    """Means m and E[2 sqrt(Z + 3/8)] for Z ~ Poisson(m); m grows quadratically, as the transform flattens."""
    means = _TABLE_END * np.linspace(0.0, 1.0, _TABLE_SIZE) ** 2
    # Twelve standard deviations above the largest mean: the pmf left out is below 1e-25.
    last = int(_TABLE_END + 12 * math.sqrt(_TABLE_END))
    counts = np.arange(last + 1, dtype=np.float64)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    transformed = 2.0 * np.sqrt(counts + 3.0 / 8.0)
    expected = np.empty_like(means)
    expected[0] = SMALLEST
    for index in range(1, len(means)):
        log_pmf = counts * math.log(means[index]) - means[index] - log_factorials
        expected[index] = np.exp(log_pmf) @ transformed
    return means, expected
