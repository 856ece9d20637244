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
from denoisebench.core.progress import Quiet
from denoisebench.own.denoise import Filter, Request, Runner, noise_variance
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
# Captures of one view: side of blocks whose means are compared; share of the variance of the view by which they may
# differ (bleaching), and how many times what independent noise leaves (correlated noise).
_SCENE, _SAME, _CHANCE = 16, 0.25, 20.0


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


def combined(estimates: Sequence[Estimate]) -> Estimate:
    """The mean error of one method over several images."""
    errors = np.array([one.error for one in estimates])
    return Estimate(
        float(np.mean([one.mse for one in estimates])), float(np.sqrt(np.square(errors).sum()) / len(errors)),
        np.concatenate([one.blocks for one in estimates]), float(np.mean([one.seconds for one in estimates])),
    )  # fmt: skip


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


def ranking_table(told: Ranking) -> str:
    """The methods that have a score, as a table of Markdown."""
    from tabulate import tabulate

    rows = []
    for one in told.methods:
        if one.estimate is None:
            continue
        low, high = one.estimate.interval
        kept = "" if math.isnan(one.kept) else f"{one.kept:.2f}"
        rows.append(
            (one.text, f"{one.estimate.psnr:.2f}", f"{low:.2f} to {high:.2f}", kept, f"{one.estimate.seconds:.2f}")
        )
    heads = ("Method", "Estimated PSNR", "95 %", "Correlation of what it removed", "s")
    return str(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


@dataclass(frozen=True)
class Scene:
    """A piece of one image, or of the captures of one view, ready for methods to be scored on.

    Parameters
    ----------
    piece : Stack
        The middle of the file.
    layout : Layout
        Its planes: captures of the view, or one.
    scale : Scale
        Black and white.
    planes : sequence of (H, W, C) float
        With black = 0 and white = 1.
    variance : (H, W, C) float
        Of the noise in the first.
    noise : str
        The same in words.
    by : str
        One of `ESTIMATES`.
    independent : bool or None
        As in `Diagnosis`.
    request : Request
        How it was read and what is known of the noise.
    """

    piece: Stack
    layout: Layout
    scale: Scale
    planes: Sequence[FloatImage]
    variance: FloatImage
    noise: str
    by: str
    independent: bool | None
    request: Request

    def score(self, method: Method | None, runner: Runner | None = None) -> Ranked:
        """A method on it; none is the noisy image itself.

        Parameters
        ----------
        method : Method or None
            What denoises.
        runner : Runner or None
            How, where it is not as the request says.
        """
        text = INPUT if method is None else method.text
        rng, first = np.random.default_rng(self.request.seed), self.planes[0]
        try:
            apply = self._filter(method, runner)
            if self.by == "captures":
                estimate = from_captures(apply, self.planes)
            elif self.by == "sure":
                estimate = from_sure(apply, first, self.variance, rng)
            else:
                estimate = from_heldout(apply, first, self.variance, rng)
            if method is None:
                return Ranked(text, replace(estimate, result=None))
            result = apply(first.copy()) if estimate.result is None else estimate.result
        except UserError as error:
            return Ranked(text, None, problem=str(error))
        removed = first - result
        lags = [noise_correlation(removed[:, :, channel]) for channel in range(removed.shape[2])]
        kept = max((one[lag][0] for one in lags for lag in ((0, 1), (1, 0))), key=abs)
        return Ranked(text, estimate, kept)

    def _filter(self, method: Method | None, runner: Runner | None) -> Filter:
        if method is None:
            return lambda image: image
        runner = runner or Runner(replace(self.request, method=method), [], Quiet())
        return runner.filter(self.piece, self.layout, self.scale)

    def ranking(self, rows: Sequence[Ranked]) -> Ranking:
        """Scores of methods on it, the best first."""
        ordered = sorted(rows, key=lambda row: row.estimate.mse if row.estimate is not None else math.inf)
        return Ranking(self.by, self.noise, ordered, doubts(self.by, self.independent, ordered))


def rank_file(
    stack: Stack, methods: Sequence[Method], request: Request, captures: str | None, by: str, side: int
) -> Ranking:
    """Rank methods on one image, or on captures of one view; parameters and errors are those of `scene_of`."""
    scene = scene_of(stack, request, captures, by, side)
    rows = [scene.score(None), *(scene.score(method) for method in methods if not method.info.baseline)]
    return scene.ranking(rows)


def scene_of(stack: Stack, request: Request, captures: str | None, by: str, side: int) -> Scene:
    """The piece of a file that methods are scored on, and by what.

    Parameters
    ----------
    stack : Stack
        The file.
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
    planes = [scale.apply(layout.view(piece.data, index)) for index in layout.planes]
    if by == "captures":
        _check_same_view(planes)
    variance, noise = noise_variance(piece, layout, scale, request)
    return Scene(piece, layout, scale, planes, variance, noise, by, found.independent, request)


def _check_same_view(captures: Sequence[FloatImage]) -> None:
    """Raise `UserError` for captures that differ in what they show by more than noise and bleaching.

    Independent noise of pixel variance v leaves v / k^2 in the mean of k x k pixels, correlated noise a few times that.
    """
    first = _wide(captures[0])
    for number, capture in enumerate(captures[1:], 2):
        other = _wide(capture)
        noise = float(np.mean(np.square(first - other))) / 2
        gaps, means = (_block_means(image, _SCENE) for image in (first - other, (first + other) / 2))
        if gaps.size > 8 and gaps.var() > max(_SAME * means.var(), _CHANCE * 2 * noise / _SCENE**2):
            raise UserError(
                f"capture {number} does not show what capture 1 shows (means of {_SCENE}x{_SCENE} pixels differ "
                f"by {gaps.std():.2g}, within a capture by {means.std():.2g}; black 0, white 1), so they cannot be "
                "scored against each other."
            )


def _block_means(image: FloatArray, side: int) -> FloatArray:
    rows, columns = (max(1, size // side) for size in image.shape[:2])
    cut = image[: rows * side, : columns * side]
    return np.asarray(cut.reshape(rows, -1, columns, cut.shape[1] // columns, image.shape[2]).mean(axis=(1, 3)))


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


def doubts(by: str, independent: bool | None, rows: Sequence[Ranked]) -> list[str]:
    """What speaks against an order of methods."""
    found = []
    if by == "captures":
        found.append("Captures must show the same: what moved, bleached or drifted between them counts as error.")
    elif by == "sure":
        found.append("The score trusts the noise that was found: with a wrong level it favours too much or too little.")
    else:
        found.append(
            "Hidden pixels score a method as it does without them: the order may differ where images are sharp."
        )
    if independent is None:
        found.append("Whether noise is independent from pixel to pixel could not be told here, and the score needs it.")
    for row in rows:
        if abs(row.kept) > CORRELATED:
            found.append(
                f"What {row.text} removed is correlated between pixels ({row.kept:.2f}): it took structure, or noise "
                "is not independent."
            )
    return found
