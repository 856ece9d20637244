"""Transforms of BM3D: of a patch (discrete cosine, biorthogonal wavelet), and of a group along its members (Haar).

A patch of 8x8 pixels is a row of 64 values, and a transform of it a (64, 64) matrix T: coefficients = T patch. Along
each axis it is an (8, 8) matrix of rows of unit length, so that white noise of variance s^2 has the variance s^2 in
each coefficient. The rows of T are in the order of rising frequency.

Overlapping patches share noise. With b the basis function of a coefficient, the covariance of that coefficient in two
patches d pixels apart is s^2 R(d), R(d) = sum_x b(x) b(x - d), which is 0 from 8 pixels on; `overlap_variance` sums it
up to the variance of each coefficient of a group. Noise that is correlated over L pixels, with the autocovariance
s^2 A(d), is shared by patches up to 7 + L pixels apart, R(d) = sum_xy b(x) b(y) A(d + x - y); R(0) is the variance of
the coefficient in one patch, 1 if A is white.

Sources: Dabov, Foi, Katkovnik, Egiazarian, IEEE TIP 2007, doi:10.1109/TIP.2007.901238; Makinen, Azzari, Foi,
Collaborative Filtering of Correlated Noise: Exact Transform-Domain Variance for Improved Shrinkage and Patch Matching,
IEEE TIP 2020, doi:10.1109/TIP.2020.3014721; Cohen, Daubechies, Feauveau, Biorthogonal Bases of Compactly Supported
Wavelets, CPAM 1992, doi:10.1002/cpa.3160450502.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from denoisebench.core.lazy import torch

PATCH = 8
_Matrix = npt.NDArray[np.float64]
# Low-pass filter of bior1.5; its high-pass filter is that of Haar.
_LOW = np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3]) / (128 * 2**0.5)
_HIGH = np.array([0, 0, 0, 0, -1, 1, 0, 0, 0, 0]) / 2**0.5


@cache
def dct_matrix() -> _Matrix:
    """Orthonormal discrete cosine transform (8, 8), rows of rising frequency."""
    frequency, place = np.arange(PATCH)[:, None], np.arange(PATCH)[None]
    matrix = np.cos(np.pi * (place + 0.5) * frequency / PATCH) * (2 / PATCH) ** 0.5
    matrix[0] /= 2**0.5
    return np.asarray(matrix)


@cache
def wavelet_matrix() -> _Matrix:
    """Periodic biorthogonal wavelet bior1.5 (8, 8), all three levels, rows of unit length from coarse to fine."""
    matrix, size = np.eye(PATCH), PATCH
    while size > 1:
        level = np.eye(PATCH)
        level[:size, :size] = 0
        for row in range(size // 2):
            for tap in range(len(_LOW)):
                place = (2 * row + tap - len(_LOW) // 2 + 1) % size
                level[row, place] += _LOW[tap]
                level[size // 2 + row, place] += _HIGH[tap]
        matrix, size = level @ matrix, size // 2
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


@cache
def haar_matrix(size: int) -> _Matrix:
    """Orthonormal Haar transform (size, size) for a power of 2: the mean first, then the tree of differences."""
    rows = [np.full(size, size**-0.5)]
    rows += [_difference(size, start, half) for start, half in _nodes(size)]
    return np.stack(rows)


def _difference(size: int, start: int, half: int) -> _Matrix:
    row = np.zeros(size)
    row[start : start + half], row[start + half : start + 2 * half] = (2 * half) ** -0.5, -((2 * half) ** -0.5)
    return row


def _nodes(size: int) -> list[tuple[int, int]]:
    """First member and half the number of members of each node of the Haar tree, the finest ones first."""
    halves = [2**level for level in range(size.bit_length() - 1)]
    return [(start, half) for half in halves for start in range(0, size, 2 * half)]


def patch_matrix(along: _Matrix) -> _Matrix:
    """Transform (64, 64) of a patch from that along its axes, rows in the order of rising frequency."""
    return np.asarray(np.kron(along, along)[_order()])


@dataclass(frozen=True)
class Overlaps:
    """What the noise of patches has in common, by how far apart they lie.

    Parameters
    ----------
    table : torch.Tensor
        ((reach + 1) (2 reach + 1) + 1, K, 64): R(dy, dx) of each coefficient under each of K noises in the row
        (2 reach + 1) dy + dx + reach, dy not below 0, and a last row of 0 for patches that lie farther apart.
    reach : int
        Farthest that noise is shared, in pixels along an axis.
    """

    table: torch.Tensor
    reach: int

    @property
    def own(self) -> torch.Tensor:
        """R(0), the variance of each coefficient of one patch: (K, 64)."""
        return self.table[self.reach]


def overlaps(along: _Matrix, correlations: Sequence[_Matrix], like: torch.Tensor) -> Overlaps:
    """R(d) of the coefficients of a transform.

    Parameters
    ----------
    along : ndarray
        (8, 8), the transform along the axes of a patch.
    correlations : sequence of ndarray
        For each noise the autocovariance (2 L + 1, 2 L + 1), displacement 0 in its middle; [[1]] is white.
    like : torch.Tensor
        Of the type and on the device of the result.
    """
    beyond = max(len(one) // 2 for one in correlations)
    reach = PATCH - 1 + beyond
    tables = [_shared(along, np.pad(one, beyond - len(one) // 2)) for one in correlations]
    table = np.stack(tables, axis=2)[reach:].reshape(-1, len(tables), PATCH**2)
    table = np.concatenate([table, np.zeros_like(table[:1])])
    return Overlaps(torch.from_numpy(np.ascontiguousarray(table)).to(like), reach)


def _shared(along: _Matrix, correlation: _Matrix) -> _Matrix:
    """R(d) (2 reach + 1, 2 reach + 1, 64): the noise's autocovariance convolved with that of each basis function."""
    own = np.stack([np.correlate(row, row, "full") for row in along])
    wide = len(correlation)
    # Along one axis: from lag of the noise to distance of the patches.
    spread = np.zeros((PATCH, own.shape[1] + wide - 1, wide))
    for lag in range(wide):
        spread[:, lag : lag + own.shape[1], lag] = own
    shared = np.einsum("uyk,kl,vxl->yxuv", spread, correlation, spread, optimize=True)
    return np.asarray(shared.reshape(*shared.shape[:2], -1)[:, :, _order()])


