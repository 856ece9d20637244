"""BM3D and CBM3D in torch, written from the papers. See `docs/bm3d.md` for the formulas and what differs.

Two stages. Each takes reference patches 8x8 on a grid of 3 pixels, finds similar patches (`block_matching`), transforms
patch and group, shrinks, transforms back and averages overlapping estimates with weights.

    stage 1, hard threshold:  c' = c where c^2 > (lambda s)^2 v,  else 0;     weight 1 / sum of v where c' is not 0
    stage 2, Wiener:          c' = c b^2 / (b^2 + mu s^2),                    weight 1 / sum of (b^2 / (b^2 + mu s^2))^2

Patches whose distance noise alone explains are equally similar: the nearest of them would be those with the same noise,
which a group then keeps. Which of them a group takes is in no order (`Profile.alike`).

c: coefficient of the noisy group, b: of the first estimate, s: standard deviation of the noise, v: variance that noise
of variance 1 has in the coefficient (Makinen et al. 2020): of white noise 1 unless patches overlap, of correlated noise
what its autocovariance says, in the second stage too, mu s^2 v. The mean of a group is kept. What is compared of
patches is divided by the standard deviation of its noise.

Colour: an orthonormal opponent transform; groups are found on its first channel, luminance, and used for all.

The image is worked on block by block; the sum of the blocks does not depend on how many threads share them.

Sources: Dabov, Foi, Katkovnik, Egiazarian, Image Denoising by Sparse 3-D Transform-Domain Collaborative Filtering,
IEEE TIP 2007, doi:10.1109/TIP.2007.901238; Color Image Denoising via Sparse 3D Collaborative Filtering with Grouping
Constraint in Luminance-Chrominance Space, ICIP 2007, doi:10.1109/ICIP.2007.4378954; Makinen, Azzari, Foi, Collaborative
Filtering of Correlated Noise, IEEE TIP 2020, doi:10.1109/TIP.2020.3014721; Lebrun, An Analysis and Implementation of
the BM3D Image Denoising Method, IPOL 2012, doi:10.5201/ipol.2012.l-bm3d.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.toolbox.autocovariance import Autocovariance, spectrum
from denoisebench.toolbox.block_matching import reference_grid, similar
from denoisebench.toolbox.bm3d_transforms import (
    PATCH,
    Overlaps,
    dct_matrix,
    haar_matrix,
    overlap_variance,
    overlaps,
    patch_matrix,
    wavelet_matrix,
)

FloatArray = npt.NDArray[np.float64]

#: Luminance, and two differences of colours. Orthonormal, so that noise of equal level in all channels stays white.
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])

# Noise above this, in grey levels of 255, is scaled down to it with the image, and the limits of similarity end there.
_STRONGEST = 100.0
# References of a block along each side, at most, and patches that are shrunk at once.
_BLOCK, _AT_ONCE = (96, 64), 2048
# Least level of a channel, over that of the noisiest, and least power of correlated noise, over its mean: nothing is
# divided by 0, and no weight is out of all proportion.
# Least variance of a coefficient that is compared, over the mean. Correlation that counts as none.
_FAINTEST, _LEAST_POWER, _LEAST_COMPARED, _NONE = 1e-4, 1e-3, 0.02, 1e-9
# Rows of an image in double precision at once; and pixels between the patches whose coefficients are looked at.
_BAND, _SAMPLED = 256, 3


@dataclass(frozen=True)
class Profile:
    """Constants of BM3D. Lengths in pixels, similarity in squared grey levels of 255 per pixel.

    Parameters
    ----------
    step, radius : int
        Pixels between references, and reach of the window around each.
    groups : tuple of int
        Most patches of a group in each stage, powers of 2.
    compared : tuple of int
        Discrete cosine coefficients of a patch, of 64, that are compared in each stage.
    weak : float
        Share c of the mean square c s^2, noise aside, below which a coefficient is compared for its low frequency only.
    threshold : float
        Lambda of the hard threshold.
    wiener : tuple of float
        Mu of the Wiener filter, for gray or luminance, and for the other channels.
    similar : tuple of tuple of float
        For each stage a and b of the largest mean squared difference a + b s^2 from the reference in a group.
    alike : tuple of float
        For each stage c of the mean squared difference c s^2 below which patches count as equally similar.
    kaiser : float
        Beta of the Kaiser window that weights the pixels of a patch.
    """

    step: int = 3
    radius: int = 19
    groups: tuple[int, int] = (16, 32)
    compared: tuple[int, int] = (32, 16)
    weak: float = 0.1
    threshold: float = 2.7
    wiener: tuple[float, float] = (0.68, 1.0)
    similar: tuple[tuple[float, float], tuple[float, float]] = ((1700.0, 3.7), (500.0, 0.25))
    alike: tuple[float, float] = (0.85, 0.011)
    kaiser: float = 2.0


GRAY = Profile()
COLOUR = Profile(groups=(16, 16), wiener=(0.65, 0.9), similar=((3000.0, 4.8), (1600.0, 2.0)), alike=(0.85, 0.04))


def bm3d(
    image: FloatArray,
    noise: float | Sequence[float] | Autocovariance,
    threads: int = 1,
    profile: Profile | None = None,
) -> FloatArray:
    """Remove Gaussian noise from an image by BM3D, of three channels by CBM3D.

    Parameters
    ----------
    image : FloatArray
        (H, W, C) of about 0..1. Channels of an image that has not three are filtered one by one.
    noise : float, sequence of float or Autocovariance
        Standard deviation of white noise on the same scale, one for all channels or one each, 0: no noise. Or the
        autocovariance of correlated noise.
    threads : int
        Processor threads; the result is the same to the last bit.
    profile : Profile, optional
        Constants; those for gray or for colour if omitted.

    Returns
    -------
    FloatArray
        (H, W, C), not clipped.

    Raises
    ------
    UserError
        The image or the level is not finite, the level is negative, or the autocovariance is of other channels.
    """
    channels = image.shape[2]
    if not np.isfinite(image).all():
        raise UserError("BM3D: the image holds values that are NaN or infinite; replace them first.")
    if channels == 3:
        found = _noise_in(noise, OPPONENT)
        return _filter(image, OPPONENT, found, threads, profile or COLOUR) if found.levels.any() else image
    parts = []
    for channel, own in enumerate(np.eye(channels)[:, None]):
        plane, found = image[:, :, [channel]], _noise_in(noise, own)
        parts.append(_filter(plane, np.eye(1), found, threads, profile or GRAY) if found.levels.any() else plane)
    return np.concatenate(parts, axis=2)


@dataclass(frozen=True)
class _Noise:
    """Noise of the channels that are filtered: their levels (C,), and correlations of 1 at displacement 0, one or C."""

    levels: FloatArray
    correlations: Sequence[FloatArray]


def _noise_in(noise: float | Sequence[float] | Autocovariance, basis: FloatArray) -> _Noise:
    """The noise in combinations (K, C) of channels."""
    if isinstance(noise, Autocovariance):
        if noise.values.shape[2] != basis.shape[1]:
            raise UserError(f"BM3D: the noise is of {noise.values.shape[2]} channels, the image of {basis.shape[1]}.")
        return _correlated(noise.of_combinations(basis))
    levels = np.broadcast_to(np.asarray(noise, dtype=np.float64), basis.shape[1:])
    if not (np.isfinite(levels).all() and (levels >= 0).all()):
        raise UserError(f"BM3D: the noise level {noise} must be finite and 0 or more.")
    levels = np.sqrt(basis**2 @ levels**2)
    return _Noise(np.maximum(levels, _FAINTEST * levels.max()), [np.ones((1, 1))])


def _correlated(covariances: Sequence[FloatArray]) -> _Noise:
    reach = len(covariances[0]) // 2
    powers = np.array([one[reach, reach] for one in covariances])
    least = _FAINTEST**2 * powers.max()
    correlations = []
    for power, one in zip(powers, covariances, strict=True):
        own = one / power if power > least else np.zeros_like(one)
        own[reach, reach] = 1
        # Where the spectrum is 0, or below, as one that was measured may be, a little white noise is added.
        lift = max(0.0, _LEAST_POWER - float(spectrum(own).min()))
        own[reach, reach] += lift
        correlations.append(_cropped(own / (1 + lift)))
    first = correlations[0]
    alike = all(one.shape == first.shape and np.allclose(one, first, rtol=0, atol=_NONE) for one in correlations)
    return _Noise(np.sqrt(np.maximum(powers, least)), correlations[:1] if alike else correlations)


def _cropped(correlation: FloatArray) -> FloatArray:
    """Without the margin of zeros; white noise is [[1]]."""
    reach = len(correlation) // 2
    apart = np.abs(np.argwhere(np.abs(correlation) > _NONE) - reach).max()
    return correlation[reach - apart : reach + apart + 1, reach - apart : reach + apart + 1]


def _filter(image: FloatArray, basis: FloatArray, noise: _Noise, threads: int, profile: Profile) -> FloatArray:
    """Filter an image in the channels of an orthonormal basis (C, C), with groups that are found on the first."""
    scale = min(255.0, _STRONGEST / float(noise.levels.max()))
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # blocks are shared out instead, and no sum depends on how
    try:
        with torch.inference_mode():
            noisy = _planes(image, scale, basis)
            variances = torch.from_numpy((scale * noise.levels) ** 2).to(noisy)
            found = variances, noise.correlations
            first = _stage(_threshold_stage(*found, profile, noisy[0]), noisy, None, threads)
            second = _stage(_wiener_stage(*found, profile, first[0]), noisy, first, threads)
            del noisy, first
            result = np.empty_like(image, order="C")
            for top in range(0, len(image), _BAND):
                planes = second[:, top : top + _BAND, : image.shape[1]].double().numpy() / scale
                band = result[top : top + _BAND]
                band[:] = np.tensordot(planes, basis, axes=(0, 0))[: len(band)]
    finally:
        torch.set_num_threads(before)
    return result


def _planes(image: FloatArray, scale: float, basis: FloatArray) -> torch.Tensor:
    """Planes (C, H, W) of an image (H, W, C), no side below that of a patch, in float32 and in the basis."""
    height, width, channels = image.shape
    planes = np.empty((channels, height, width), dtype=np.float32)
    for top in range(0, height, _BAND):
        band = slice(top, top + _BAND)
        planes[:, band] = scale * np.tensordot(basis, image[band], axes=(1, 2))
    missing = [max(0, PATCH - side) for side in (height, width)]
    if any(missing):
        planes = np.pad(planes, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
    return torch.from_numpy(planes)


# --- a stage ---


@dataclass(frozen=True)
class _Compared:
    """What is compared of patches of the first channel.

    Parameters
    ----------
    indices : torch.Tensor
        Of the cosine coefficients, rising.
    weights : torch.Tensor
        Of each, so that all have the mean variance of the noise.
    noise : float
        That variance.
    """

    indices: torch.Tensor
    weights: torch.Tensor
    noise: float


@dataclass(frozen=True)
class _Stage:
    """What a stage needs beside the images.

    Parameters
    ----------
    forward, backward : torch.Tensor
        (64, 64), transform of a patch, and its inverse times the Kaiser window.
    compared : _Compared
        What is compared of patches; of the pilot if there is one.
    limit : float
        Largest squared difference of the compared within a group.
    floor : torch.Tensor
        (window, window), squared difference up to which a patch at this displacement is as similar as any.
    group : int
        Most patches of a group.
    shrink : callable
        From indices (n, groups) of the members, their rows and columns, and the tables of the noisy and the pilot
        patches to shrunk patches (n, groups, C, 64) and weights (groups, C).
    """

    forward: torch.Tensor
    backward: torch.Tensor
    compared: _Compared
    limit: float
    floor: torch.Tensor
    group: int
    profile: Profile
    shrink: Callable[..., tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class _Block:
    """References of a block, and the positions of patches in their reach."""

    rows: Sequence[int]
    columns: Sequence[int]
    top: int
    bottom: int
    left: int
    right: int

    def pixels(self, planes: torch.Tensor) -> torch.Tensor:
        """The pixels of those patches."""
        return planes[:, self.top : self.bottom + PATCH - 1, self.left : self.right + PATCH - 1]


def _make_stage(
    number: int,
    along: FloatArray,
    compared: _Compared,
    profile: Profile,
    shrink: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    like: torch.Tensor,
) -> _Stage:
    forward = patch_matrix(along)
    kaiser = np.kaiser(PATCH, profile.kaiser)
    backward = np.outer(kaiser, kaiser).reshape(-1, 1) * np.linalg.inv(forward)
    constant, slope = profile.similar[number]
    alike = PATCH**2 * profile.alike[number] * compared.noise
    return _Stage(
        forward=torch.from_numpy(forward).to(like),
        backward=torch.from_numpy(backward).to(like),
        compared=compared,
        limit=PATCH**2 * (constant + slope * compared.noise),
        floor=torch.from_numpy(alike * _shuffled(2 * profile.radius + 1)).to(like),
        group=profile.groups[number],
        profile=profile,
        shrink=shrink,
    )


def _shuffled(window: int) -> FloatArray:
    """Numbers just above 1 in no order, one for each displacement: which of equally similar patches come first."""
    order = np.random.default_rng(0).permutation(window**2)
    return np.asarray(1 + 0.003 * order / window**2).reshape(window, window)


def _threshold_stage(
    variances: torch.Tensor, correlations: Sequence[FloatArray], profile: Profile, plane: torch.Tensor
) -> _Stage:
    along, noise = wavelet_matrix(), _of_cosines(variances, correlations)
    shared = overlaps(along, correlations, variances)
    shrink = partial(_threshold, variances, shared, profile.threshold**2)
    compared = _telling(plane, profile.compared[0], noise, profile.weak, noisy=True)
    return _make_stage(0, along, compared, profile, shrink, variances)


def _wiener_stage(
    variances: torch.Tensor, correlations: Sequence[FloatArray], profile: Profile, pilot: torch.Tensor
) -> _Stage:
    first, other = profile.wiener
    factors = variances.new_tensor([first] + [other] * (len(variances) - 1))
    # Patches that overlap share white noise too, but to count it loses 0.02 dB here.
    is_white = all(len(one) == 1 for one in correlations)
    shared = None if is_white else overlaps(dct_matrix(), correlations, variances)
    compared = _telling(pilot, profile.compared[1], _of_cosines(variances, correlations), profile.weak, noisy=False)
    return _make_stage(1, dct_matrix(), compared, profile, partial(_wiener, variances * factors, shared), variances)


def _of_cosines(variances: torch.Tensor, correlations: Sequence[FloatArray]) -> torch.Tensor:
    """Variance (64,) of the noise of the first channel in each cosine coefficient of a patch."""
    return variances[0].double() * overlaps(dct_matrix(), correlations[:1], variances).own[0].double()


def _telling(plane: torch.Tensor, count: int, noise: torch.Tensor, weak: float, noisy: bool) -> _Compared:
    """The cosine coefficients by which patches of a plane (H, W) are told apart.

    Those with the largest mean square over the plane, less the variance of the noise if it is ``noisy``; of those that
    hold less than a share ``weak`` of the mean variance the ones of lowest frequency. Fine regular texture has all its
    energy in coefficients of high frequency.
    """
    transform = torch.from_numpy(patch_matrix(dct_matrix())).to(plane)
    energy, patches = torch.zeros(PATCH**2, dtype=torch.float64), 0
    for top in range(0, len(plane) - PATCH + 1, _BAND):
        band = plane[top : top + _BAND + PATCH - 1]
        some = band.unfold(0, PATCH, _SAMPLED).unfold(1, PATCH, _SAMPLED).reshape(-1, PATCH**2)
        energy += (some @ transform.T).square_().sum(0).cpu()
        patches += len(some)
    noise = noise.cpu()
    strength = (energy / patches - (noise if noisy else 0.0)).clamp_(min=weak * float(noise.mean()))
    chosen = strength.argsort(descending=True, stable=True)[:count].sort().values
    mean = float(noise[chosen].mean())
    weights = (mean / noise[chosen].clamp(min=_LEAST_COMPARED * mean)).sqrt()
    return _Compared(chosen.to(plane.device), weights.to(plane), mean)


def _stage(stage: _Stage, noisy: torch.Tensor, pilot: torch.Tensor | None, threads: int) -> torch.Tensor:
    """Estimate planes (C, H, W) from noisy ones, in the second stage with the first estimate and in their place."""
    estimate = torch.empty_like(noisy) if pilot is None else noisy
    blocks = list(_blocks(noisy.shape[1] - PATCH + 1, noisy.shape[2] - PATCH + 1, stage.profile))
    spaces = threading.local()

    def work(block: _Block) -> tuple[torch.Tensor, torch.Tensor]:
        if not hasattr(spaces, "own"):
            spaces.own = _Workspace(noisy)
        with torch.inference_mode():
            return _filter_block(stage, noisy, pilot, block, spaces.own)

    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        done = pool.map(work, blocks) if threads > 1 else map(work, blocks)
        # Sums of estimates and of weights are kept for one row of blocks, from `start` on: no later block adds to a
        # pixel above it, or reads one.
        start, tallest = 0, max(block.bottom - block.top for block in blocks) + PATCH - 1
        sums = noisy.new_zeros(2, len(noisy), tallest, noisy.shape[2])
        for block, parts in zip(blocks, done, strict=True):
            if block.top > start:
                ready = block.top - start
                estimate[:, start : block.top] = sums[0, :, :ready] / sums[1, :, :ready]
                sums = torch.cat([sums[:, :, ready:], torch.zeros_like(sums[:, :, :ready])], dim=2)
                start = block.top
            for one, part in zip(sums, parts, strict=True):
                one[:, : part.shape[1], block.left : block.left + part.shape[2]].add_(part)
        left = noisy.shape[1] - start
        estimate[:, start:] = sums[0, :, :left] / sums[1, :, :left]
    return estimate


def _blocks(rows: int, columns: int, profile: Profile) -> Iterator[_Block]:
    for down in _runs(reference_grid(rows, profile.step), _BLOCK[0]):
        top, bottom = max(0, down[0] - profile.radius), min(rows, down[-1] + profile.radius + 1)
        for right in _runs(reference_grid(columns, profile.step), _BLOCK[1]):
            left, end = max(0, right[0] - profile.radius), min(columns, right[-1] + profile.radius + 1)
            yield _Block(down, right, top, bottom, left, end)


def _runs(places: Sequence[int], most: int) -> list[Sequence[int]]:
    """Parts of about equal length, in fours, the last part aside."""
    count = -(-len(places) // most)
    length = -(-len(places) // (4 * count)) * 4
    return [places[start : start + length] for start in range(0, len(places), length)]


class _Workspace:
    """Memory that one thread uses again for the next block: fresh pages cost as much as what is computed in them."""

    def __init__(self, like: torch.Tensor) -> None:
        self._like, self._known = like, dict[str, torch.Tensor]()

    def get(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor of any content, the memory of which belongs to the name."""
        size, known = math.prod(shape), self._known.get(name)
        if known is None or len(known) < size:
            known = self._known[name] = self._like.new_empty(size)
        return known[:size].view(shape)


