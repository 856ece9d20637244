"""What kind of noise images of the user's own have, and which methods that leaves: before anybody denoises.

Every finding is measured on pieces of the image, with a threshold that was tried on photographs with added noise and on
captures of cameras and microscopes (tests/test_own_diagnose.py). What cannot be told is said to be so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.own.model import Detector, check_given, disagreement, line_text, means
from denoisebench.own.stack import Array, Layout, Stack
from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import Level, estimate_level
from denoisebench.toolbox.flat import REACH, Growth, noise_correlation, noise_growth, noise_over_line
from denoisebench.toolbox.poisson_gaussian import PoissonGaussian

# Pieces of a large image that are looked at: as many, of that side.
_PIECES, _SIDE = 4, 512
_SMALLEST = 48
# Correlation of noise that matters to a blind-spot method, and that a row or column of its own has far away.
CORRELATED, _STRIPED = 0.1, 0.04
# What demosaicing, scaling and compression leave at least (0.39 on SIDD, 0.38 after a blur of 0.6 pixels). White noise
# is found correlated by up to 0.34 on photographs of bsd400, where their flattest places are fine texture.
_TIED = 0.36
# Share of pixels at the ends of the range that bends the noise.
_CLIPPED = 0.002
# Ratio of noise variances on the four places of a 2x2 cell: a colour mosaic, or what interpolation left of it.
_MOSAIC = 1.25
# Six standard errors of the logarithm of that ratio, over the root of the pixels of a place (measured on white noise).
_MOSAIC_CHANCE = 21.0
# How much DCT coefficients of 8x8 blocks lie on steps: 0.1 to 0.2 if not compressed, 0.6 to 1 up to quality 90.
_COMPRESSED = 0.4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Step between values, over sigma.
_COARSE = 0.7


@dataclass(frozen=True)
class ChannelFinding:
    """The noise of one channel.

    Parameters
    ----------
    name : str
        Which channel.
    growth : Growth
        How the variance grows with the signal, in values of the file.
    rows, columns : tuple of float
        Correlation of noise 1, 2, ... pixels apart along rows (x) and along columns (y).
    error : float
        Standard error of these.
    low, high : float
        Share of pixels at the lowest and the highest value.
    mosaic : float
        Largest over smallest noise variance of the four places of a 2x2 cell.
    """

    name: str
    growth: Growth
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    error: float
    low: float
    high: float
    mosaic: float


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and what follows; numbers in the values of the file.

    Parameters
    ----------
    level : Level
        How much noise.
    channels : sequence of ChannelFinding
        Each by itself.
    step : float
        Smallest difference between values that occur; 0 for floats that take any.
    compressed : float
        How much DCT coefficients of 8x8 blocks lie on multiples of a step, 0 to 1.
    facts, advice : sequence of str
        Sentences.
    independent : bool or None
        Whether noise differs from pixel to pixel by chance alone; None if that cannot be told.
    given : PoissonGaussian or None
        How its variance grows with the signal, where that is known and not measured.
    ratio : float
        Standard deviation of the noise that is seen over what ``given`` says; 1 without, nan if that cannot be told.
    """

    level: Level
    channels: Sequence[ChannelFinding]
    step: float
    compressed: float
    facts: Sequence[str] = field(default_factory=tuple)
    advice: Sequence[str] = field(default_factory=tuple)
    independent: bool | None = None
    given: PoissonGaussian | None = None
    ratio: float = 1.0


