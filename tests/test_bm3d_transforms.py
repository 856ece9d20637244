"""The transforms of BM3D: against scipy and PyWavelets' published filters, and against simulated noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch

from denoisebench.toolbox.bm3d_transforms import (
    PATCH,
    dct_matrix,
    haar_matrix,
    overlap_variance,
    overlaps,
    patch_matrix,
    wavelet_matrix,
)

NOISES = {
    "white": np.ones((1, 1)),
    "along one diagonal": np.array([[0.1, 0, -0.2], [0, 1, 0], [-0.2, 0, 0.1]]),
    "along rows": np.outer([0, 0, 1, 0, 0], [0.2, 0.6, 1, 0.6, 0.2]),
}


def test_cosine_transform_is_that_of_scipy() -> None:
    signal = np.random.default_rng(0).normal(size=PATCH)
    np.testing.assert_allclose(dct_matrix() @ signal, scipy.fft.dct(signal, norm="ortho"), atol=1e-12)


def test_wavelet_rows_have_unit_length_and_see_no_constant() -> None:
    matrix = wavelet_matrix()
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1)
    np.testing.assert_allclose(matrix @ np.ones(PATCH), [8**0.5, *[0] * 7], atol=1e-12)
    assert np.linalg.cond(matrix) < 3


def test_wavelet_of_the_finest_level_has_the_published_filter() -> None:
    # High-pass: two taps. Low-pass: ten, wrapped round 8 pixels.
    matrix = wavelet_matrix()
    for row, place in zip(matrix[4:], range(0, PATCH, 2), strict=True):
        assert np.flatnonzero(np.abs(row) > 1e-12).tolist() == [place, place + 1]
    low = np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3])
    level = np.zeros((4, PATCH))
    for row in range(4):
        for tap in range(10):
            level[row, (2 * row + tap - 4) % PATCH] += low[tap]
    # The coarser levels see nothing but the low-pass of the finest.
    coarse = np.linalg.lstsq(level.T, matrix[:4].T, rcond=None)[0]
    np.testing.assert_allclose(level.T @ coarse, matrix[:4].T, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32])
def test_haar_is_orthonormal_and_the_mean_comes_first(size: int) -> None:
    matrix = haar_matrix(size)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    np.testing.assert_allclose(matrix[0], size**-0.5)


@pytest.mark.parametrize("along", [dct_matrix, wavelet_matrix])
def test_coefficients_of_a_patch_rise_in_frequency(along: Callable[[], np.ndarray]) -> None:
    matrix = patch_matrix(along())
    np.testing.assert_allclose(matrix[0], 1 / PATCH)
    assert np.linalg.matrix_rank(matrix) == PATCH**2
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("correlations", [["white"], ["along one diagonal"], ["white", "along rows"]])
def test_variance_of_patches_that_share_noise_is_that_of_the_sum_of_their_pixels(
    size: int, correlations: list[str]
) -> None:
    rng = np.random.default_rng(size)
    rows, columns = rng.integers(0, 14, (2, size, 5))
    along = wavelet_matrix()
    shared = overlaps(along, [NOISES[name] for name in correlations], torch.zeros(1, dtype=torch.float64))
    found = overlap_variance(torch.from_numpy(rows), torch.from_numpy(columns), shared).numpy()
    assert found.shape == (size, 5, len(correlations), PATCH**2)
    haar, patch = haar_matrix(size), patch_matrix(along).reshape(-1, PATCH, PATCH)
    for group in range(5):
        # Each coefficient as a linear function of the pixels, whose noise is correlated.
        weights = np.zeros((size, PATCH**2, 24, 24))
        for member in range(size):
            y, x = rows[member, group], columns[member, group]
            weights[:, :, y : y + PATCH, x : x + PATCH] += haar[:, member, None, None, None] * patch
        for number, name in enumerate(correlations):
            spread = scipy.ndimage.convolve(weights, NOISES[name][None, None], mode="constant")
            np.testing.assert_allclose(found[:, group, number], np.sum(weights * spread, axis=(2, 3)), atol=1e-9)


def test_noise_of_one_patch() -> None:
    shared = overlaps(dct_matrix(), list(NOISES.values()), torch.zeros(1, dtype=torch.float64))
    np.testing.assert_allclose(shared.own[0], 1)
    # The lowest coefficient of noise along rows: the sum of its autocovariance, but for pairs beyond the edges.
    assert shared.own[2, 0] == pytest.approx(1 + 2 * (0.6 * 7 + 0.2 * 6) / 8)
    assert shared.own[2].mean() == pytest.approx(1), "an orthonormal transform keeps the variance in the mean"
