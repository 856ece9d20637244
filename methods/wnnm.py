"""WNNM (weighted nuclear norm minimisation): groups of similar patches are made matrices of low rank.

Each iteration adds back a tenth of what was removed, x += 0.1 (y - x), and then, for a grid of reference patches, puts
the n patches most like it within 30 pixels into a matrix Y (n, patch^2), less their mean patch, and shrinks its
singular values s_i(Y) by weights that are large for small ones:

    s_i = sqrt(max(s_i(Y)^2 - n sigma^2, 0)) at first, then three times   s_i = max(s_i(Y) - w_i, 0),
    w_i = 2 sqrt(2) sqrt(n) sigma^2 / (s_i + eps)

which nears the minimiser (s_i(Y) - eps + sqrt((s_i(Y) + eps)^2 - 8 sqrt(2 n) sigma^2)) / 2, or 0 where the root is
not real. The patches go back to their places and overlapping ones are averaged. sigma here is that of the reference
patch: the given one in the first iteration, then factor sqrt(|sigma^2 - mean (y - x)^2|). Groups are formed anew every
second iteration, with 10 patches fewer each time. References stand ``wide`` pixels apart, in the first six iterations
and after, on a grid that moves by half of that each time; in the ``dense`` last iterations patch // 2 - 1 pixels, and
there groups are formed anew as well. Constants by sigma in grey levels of 255:

    sigma   patch   group   iterations   factor   wide   dense
    <= 20     6       70         8        0.54     4, 4     2
    <= 40     7       90        12        0.56     6, 6     2
    <= 60     8      120        14        0.58     8, 6     1
    above     9      140        14        0.58     8, 8     2

Shapes: y (H, W, C), 0..1 scale. A gray method: colour is filtered channel by channel. Told: the noise model; sigma is
estimated from the image (Chen et al.) unless ``sigma=known``; Poisson noise of a known level goes through the Anscombe
transform. Errors: an image too small for the estimate. Cost: 6 s of one core for 256x256 in gray at sigma 25, 5 s at
50, proportional to the pixels and the channels; no network. Deterministic; in single precision.

256x256 Cameraman and House in gray (of Set12, one draw): 29.64 and 33.25 dB at sigma 25, where BM3D has 29.58 and
32.93.

The constants are those of the authors' program, which groups 10 patches fewer than its table says from the start.
Different here: the references' grid ends with one patch at each far edge; only the last groups have the program's grid,
patch // 2 - 1 pixels; and from the second groups on, of matrices of 48 rows and columns or more, 16 singular values are
found, by subspace iteration, and the others only where the 16th is not shrunk to 0. A fifth of the work, for as good a
result (docs/bm3d.md).

Source: Gu, Zhang, Zuo, Feng, Weighted Nuclear Norm Minimization with Application to Image Denoising, CVPR 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Info, Need
from denoisebench.toolbox import block_matching
from denoisebench.toolbox.block_matching import reference_grid
from denoisebench.toolbox.gaussian import FloatArray, GaussianDenoiser

RADIUS, FEEDBACK, STRENGTH, REWEIGHTINGS, REGROUP, FEWER = 30, 0.1, 2 * 2**0.5, 3, 2, 10
COARSE = 6
EPS = float(np.finfo(np.float64).eps)
# Groups shrunk at once, which keeps the work within the caches.
GROUPS = 128
# Singular vectors of a group that are looked for, if few are to be left, and products with its Gram matrix for that.
RANK, PRODUCTS = 16, 2


@dataclass(frozen=True)
class Constants:
    """What depends on sigma.

    Parameters
    ----------
    patch, group, iterations : int
        Side of a patch, patches of a group, iterations.
    factor : float
        Share of the noise that is left, by which a level is estimated.
    wide : tuple of int
        Pixels from one reference patch to the next in the first `COARSE` iterations, and from then on to the dense
        ones: even, and at most ``patch``, so that every pixel has a reference patch over it.
    dense : int
        Iterations, the last ones, with references ``step`` pixels apart: at most `REGROUP`.
    """

    patch: int
    group: int
    iterations: int
    factor: float
    wide: tuple[int, int]
    dense: int

    @property
    def step(self) -> int:
        """Pixels from one reference patch to the next in the dense iterations."""
        return self.patch // 2 - 1

    def group_at(self, iteration: int) -> int:
        """Patches of a group in an iteration, from 0."""
        return self.group - FEWER * (iteration // REGROUP + 1)


def constants_for(sigma: float) -> Constants:
    """Constants for a standard deviation in grey levels of 255."""
    if sigma <= 20:
        return Constants(6, 70, 8, 0.54, wide=(4, 4), dense=2)
    if sigma <= 40:
        return Constants(7, 90, 12, 0.56, wide=(6, 6), dense=2)
    if sigma <= 60:
        return Constants(8, 120, 14, 0.58, wide=(8, 6), dense=1)
    return Constants(9, 140, 14, 0.58, wide=(8, 8), dense=2)


@dataclass(frozen=True)
class WNNM(GaussianDenoiser):
    """Weighted nuclear norm minimisation.

    Parameters
    ----------
    sigma : str or float
        'estimate' it from the image, take the 'known' level, or the number given, in 8-bit units.
    iterations : int | None
        At most this many; none: as many as sigma asks for.
    """

    iterations: int | None = None

    name = "wnnm"
    info = Info(
        label="WNNM",
        paper="Gu, Zhang, Zuo, Feng, Weighted Nuclear Norm Minimization with Application to Image Denoising, CVPR 2014",
        bibtex=(
            "@inproceedings{gu2014weighted, title={Weighted Nuclear Norm Minimization with Application to Image "
            "Denoising}, author={Gu, Shuhang and Zhang, Lei and Zuo, Wangmeng and Feng, Xiangchu}, booktitle={CVPR}, "
            "year={2014}}"
        ),
        licence="written from the paper with the constants of the authors' program, whose code was not used",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        packages=("torch",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations is not None and self.iterations < 1:
            raise UserError(f"wnnm[iterations={self.iterations}]: the value must be none (by sigma) or at least 1.")

    def filter(self, image: FloatArray, sigma: float) -> FloatArray:
        constants = constants_for(255 * sigma)
        iterations = min(self.iterations or constants.iterations, constants.iterations)
        height, width = image.shape[:2]
        missing = [max(0, constants.patch - side) for side in (height, width)]
        padded = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
        with torch.inference_mode():
            planes = torch.from_numpy(np.ascontiguousarray(255 * padded.transpose(2, 0, 1), dtype=np.float32))
            filtered = [wnnm(plane, 255 * sigma, constants, iterations) for plane in planes]
            result = torch.stack(filtered, dim=2)[:height, :width].double() / 255
        return np.asarray(result.numpy())


def wnnm(noisy: torch.Tensor, sigma: float, constants: Constants, iterations: int) -> torch.Tensor:
    """Denoise a plane (H, W) in grey levels of 255, no side below ``constants.patch``."""
    patch, dense = constants.patch, iterations - constants.dense
    # Of an odd number of iterations the last alone is dense.
    dense += dense % constants.dense
    estimate, groups, originals = noisy, torch.empty(0), torch.empty(0)
    for iteration in range(iterations):
        estimate = estimate + FEEDBACK * (noisy - estimate)
        patches = patches_of(estimate, patch)
        if iteration % REGROUP == 0 or iteration == dense:
            if iteration >= dense:
                step, shift = constants.step, (0, 0)
            else:
                step = constants.wide[int(iteration >= COARSE)]
                shift = shift_at(iteration // REGROUP, step)
            groups = similar(estimate, patch, step, constants.group_at(iteration), shift)
            originals = patches_of(noisy, patch)[groups[:, 0]]
        if iteration == 0:
            levels = patches.new_full((len(groups),), sigma)
        else:
            removed = (originals - patches[groups[:, 0]]).square().mean(1)
            levels = constants.factor * (sigma**2 - removed).abs().sqrt()
        # A third of the singular values is left of the first groups.
        few = iteration >= REGROUP
        estimate = aggregate(patches, groups, levels, noisy.shape[0], noisy.shape[1], few)
    return estimate


def patches_of(plane: torch.Tensor, patch: int) -> torch.Tensor:
    """All patches (N, patch^2) of a plane, row by row."""
    return plane.unfold(0, patch, 1).unfold(1, patch, 1).reshape(-1, patch * patch)


def shift_at(formation: int, step: int) -> tuple[int, int]:
    """Rows and columns by which the grid of references is moved: each four formations of groups halve its step."""
    half = step // 2
    return ((0, 0), (half, half), (0, half), (half, 0))[formation % 4]


def similar(plane: torch.Tensor, patch: int, step: int, count: int, shift: tuple[int, int] = (0, 0)) -> torch.Tensor:
    """Groups (references, count) of similar patches within `RADIUS`, as indices into `patches_of`.

    The reference comes first; references are ``step`` apart, from ``shift`` on, and stand at each edge. ``count``
    shrinks to what the window in a corner of a small plane holds.
    """
    rows, columns = (side - patch + 1 for side in plane.shape)
    count = min(count, min(RADIUS + 1, rows) * min(RADIUS + 1, columns))
    # Less the mean, so that the squares, of which a small difference is taken, are small.
    features = patches_of(plane - plane.mean(), patch).view(rows, columns, -1)
    down, right = reference_grid(rows, step, shift[0]), reference_grid(columns, step, shift[1])
    return block_matching.similar(features, down, right, RADIUS, count)[1]


def aggregate(
    patches: torch.Tensor, groups: torch.Tensor, levels: torch.Tensor, height: int, width: int, few: bool = False
) -> torch.Tensor:
    """Shrink every group, put its patches back and average where they overlap.

    Parameters
    ----------
    patches : torch.Tensor
        (N, patch^2), all patches of the plane.
    groups : torch.Tensor
        (references, n), indices into them, that of the reference first.
    levels : torch.Tensor
        (references,), standard deviation of the noise in each reference patch.
    height, width : int
        Sides of the plane.
    few : bool
        Few singular values of a group are likely to be left.

    Returns
    -------
    torch.Tensor
        (height, width).
    """
    total, times = torch.zeros_like(patches), patches.new_zeros(len(patches))
    for some, level in zip(groups.split(GROUPS), levels.split(GROUPS), strict=True):
        group = patches[some]
        mean = group.mean(1, keepdim=True)
        low_rank = shrink(group.sub_(mean), level, few).add_(mean)
        total.index_add_(0, some.reshape(-1), low_rank.reshape(-1, patches.shape[1]))
        times.index_add_(0, some.reshape(-1), patches.new_ones(some.numel()))
    patch = round(patches.shape[1] ** 0.5)
    rows, columns = height - patch + 1, width - patch + 1
    total, times = total.reshape(rows, columns, patch, patch), times.reshape(rows, columns)
    plane, covered = patches.new_zeros(height, width), patches.new_zeros(height, width)
    for i in range(patch):
        for j in range(patch):
            plane[i : i + rows, j : j + columns] += total[:, :, i, j]
            covered[i : i + rows, j : j + columns] += times
    return plane / covered


def shrink(matrices: torch.Tensor, levels: torch.Tensor, few: bool = False) -> torch.Tensor:
    """Matrices (B, n, d) with shrunk singular values, for noise of standard deviation ``levels`` (B,).

    If ``few`` are likely to be left, of large matrices the first ones alone are found, nearly; where the last of those
    is not shrunk to 0 there may be more, and such a matrix is decomposed in full.
    """
    # The eigenvectors of the smaller Gram matrix cost a fraction of a singular value decomposition. What squaring
    # loses of the digits lies far below the noise.
    count, length = matrices.shape[1:]
    turned = matrices.mT
    gram = matrices @ turned if count < length else turned @ matrices
    few = few and min(count, length) >= 3 * RANK
    values, vectors = leading(gram) if few else torch.linalg.eigh(gram)
    singular = values.clamp(min=0).sqrt()
    left = shrunk(singular, count, levels[:, None])
    scaled = vectors * (left / singular.clamp(min=EPS))[:, None, :]
    if not few:
        projection = scaled @ vectors.mT
        return projection @ matrices if count < length else matrices @ projection
    result = scaled @ (vectors.mT @ matrices) if count < length else matrices @ scaled @ vectors.mT
    more = (left[:, 0] > 0).nonzero().view(-1)
    if len(more):
        result[more] = shrink(matrices[more], levels[more])
    return result


def leading(gram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The `RANK` largest eigenvalues (B, RANK) of matrices (B, m, m), rising, and eigenvectors, by subspace iteration.

    Near to them where the next eigenvalue is much smaller; an eigenvalue is never too large.
    """
    start = torch.randn(gram.shape[1], RANK, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = gram @ start.to(gram)
    for _ in range(PRODUCTS):
        basis = gram @ torch.linalg.qr(basis).Q
    basis = torch.linalg.qr(basis).Q
    values, vectors = torch.linalg.eigh(basis.mT @ gram @ basis)
    return values, basis @ vectors


def shrunk(singular: torch.Tensor, count: int, level: torch.Tensor) -> torch.Tensor:
    """Singular values after reweighted soft thresholding, for groups of ``count`` patches."""
    estimate = (singular.square() - count * level**2).clamp(min=0).sqrt()
    weight = STRENGTH * count**0.5 * level**2
    for _ in range(REWEIGHTINGS):
        estimate = (singular - weight / (estimate + EPS)).clamp(min=0)
    return estimate