def diagnose(stack: Stack, layout: Layout, detector: Detector | None = None) -> Diagnosis:
    """Look at the noise of a file.

    Parameters
    ----------
    stack : Stack
        The file, its values finite.
    layout : Layout
        Its planes; of a stack the first, the middle and the last are looked at.
    detector : Detector or None
        How its noise grows with the signal, where that is known: it is compared with the file and not fitted.

    Raises
    ------
    UserError
        It is too small or constant, or cannot have the noise that was given.
    """
    planes = layout.planes
    chosen = sorted({0, len(planes) // 2, len(planes) - 1})
    pieces = [piece for number in chosen for piece in _pieces(layout.view(stack.data, planes[number]), len(chosen))]
    height, width = pieces[0].shape[:2]
    if min(height, width) < _SMALLEST:
        raise UserError(f"it is {width}x{height} pixels; noise is told from {_SMALLEST} pixels on each side.")
    if all(float(np.ptp(piece)) == 0 for piece in pieces):
        raise UserError("it is constant, so there is no noise to look at.")
    levels = [estimate_level(piece) for piece in pieces]
    # The level of one piece, the middle one, so that all its numbers belong together.
    level = sorted(levels, key=lambda found: found.sigma)[len(levels) // 2]
    count = pieces[0].shape[2]
    names = ["red", "green", "blue"] if count == 3 else [f"channel {number}" for number in range(count)]
    channels = [_channel(names[c], [piece[:, :, c] for piece in pieces]) for c in range(count)]
    bare = Diagnosis(level, channels, _step(stack.data), _compressed(pieces) if stack.data.dtype == np.uint8 else 0.0)
    if detector is not None:
        given = detector.line(stack.levels)
        check_given(given, min(means(pieces)))
        ratio = noise_over_line([piece[:, :, c] for piece in pieces for c in range(count)], given.gain, given.offset)
        bare = replace(bare, given=given, ratio=ratio)
    independent = _independent(bare)
    if independent is None:
        bare = replace(bare, level=replace(level, settled=level.settled and not level.correlated))
    facts, advice = _facts(bare, independent, stack, count), _advice(bare, independent)
    return replace(bare, facts=facts, advice=advice, independent=independent)


def _pieces(plane: Array, planes: int) -> list[FloatImage]:
    """Pieces of a plane, spread over it, as floats in the values of the file; the whole of a small one."""
    height, width = plane.shape[:2]
    count = max(1, _PIECES // planes)
    if height <= _SIDE and width <= _SIDE:
        return [np.asarray(plane, dtype=np.float32)]
    # Sides that begin on even pixels and multiples of 8, so that mosaics and blocks stay in place.
    tops, lefts = (_starts(side, 2 if count > 1 else 1) for side in (height, width))
    places = [(top, left) for top in tops for left in lefts][:count]
    return [np.asarray(plane[t : t + _SIDE, left : left + _SIDE], dtype=np.float32) for t, left in places]


def _starts(side: int, count: int) -> list[int]:
    if side <= _SIDE:
        return [0]
    free = side - _SIDE
    return [int(free * (number + 1) / (count + 1)) // 8 * 8 for number in range(count)]


def _channel(name: str, planes: Sequence[Array]) -> ChannelFinding:
    found = [noise_correlation(plane) for plane in planes]
    mean = {lag: float(np.median([one[lag][0] for one in found])) for lag in found[0]}
    error = max(float(np.median([one[lag][1] for one in found])) for lag in found[0])
    values = np.concatenate([plane.ravel() for plane in planes])
    low, high = (_at_end(values, end) for end in (float(values.min()), float(values.max())))
    return ChannelFinding(
        name, noise_growth(planes), tuple(mean[0, k] for k in range(1, REACH + 1)),
        tuple(mean[k, 0] for k in range(1, REACH + 1)), error, low, high, max(_mosaic(plane) for plane in planes),
    )  # fmt: skip


def _at_end(values: Array, end: float) -> float:
    """Share of values that are exactly the lowest or highest, where that is more than the next values have."""
    at = values == end
    share = float(at.mean())
    others = values[~at]
    if not others.size:
        return 0.0
    nearest = float(others[np.argmin(np.abs(others - end))])
    return share if share > 3 * float((values == nearest).mean()) else 0.0


def _mosaic(plane: Array) -> float:
    """Largest over smallest noise on the four places of a 2x2 cell, seen against neighbours or against their like.

    1 where so few pixels differ as much by chance.
    """
    return max(_of_places(_second_differences(plane.astype(np.float64), step)) for step in (1, 2))


def _second_differences(image: Array, step: int) -> Array:
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        image = np.moveaxis(lines[: -2 * step] - 2 * lines[step:-step] + lines[2 * step :], 0, axis)
    return image


def _of_places(high: Array) -> float:
    squares = np.square(high)
    # The median is of the noise: edges are few.
    places = [float(np.median(squares[row::2, column::2])) for row in (0, 1) for column in (0, 1)]
    chance = math.exp(_MOSAIC_CHANCE / math.sqrt(squares[::2, ::2].size))
    return max(places) / min(places) if max(places) > chance * min(places) > 0 else 1.0


def _step(data: Array) -> float:
    """The smallest difference between values that occur, if it is one of all."""
    flat = np.asarray(data).reshape(-1)
    values = np.unique(flat[:: max(1, flat.size // 1_000_000)])
    if len(values) < 2:
        return 0.0
    steps = np.diff(values.astype(np.float64))
    least = float(steps.min())
    multiples = steps / least
    return least if len(values) < 70000 and np.abs(multiples - np.round(multiples)).max() < 1e-3 else 0.0


def _compressed(pieces: Sequence[FloatImage]) -> float:
    """How much the DCT coefficients of aligned 8x8 blocks lie on multiples of a step: near 1 after JPEG, else near 0.

    The median over low frequencies of max over q of mean cos(2 pi c / q), c the coefficients of luma beyond 0.6 q.
    """
    return max(_on_steps(piece) for piece in pieces)


def _on_steps(piece: FloatImage) -> float:
    from scipy.fft import dctn

    luma = (piece @ _LUMA if piece.shape[2] == 3 else piece[:, :, 0]).astype(np.float64)
    rows, columns = (side // 8 for side in luma.shape)
    blocks = luma[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    coefficients = dctn(blocks, axes=(1, 2), norm="ortho")
    scores = []
    for down, across in ((u, v) for u in range(8) for v in range(8) if 1 <= u + v <= 6):
        values, score = coefficients[:, down, across], 0.0
        for step in range(3, 41):
            beyond = values[np.abs(values) > 0.6 * step]
            if len(beyond) < max(40, 0.02 * len(values)):
                break
            score = max(score, float(np.cos(2 * np.pi / step * beyond).mean()))
        scores.append(score)
    return float(np.median(scores))


def _independent(found: Diagnosis) -> bool | None:
    """Whether noise of neighbouring pixels is independent; None where texture hides it."""
    worst = max(abs(channel.rows[0]) for channel in found.channels)
    worst = max(worst, *(abs(channel.columns[0]) for channel in found.channels))
    if _striped(found) or found.compressed > _COMPRESSED:
        return False
    if worst < CORRELATED:
        return not found.level.correlated
    return False if worst >= _TIED and found.level.correlated else None


def _reach(values: Sequence[float], error: float) -> int:
    """How many pixels apart noise still belongs together."""
    limit = max(CORRELATED / 2, 4 * error)
    return max((lag for lag, value in enumerate(values, 1) if abs(value) > limit), default=0)


def _stripes(values: Sequence[float], error: float) -> bool:
    far = values[4:]
    return min(far) > max(_STRIPED, 3 * error) * 0.6 and float(np.mean(far)) > max(_STRIPED, 3 * error)


def _striped(found: Diagnosis) -> bool:
    return any(_stripes(values, c.error) for c in found.channels for values in (c.rows, c.columns))


def _facts(found: Diagnosis, independent: bool | None, stack: Stack, count: int) -> list[str]:
    level = found.level
    about = "about " if not level.settled or _is_jpeg(found, stack) else ""
    facts = [f"Standard deviation of the noise: {about}{level.sigma:.3g} (in the values of the file)."]
    if not level.settled:
        facts.append("Its estimate still changes with the distance between pixels, so take it as a guess.")
    if found.given is not None:
        text = line_text(found.given.gain, found.given.offset)
        seen = f"; what is seen has {found.ratio:.2f} times that standard deviation" if found.ratio > 0 else ""
        facts.append(f"noise grows with the signal as given: {text}{seen}.")
    elif independent is False and not _striped(found):
        facts.append("How noise grows with the signal is not told from noise that is correlated.")
    else:
        facts += [_named(channel, count) + _growth_fact(channel.growth) for channel in found.channels]
    for channel in found.channels:
        for share, end in ((channel.low, "lowest"), (channel.high, "highest")):
            if share > _CLIPPED:
                text = f"{share:.1%} of the pixels are clipped at the {end} value; the noise there is cut."
                facts.append(_named(channel, count) + text)
    facts += _correlation_facts(found, independent, count)
    if found.step and level.sigma and found.step > _COARSE * level.sigma:
        facts.append(f"Values come in steps of {found.step:.3g}, coarse beside the noise: part of it is rounding.")
    if _is_jpeg(found, stack):
        facts.append("It has been JPEG-compressed, which removed a part of the noise and tied the rest together.")
    mosaic = max(channel.mosaic for channel in found.channels)
    if mosaic > _MOSAIC:
        facts.append(
            f"Noise differs by a factor of {mosaic:.2f} in variance between the four pixels of a 2x2 cell: a colour "
            "mosaic, or interpolated from one."
        )
    return facts


def _named(channel: ChannelFinding, count: int) -> str:
    return f"{channel.name}: " if count > 1 else ""


def _growth_fact(growth: Growth) -> str:
    if not growth.grows:
        if growth.gain_error <= 0:
            return "noise does not grow with the signal."
        gain = f"gain {growth.gain:.2g} ±{growth.gain_error:.1g}"
        return f"noise does not clearly grow with the signal ({gain}, not told from 0)."
    pedestal = -growth.offset / growth.gain
    read = "" if growth.offset <= 0 else f", and of standard deviation {growth.offset**0.5:.3g} in the dark"
    black = f"; zero signal would be at {pedestal:.3g}" if pedestal > 0 else ""
    sign = "-" if growth.offset < 0 else "+"
    return (
        f"noise grows with the signal: variance = {growth.gain:.3g} (±{growth.gain_error:.1g}) x value {sign} "
        f"{abs(growth.offset):.3g} (±{growth.offset_error:.1g}): counts of {growth.gain:.3g} values each{read}{black}."
    )


def _is_jpeg(found: Diagnosis, stack: Stack) -> bool:
    return found.compressed > _COMPRESSED or stack.path.suffix.lower() in (".jpg", ".jpeg")


def _correlation_facts(found: Diagnosis, independent: bool | None, count: int) -> list[str]:
    facts = []
    for channel in found.channels:
        for values, along in ((channel.rows, "rows"), (channel.columns, "columns")):
            if _stripes(values, channel.error):
                share = f"correlation {np.mean(values[4:]):.2f} five to seven pixels apart"
                facts.append(f"{_named(channel, count)}whole {along} share noise ({share}).")
    worst = max(found.channels, key=lambda c: max(abs(c.rows[0]), abs(c.columns[0])))
    pair = f"{worst.rows[0]:.2f} along rows, {worst.columns[0]:.2f} along columns"
    if independent is None:
        facts.append(
            f"In the flattest places neighbouring pixels agree ({pair}): fine texture that fills the image, or noise "
            "that is weakly correlated. Whether noise is independent cannot be told."
        )
    elif not independent and found.level.correlated:
        reach = max(_reach(worst.rows, worst.error), _reach(worst.columns, worst.error))
        if reach:
            over = f"over {reach} pixel{'s' if reach > 1 else ''}"
            facts.append(f"Noise is correlated between neighbouring pixels ({pair}), {over}.")
        facts.append(
            f"Every second pixel shows {found.level.growth:.1f} times the level that all of them show: fine noise was "
            "removed, by interpolation, scaling, compression or smoothing."
        )
    elif not independent:
        facts.append(f"Noise of neighbouring pixels agrees in no other way ({pair}).")
    else:
        facts.append(f"Noise of neighbouring pixels is independent ({pair}; threshold {CORRELATED}).")
    return facts


def mask_of(found: Diagnosis) -> str:
    """The mask of `structn2v` that covers the noise which belongs together, '' where none is found."""
    lines = {along for c in found.channels for along in ("row", "column") if _stripes(getattr(c, f"{along}s"), c.error)}
    if lines:
        return "+".join(sorted(lines, reverse=True))
    wide = max(_together(channel.rows, channel.error) for channel in found.channels)
    tall = max(_together(channel.columns, channel.error) for channel in found.channels)
    return f"{2 * tall + 1}x{2 * wide + 1}" if tall or wide else ""


def _together(values: Sequence[float], error: float) -> int:
    """How many pixels in a row agree with the first: the low frequencies left out make weak negative values beyond."""
    limit = max(CORRELATED, 4 * error)
    return next((lag for lag, value in enumerate(values) if value < limit), len(values))


def _advice(found: Diagnosis, independent: bool | None) -> list[str]:
    advice = []
    striped = _striped(found)
    sigma = f"{found.level.sigma:.3g}"
    if independent is False or striped:
        advice.append(
            "Methods that predict a pixel from its neighbours (n2v, n2v2, noise2self, b2u, nbr2nbr, zsn2n, noise2fast, "
            "dbsn, laine19_mu) will keep such noise as if it were signal; so will networks trained on independent "
            "noise."
        )
        mask = mask_of(found)
        if mask:
            advice.append(
                f"structn2v[mask={mask}] does not look where noise belongs together: denoise --method "
                f"'structn2v[mask={mask}]' --train self."
            )
        if independent is False and not striped:
            advice += [
                "bm3d[correlation=image] measures what belongs together up to 5 pixels apart, and needs no training: "
                "denoise --method 'bm3d[correlation=image]'.",
                "apbsn learns from pixels 5 apart, for noise that does not reach so far: it wants many images.",
            ]
        advice.append(
            f"Or take a filter that is told how much there is: nlm with --sigma {sigma}, or a second capture of the "
            "same view (n2n)."
        )
    elif independent:
        advice.append("Self-supervised methods may be used: what they assume about pixels holds.")
    else:
        advice.append("Compare what methods leave (image minus result): structure in it is signal that was lost.")
        if mask_of(found):
            advice.append(f"If it is noise that agrees, not texture, structn2v[mask={mask_of(found)}] can remove it.")
    advice += _level_advice(found, independent)
    if any(max(channel.low, channel.high) > _CLIPPED for channel in found.channels):
        advice.append("Where pixels are clipped, means are biased: record with an offset and a shorter exposure.")
    if found.step and found.level.sigma and found.step > _COARSE * found.level.sigma:
        advice.append("Use the original bit depth if you have it.")
    return advice


def _level_advice(found: Diagnosis, independent: bool | None) -> list[str]:
    """What to give to methods that are told how much noise there is."""
    if found.given is not None:
        doubt = disagreement(found.ratio)
        return [f"Look at what was given: {doubt}."] * bool(doubt) + [
            "With the same options, denoise and rank make the noise one level (generalised Anscombe transform) before "
            "any method for Gaussian noise."
        ]
    if independent is not False and any(channel.growth.grows for channel in found.channels):
        return [
            "The noise is not of one level: --noise camera makes it so (generalised Anscombe transform) before any "
            "method for Gaussian noise; anscombe_bm3d does so itself."
        ]
    if independent:
        sigma = f"{found.level.sigma:.3g}"
        return [f"Networks and filters for Gaussian noise fit; the estimate to give them is --sigma {sigma}."]
    return []
