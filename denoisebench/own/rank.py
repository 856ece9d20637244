"""Which of some methods does best on an image of which nobody has a clean copy, and how far that can be known.

Three estimates of the mean squared error, none of which looks at a clean image. y is the noisy image, f(y) a result,
v(y) the variance of its noise, all on the scale black = 0, white = 1.

captures    mean (f(y1) - y2)^2 - mean (y1 - y2)^2 / 2, over pairs of captures of one view: unbiased, whatever the
            noise, as long as it is independent between captures and the view stands still. uMSE of A. Marcos Morales
            et al., Evaluating unsupervised denoising requires unsupervised metrics, ICML 2023.
sure        mean (f(y) - y)^2 - mean v + 2 mean b v (f(y + e b) - f(y)) / e, b random signs: for independent noise of
            known variance. C. Stein 1981; S. Ramani, T. Blu, M. Unser, Monte-Carlo SURE, IEEE TIP 2008; for noise that
            grows with the signal to first order, Y. Le Montagner, E. Angelini, J.-C. Olivo-Marin, IEEE TIP 2014.
heldout     mean over hidden pixels of (f(y with them replaced by the mean of their neighbours) - y)^2 - v: for noise
            that is independent between pixels. J. Batson, L. Royer, Noise2Self, ICML 2019. It scores f as it does
            without the pixel itself, which is worse than f, more so for methods that lean on single pixels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.own.denoise import Filter, Request, as_filter, noise_variance
from denoisebench.own.diagnose import CORRELATED, diagnose
from denoisebench.own.scale import Scale, finite, parse_range, scale_of
from denoisebench.own.stack import Layout, Stack, layout_of
from denoisebench.plugins.method import Method
from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.flat import noise_correlation

FloatArray = npt.NDArray[np.float64]

ESTIMATES = ("captures", "sure", "heldout")
# Hidden pixels lie on a grid of this step; so many of its positions are tried.
_GRID, _HIDDEN = 4, 4
# Perturbation for the divergence, in standard deviations.
_EPSILON = 0.1
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
    result : (H, W, C) float32 or None
        Of the method on the first image as it is, where the estimate needed it.
    """

    mse: float
    error: float
    blocks: FloatArray
    seconds: float
    result: FloatImage | None = None

    @property
    def psnr(self) -> float:
        """In dB; infinite where the estimate is not above 0."""
        return -10 * math.log10(self.mse) if self.mse > 0 else math.inf

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, in dB."""
        low, high = self.mse - 1.96 * self.error, self.mse + 1.96 * self.error
        return -10 * math.log10(high) if high > 0 else math.inf, -10 * math.log10(low) if low > 0 else math.inf


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
        results += [] if number else [result]
        maps.append(np.square(_wide(result) - other) - np.square(_wide(capture) - other) / 2)
    return _estimate(np.mean(maps, axis=0), (time.perf_counter() - start) / len(captures), results[0])


def from_sure(method: Filter, noisy: FloatImage, variance: FloatImage, rng: np.random.Generator) -> Estimate:
    """Stein's unbiased risk estimate, its divergence by one random perturbation.

    Parameters
    ----------
    noisy, variance : (H, W, C) float
        The image, and the variance of its noise.
    rng : np.random.Generator
        For the perturbation.
    """
    signs = rng.choice(np.array([-1.0, 1.0]), noisy.shape)
    step = _EPSILON * float(np.sqrt(np.mean(variance)))
    if step <= 0:
        raise UserError("it has no noise to speak of.")
    start = time.perf_counter()
    result = method(noisy.copy())
    seconds = time.perf_counter() - start
    wide = _wide(result)
    moved = _wide(method((noisy + step * signs).astype(np.float32)))
    divergence = signs * variance * (moved - wide) / step
    return _estimate(np.square(wide - noisy) - variance + 2 * divergence, seconds, result)


def from_heldout(method: Filter, noisy: FloatImage, variance: FloatImage, rng: np.random.Generator) -> Estimate:
    """How well hidden pixels are foretold.

    Parameters
    ----------
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
    return _estimate(np.where(seen, total, np.nan), (time.perf_counter() - start) / _HIDDEN)


def difference(first: Estimate, second: Estimate) -> tuple[float, float]:
    """How much smaller the error of the second is, with the standard error of that, block by block."""
    gaps = first.blocks - second.blocks
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps))) if len(gaps) > 1 else math.inf


def _wide(image: npt.NDArray[np.floating]) -> FloatArray:
    return np.asarray(image, dtype=np.float64)