def _order() -> npt.NDArray[np.int64]:
    down, right = np.divmod(np.arange(PATCH**2), PATCH)
    return np.asarray(np.lexsort((down, down + right)))


@cache
def _combination(size: int) -> _Matrix:
    """From the covariance between the halves of each node to the variance of each Haar coefficient, less 1."""
    nodes = _nodes(size)
    matrix = np.zeros((size, size - 1))
    matrix[0] = 2 / size
    for row, (start, half) in enumerate(nodes):
        for column, (inner, less) in enumerate(nodes):
            if start <= inner < start + 2 * half and less <= half:
                matrix[1 + row, column] = (-1 if less == half else 1) / half
    return matrix


def overlap_variance(rows: torch.Tensor, columns: torch.Tensor, shared: Overlaps) -> torch.Tensor:
    """Variance of each coefficient of groups of patches whose noise is shared.

    Of a group of n members, the Haar coefficient h over them of the patch coefficient u has the variance
    sum_ij h_i h_j R_u(p_i - p_j). Each pair of members meets in one node of the Haar tree, so sums over pairs of each
    node, of which all variances are combinations, take every pair once.

    Parameters
    ----------
    rows, columns : torch.Tensor
        (n, groups) int64, positions of the members; n is a power of 2.
    shared : Overlaps
        Of the noises.

    Returns
    -------
    torch.Tensor
        (n, groups, K, 64) for K noises.
    """
    size, groups = rows.shape
    if size == 1:
        return shared.own.expand(1, groups, -1, -1).clone()
    table, reach = shared.table.flatten(1), shared.reach
    width, sums = 2 * reach + 1, []
    for half in (2**level for level in range(size.bit_length() - 1)):
        down, right = (_apart(places, half) for places in (rows, columns))
        # R(-d) = R(d).
        place = (width * down + right).abs_()
        near = (down.abs_() <= reach) & (right.abs_() <= reach)
        bins = torch.where(near, place + reach, len(table) - 1)
        bins = bins.permute(0, 3, 1, 2).reshape(-1, half**2)
        sums.append(torch.nn.functional.embedding_bag(bins, table, mode="sum"))
    covariances = torch.cat(sums).view(size - 1, -1)
    combination = torch.from_numpy(_combination(size)).to(table)
    return (combination @ covariances).view(size, groups, *shared.own.shape).add_(shared.own)


def _apart(places: torch.Tensor, half: int) -> torch.Tensor:
    """Displacements along an axis between the halves of the nodes of a level: (nodes, half, half, groups)."""
    halves = places.view(-1, 2, half, places.shape[1])
    return halves[:, 0, :, None] - halves[:, 1, None]
