"""Which of some methods does best on an image of which nobody has a clean copy, and how far that can be known.

The estimates are those of `denoisebench.own.risk`, the checks those of `denoisebench.own.residual`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.progress import Quiet
from denoisebench.own.denoise import NoiseModel, Request, Runner, noise_model
from denoisebench.own.diagnose import CORRELATED, diagnose
from denoisebench.own.residual import FINEST, MOVED, Checks, block_means, checks_of
from denoisebench.own.risk import Estimate, Filter, difference, from_captures, from_heldout, from_pure, from_sure
from denoisebench.own.scale import Scale, finite, parse_range, scale_of
from denoisebench.own.stack import Layout, Stack, layout_of
from denoisebench.plugins.method import Method
from denoisebench.protocol.images import FloatImage

# Captures of one view: side of blocks whose means are compared; share of the variance of the view by which they may
# differ (bleaching), and how many times what independent noise leaves (correlated noise).
_SCENE, _SAME, _CHANCE = 16, 0.25, 20.0
# Share by which the level of noise in an image is uncertain, beyond which the score is doubted.
_UNSURE = 0.05


@dataclass(frozen=True)
class Ranked:
    """A method on one image.

    Parameters
    ----------
    text : str
        The method, with settings; 'noisy input' for none.
    estimate : Estimate or None
        Its score; None where it failed.
    checks : Checks or None
        Of its result; None of the noisy image itself, but for the resolution of captures.
    problem : str
        Why it has no score.
    result : (H, W, C) float32 or None
        Of the first plane, where it was just computed.
    """

    text: str
    estimate: Estimate | None
    checks: Checks | None = None
    problem: str = ""
    result: FloatImage | None = None


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
    noisy : (H, W, C) float32 or None
        The first plane that was scored, where it was just read.
    deviation : float
        Root mean square of its noise.
    independent : bool or None
        Whether noise is, as in `Diagnosis`.
    uncertainty : float
        Of the variance of the noise, as a share of it.
    """

    by: str
    noise: str
    methods: Sequence[Ranked]
    doubts: Sequence[str]
    noisy: FloatImage | None = None
    deviation: float = math.nan
    independent: bool | None = True
    uncertainty: float = 0.0

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

    heads, rows = ranking_cells(told)
    return str(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


def ranking_cells(told: Ranking) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of the table, one row for each method that has a score."""
    heads = ["Method", "Estimated PSNR", "95 %", "Correlation of what it removed", "Local means moved"]
    captures = told.by == "captures"
    rows = []
    for one in told.methods:
        if one.estimate is None:
            continue
        checks = one.checks or Checks()
        row = [one.text, *one.estimate.told, *map(_number, checks.removed)]
        rows.append([*row, *([_pixels(checks.resolution)] if captures else []), f"{one.estimate.seconds:.2f}"])
    return [*heads, *(["Resolution, px"] if captures else []), "s"], rows


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _pixels(value: float) -> str:
    """A resolution; 'none' where captures agree in nothing."""
    return "none" if math.isinf(value) else "2 or finer" if value <= FINEST else _number(value)


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
    noise : NoiseModel
        Of these.
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
    noise: NoiseModel
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
        try:
            apply = self._filter(method, runner)
            estimate = self._estimate(apply)
            estimate = replace(estimate, common=abs(estimate.by_variance) * self.noise.uncertainty)
            results = estimate.results or [apply(self.planes[0].copy())]
        except UserError as error:
            return Ranked(text, None, problem=str(error))
        other = self.planes[1] if self.by == "captures" else None
        checks = checks_of(self.planes[0], results, self.noise.variance(self.planes[0]), other)
        checks = Checks(resolution=checks.resolution) if method is None else checks
        return Ranked(text, estimate, checks, result=results[0])

    def _estimate(self, apply: Filter) -> Estimate:
        rng, first, noise = np.random.default_rng(self.request.seed), self.planes[0], self.noise
        if self.by == "captures":
            return from_captures(apply, self.planes)
        if self.by == "pure":
            return from_pure(apply, first, noise.gain, noise.offset, rng)
        if self.by == "sure":
            return from_sure(apply, first, float(noise.offset.mean()), rng)
        return from_heldout(apply, first, noise.variance(first), rng)

    def _filter(self, method: Method | None, runner: Runner | None) -> Filter:
        if method is None:
            return lambda image: image
        runner = runner or Runner(replace(self.request, method=method), [], Quiet())
        return runner.filter(self.piece, self.layout, self.scale)

    def ranking(self, rows: Sequence[Ranked]) -> Ranking:
        """Scores of methods on it, the best first."""
        ordered = sorted(rows, key=lambda row: row.estimate.mse if row.estimate is not None else math.inf)
        told = doubts(self.by, self.independent, ordered, self.noise.uncertainty)
        told += [f"Perhaps {self.noise.doubt}."] if self.noise.doubt else []
        first = self.planes[0]
        deviation = math.sqrt(max(float(np.mean(self.noise.variance(first))), 0.0))
        return Ranking(self.by, self.noise.text, ordered, told, first, deviation)


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
        One of `ESTIMATES`, or 'auto': captures where they are, else pure where noise grows with the signal, else sure.
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
    by = "captures" if by == "auto" and captures is not None else by
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
    noise = noise_model(piece, layout, scale, request)
    by = ("pure" if noise.grows else "sure") if by == "auto" else by
    if by == "sure" and noise.grows:
        raise UserError(
            f"its noise grows with the signal ({noise.text}), and the score sure is for noise of one level; take --by "
            "pure, or give that level with --sigma."
        )
    if by == "pure" and not noise.grows:
        raise UserError(
            f"no growth of its noise with the signal is known ({noise.text}), which the score pure needs; take --by "
            "sure, or --noise camera if it is a camera's."
        )
    return Scene(piece, layout, scale, planes, noise, by, found.independent, request)


def _check_same_view(captures: Sequence[FloatImage]) -> None:
    """Raise `UserError` for captures that differ in what they show by more than noise and bleaching.

    Independent noise of pixel variance v leaves v / k^2 in the mean of k x k pixels, correlated noise a few times that.
    """
    first = np.asarray(captures[0], np.float64)
    for number, capture in enumerate(captures[1:], 2):
        other = np.asarray(capture, np.float64)
        noise = float(np.mean(np.square(first - other))) / 2
        gaps, means = (block_means(image, _SCENE) for image in (first - other, (first + other) / 2))
        if gaps.size > 8 and gaps.var() > max(_SAME * means.var(), _CHANCE * 2 * noise / _SCENE**2):
            raise UserError(
                f"capture {number} does not show what capture 1 shows (means of {_SCENE}x{_SCENE} pixels differ "
                f"by {gaps.std():.2g}, within a capture by {means.std():.2g}; black 0, white 1), so they cannot be "
                "scored against each other."
            )


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


def doubts(by: str, independent: bool | None, rows: Sequence[Ranked], uncertainty: float = 0.0) -> list[str]:
    """What speaks against an order of methods.

    Parameters
    ----------
    by : str
        One of `ESTIMATES`.
    independent : bool or None
        As in `Diagnosis`.
    rows : sequence of Ranked
        The methods.
    uncertainty : float
        Of the variance of the noise, as a share of it.
    """
    found = []
    if by == "captures":
        found.append("Captures must show the same: what moved, bleached or drifted between them counts as error.")
        found.append(
            "Resolution is what the results of two captures agree on (Fourier ring correlation, 1/7): detail that a "
            "method invents counts too, and blur alone is not seen."
        )
    elif by == "heldout":
        found.append(
            "Hidden pixels score a method as it does without them: the order may differ where images are sharp."
        )
    else:
        found.append("The score trusts the noise that was found: with a wrong level it favours too much or too little.")
        if uncertainty > _UNSURE:
            found.append(
                f"The variance of that noise is uncertain by {uncertainty:.0%} (one standard error); that is in the "
                "intervals, and moves all methods alike."
            )
    if independent is None:
        found.append("Whether noise is independent from pixel to pixel could not be told here, and the score needs it.")
    for row in rows:
        if row.checks is not None and abs(row.checks.correlation) > CORRELATED:
            found.append(
                f"What {row.text} removed is correlated between pixels ({row.checks.correlation:.2f}): it took "
                "structure, or noise is not independent."
            )
        if row.checks is not None and row.checks.moved > MOVED:
            found.append(
                f"{row.text} changed the means of 16x16 pixels by {row.checks.moved:.1f} times what noise explains: do "
                "not measure brightness in its results."
            )
    return found