def _estimate(errors: FloatArray, seconds: float, result: FloatImage | None = None) -> Estimate:
    """From the error in every pixel, not-a-number where it was not measured."""
    rows, columns = (max(1, side // _BLOCK) for side in errors.shape[:2])
    cut = [np.array_split(line, columns, axis=1) for line in np.array_split(errors, rows, axis=0)]
    blocks = np.array([np.nanmean(block) for line in cut for block in line])
    spread = blocks.std(ddof=1) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.inf
    return Estimate(float(np.nanmean(errors)), float(spread), blocks, seconds, result)


@dataclass(frozen=True)
class Ranked:
    """A method on one image.

    Parameters
    ----------
    text : str
        The method, with settings; 'noisy input' for none.
    estimate : Estimate or None
        Its score; None where it failed.
    kept : float
        Largest correlation of neighbouring pixels in image minus result: far from 0, noise stayed or signal went.
    problem : str
        Why it has no score.
    """

    text: str
    estimate: Estimate | None
    kept: float = math.nan
    problem: str = ""


@dataclass(frozen=True)
class Ranking:
    """Methods on one image, the best first.

    Parameters
    ----------
    by : str
        One of `ESTIMATES`.
    noise : str
        What the noise was taken to be.
    methods : sequence of Ranked
        Best first, those without a score last.
    doubts : sequence of str
        What speaks against the order.
    """

    by: str
    noise: str
    methods: Sequence[Ranked]
    doubts: Sequence[str]

    @property
    def verdict(self) -> str:
        """One sentence: what to take, and what cannot be told from it."""
        scored = [one for one in self.methods if one.estimate is not None]
        if len(scored) < 2:
            return "Nothing to recommend: no method has a score."
        best, first = scored[0], scored[0].estimate
        assert first is not None
        if best.text == INPUT:
            return "None of them does better than the noisy image itself, as far as this tells: leave it as it is."
        close = []
        for other in scored[1:]:
            assert other.estimate is not None
            gap, error = difference(other.estimate, first)
            if gap < 1.96 * error:
                close.append(other.text)
        alike = f", but {', '.join(close)} cannot be told apart from it" if close else ", and by more than chance"
        return f"Take {best.text}: it is best here{alike}."


INPUT = "noisy input"


def rank_file(
    stack: Stack, methods: Sequence[Method], request: Request, captures: str | None, by: str, side: int
) -> Ranking:
    """Rank methods on one image, or on captures of one view.

    Parameters
    ----------
    stack : Stack
        The file.
    methods : sequence of Method
        Whom to compare.
    request : Request
        How files are read and what is known of the noise; its method is not used.
    captures : str or None
        The axis along which the planes are captures of one view.
    by : str
        One of `ESTIMATES`, or 'auto': captures where they are, else sure.
    side : int
        Of the piece in the middle that is looked at.

    Raises
    ------
    UserError
        What the estimate assumes does not hold, or cannot be had.
    """
    stack = finite(stack, request.nan)[0]
    scale = scale_of(stack, parse_range(request.range))
    if captures is not None and captures not in stack.axes:
        raise UserError(f"it has the axes {stack.axes}, and none is named {captures} (--captures).")
    by = ("sure" if captures is None else "captures") if by == "auto" else by
    if (by == "captures") != (captures is not None):
        raise UserError("--by captures needs --captures with the name of their axis, and nothing else takes it.")
    piece, layout = _piece(stack, request, captures, side)
    found = diagnose(piece, layout)
    if by != "captures" and found.independent is False:
        raise UserError(
            "its noise is not independent from pixel to pixel, so no score without a second capture can be trusted: it "
            "would favour methods that keep such noise. Give captures of one view with --captures."
        )
    variance, noise = noise_variance(piece, layout, scale, request)
    planes = [scale.apply(layout.view(piece.data, index)) for index in layout.planes]
    rows = [_ranked(None, piece, layout, scale, request, by, planes, variance)]
    rows += [
        _ranked(method, piece, layout, scale, request, by, planes, variance)
        for method in methods
        if not method.info.baseline
    ]
    rows.sort(key=lambda row: row.estimate.mse if row.estimate is not None else math.inf)
    return Ranking(by, noise, rows, _doubts(by, found.independent, rows))


def _piece(stack: Stack, request: Request, captures: str | None, side: int) -> tuple[Stack, Layout]:
    """The middle of the file: of the other axes the middle plane, of captures all."""
    layout = layout_of(stack, request.channels)
    outside = set(stack.axes) - set(layout.inside) - {captures}
    index = []
    for letter, size in zip(stack.axes, stack.data.shape, strict=True):
        if letter in outside:
            index.append(slice(size // 2, size // 2 + 1))
        elif letter in "YX" and size > side:
            start = (size - side) // 2 // 8 * 8
            index.append(slice(start, start + side))
        else:
            index.append(slice(None))
    piece = replace(stack, data=np.asarray(stack.data[tuple(index)]))
    return piece, replace(layout, shape=piece.data.shape)


def _ranked(
    method: Method | None,
    piece: Stack,
    layout: Layout,
    scale: Scale,
    request: Request,
    by: str,
    planes: Sequence[FloatImage],
    variance: FloatImage,
) -> Ranked:
    text = INPUT if method is None else method.text
    try:
        apply: Filter = (
            (lambda image: image)
            if method is None
            else as_filter(piece, layout, scale, replace(request, method=method))
        )
        rng = np.random.default_rng(request.seed)
        if by == "captures":
            estimate = from_captures(apply, planes)
        elif by == "sure":
            estimate = from_sure(apply, planes[0], variance, rng)
        else:
            estimate = from_heldout(apply, planes[0], variance, rng)
    except UserError as error:
        return Ranked(text, None, problem=str(error))
    if method is None:
        return Ranked(text, estimate)
    result = apply(planes[0].copy()) if estimate.result is None else estimate.result
    removed = planes[0] - result
    lags = [noise_correlation(removed[:, :, channel]) for channel in range(removed.shape[2])]
    kept = max((one[lag][0] for one in lags for lag in ((0, 1), (1, 0))), key=abs)
    return Ranked(text, estimate, kept)


def _doubts(by: str, independent: bool | None, rows: Sequence[Ranked]) -> list[str]:
    doubts = []
    if by == "captures":
        doubts.append("Captures must show the same: what moved, bleached or drifted between them counts as error.")
    elif by == "sure":
        doubts.append(
            "The score trusts the noise that was found: with a wrong level it favours too much or too little."
        )
    else:
        doubts.append(
            "Hidden pixels score a method as it does without them: the order may differ where images are sharp."
        )
    if independent is None:
        doubts.append(
            "Whether noise is independent from pixel to pixel could not be told here, and the score needs it."
        )
    for row in rows:
        if abs(row.kept) > CORRELATED:
            doubts.append(
                f"What {row.text} removed is correlated between pixels ({row.kept:.2f}): it took structure, or noise "
                "is not independent."
            )
    return doubts