def _filter_block(
    stage: _Stage, noisy: torch.Tensor, pilot: torch.Tensor | None, block: _Block, space: _Workspace
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sum of the estimates of a block's groups, and sum of the weights: (C, Y, X) each."""
    down, right = block.bottom - block.top, block.right - block.left
    tables = [
        _table(block.pixels(planes), stage.forward, space, name)
        for planes, name in ((noisy, "noisy"), (pilot, "pilot"))
        if planes is not None
    ]
    compared = stage.compared
    if pilot is not None:
        features = tables[1][:, 0].index_select(1, compared.indices).mul_(compared.weights).view(down, right, -1)
    else:  # from the pixels of the last plane of the table, which is the first channel
        cosines = torch.from_numpy(patch_matrix(dct_matrix())).to(noisy).index_select(0, compared.indices)
        cosines.mul_(compared.weights[:, None])
        features = (space.get("patches", down * right, PATCH**2) @ cosines.T).view(down, right, -1)
    rows, columns = [y - block.top for y in block.rows], [x - block.left for x in block.columns]
    distances, indices = similar(features, rows, columns, stage.profile.radius, stage.group, stage.floor)
    total = space.get("total", *tables[0].shape).zero_()
    weight = total.new_zeros(total.shape[:2])
    for members in _groups(distances, indices, stage.limit):
        shrunk, share = stage.shrink(members, members // right, members % right, tables)
        shrunk *= share[:, :, None]
        flat = members.view(-1)
        total.index_add_(0, flat, shrunk.view(len(flat), *total.shape[1:]))
        weight.index_add_(0, flat, share.expand(len(members), -1, -1).reshape(len(flat), -1))
    return _fold(total, stage.backward, down, right, space), _spread(weight.view(down, right, -1), stage.profile)


def _table(pixels: torch.Tensor, forward: torch.Tensor, space: _Workspace, name: str) -> torch.Tensor:
    """Transforms (positions, C, 64) of all patches of planes (C, Y, X), the first plane last."""
    down, right = (side - PATCH + 1 for side in pixels.shape[1:])
    table = space.get(name, down * right, len(pixels), PATCH**2)
    patches = space.get("patches", down, right, PATCH, PATCH)
    for channel in reversed(range(len(pixels))):
        patches.copy_(pixels[channel].unfold(0, PATCH, 1).unfold(1, PATCH, 1))
        torch.mm(patches.view(down * right, -1), forward.T, out=table[:, channel])
    return table


def _groups(distances: torch.Tensor, indices: torch.Tensor, limit: float) -> Iterator[torch.Tensor]:
    """Members (n, groups) of groups of equal size, a power of 2: those whose distance is within the limit."""
    within = (distances <= limit).sum(1)
    size = distances.shape[1]
    remaining = torch.ones_like(within, dtype=torch.bool)
    while size:
        chosen = remaining & (within >= size)
        remaining &= ~chosen
        for some in chosen.nonzero().view(-1).split(_AT_ONCE // size):
            if len(some):
                yield indices[some, :size].T.contiguous()
        size //= 2


def _threshold(
    variances: torch.Tensor,
    shared: Overlaps,
    factor: float,
    members: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    tables: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    size, groups = members.shape
    haar = torch.from_numpy(haar_matrix(size)).to(variances)
    coefficients = _transformed(haar, tables[0], members).view(size, groups, len(variances), -1)
    noise = overlap_variance(rows, columns, shared) * variances[:, None]
    kept = (coefficients.square() > factor * noise).to(noise)
    kept[0, :, :, 0] = 1
    coefficients *= kept
    share = noise.mul_(kept).sum((0, 3)).reciprocal_()
    return (haar.T @ coefficients.view(size, -1)).view(coefficients.shape), share


def _wiener(
    variances: torch.Tensor,
    shared: Overlaps | None,
    members: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    tables: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    size, groups = members.shape
    haar = torch.from_numpy(haar_matrix(size)).to(variances)
    noise = variances[:, None] if shared is None else overlap_variance(rows, columns, shared) * variances[:, None]
    power = _transformed(haar, tables[1], members).square_().view(size, groups, len(variances), -1)
    gain = power.div_(power + noise)
    gain[0, :, :, 0] = 1
    coefficients = _transformed(haar, tables[0], members).view(gain.shape).mul_(gain)
    share = gain.square_().sum((0, 3)).reciprocal_()
    return (haar.T @ coefficients.view(size, -1)).view(coefficients.shape), share


def _transformed(haar: torch.Tensor, table: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    return haar @ table.index_select(0, members.view(-1)).view(len(members), -1)


def _fold(coefficients: torch.Tensor, backward: torch.Tensor, down: int, right: int, space: _Workspace) -> torch.Tensor:
    """Transform patches (positions, C, 64) back and add them up where they overlap: (C, Y + 7, X + 7)."""
    planes = coefficients.new_zeros(coefficients.shape[1], down + PATCH - 1, right + PATCH - 1)
    pixels = space.get("patches", PATCH, PATCH, down, right)
    for channel, plane in enumerate(planes):
        torch.mm(backward, coefficients[:, channel].T, out=pixels.view(PATCH**2, -1))
        for i in range(PATCH):
            for j in range(PATCH):
                plane[i : i + down, j : j + right] += pixels[i, j]
    return planes


def _spread(weights: torch.Tensor, profile: Profile) -> torch.Tensor:
    """Weights (Y, X, C) of patches on their pixels: (C, Y + 7, X + 7)."""
    kaiser = np.kaiser(PATCH, profile.kaiser)
    down, right, channels = weights.shape
    tall = weights.new_zeros(channels, down + PATCH - 1, right)
    planes = weights.new_zeros(channels, down + PATCH - 1, right + PATCH - 1)
    for i, factor in enumerate(kaiser):
        tall[:, i : i + down].add_(weights.permute(2, 0, 1), alpha=float(factor))
    for i, factor in enumerate(kaiser):
        planes[:, :, i : i + right].add_(tall, alpha=float(factor))
    return planes
