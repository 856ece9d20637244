"""The noise that methods are told of: Gaussian of one level, or a camera's, made so before and undone after.

Noise of a camera or microscope is Poisson plus Gaussian, variance = a x + b. The generalised Anscombe transform gives
it one level everywhere, so that any method for Gaussian noise may come between it and its unbiased inverse, as
`anscombe_bm3d` does with BM3D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import estimate_level
from denoisebench.toolbox.flat import noise_growth, noise_over_line
from denoisebench.toolbox.poisson_gaussian import PoissonGaussian
from denoisebench.toolbox.vst import generalised_anscombe, inverse_generalised_anscombe

#: What `--noise` may say.
MODELS = ("auto", "gauss", "camera")
_LOW, _HIGH = 0.1, 99.9
# Times by which noise that is seen may differ from what was given: texture counts as noise, and data sheets round.
_OFF = 1.5
# Factor between a level that was given and one that is found, from which the given one is taken for a mistake.
_FAR = 5.0


@dataclass(frozen=True)
class Detector:
    """What the user knows of a camera or microscope, in the values of its files.

        variance of the noise = gain (value - zero) + read_noise^2

    Parameters
    ----------
    gain : float
        Values per count, a photon or electron.
    read_noise : float
        Standard deviation without light.
    zero : float or None
        Value without light; None for what the file says, else 0.

    Raises
    ------
    UserError
        They are no gain, no standard deviation, no value.
    """

    gain: float
    read_noise: float = 0.0
    zero: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise UserError(f"--gain {self.gain:g}: it is the values of the file per count, a number above 0.")
        if not 0 <= self.read_noise < math.inf:
            raise UserError(f"--read-noise {self.read_noise:g}: a standard deviation is 0 or more.")
        if self.zero is not None and not math.isfinite(self.zero):
            raise UserError(f"--zero {self.zero:g}: it is the value of the file without light, a finite number.")

    def line(self, levels: tuple[float, float] | None) -> PoissonGaussian:
        """Variance over value, for a file whose black and white are ``levels`` where it says them."""
        zero = self.zero if self.zero is not None else levels[0] if levels is not None else 0.0
        return PoissonGaussian(self.gain, self.read_noise**2 - self.gain * zero)


def line_text(gain: float, offset: float) -> str:
    """A line of variance over value, in words."""
    return f"variance = {gain:.5g} x value {'-' if offset < 0 else '+'} {abs(offset):.5g}"


def disagreement(ratio: float) -> str:
    """What to say where noise has ``ratio`` times the standard deviation that was given; '' where that may be so."""
    if math.isnan(ratio) or 1 / _OFF <= ratio <= _OFF:
        return ""
    return (
        f"the noise that is seen has {ratio:.2g} times the standard deviation that --gain makes it: a gain is values "
        "per count, the inverse of a data sheet's electrons per value"
    )


def wrong_level(given: float, found: float) -> str:
    """What to say of a standard deviation that was given where another is found; '' where it may be right.

    Texture passes for noise, and noise that neighbouring pixels share for less, so that only a large factor says that
    it was given on another scale.

    Parameters
    ----------
    given, found : float
        In the values of the file.
    """
    if 1 / _FAR <= found / given <= _FAR:
        return ""
    return (
        f"the noise that is seen has a standard deviation of {found:.3g} and --sigma is {given:g}; it is meant in the "
        "values of the file"
    )


@dataclass(frozen=True)
class Camera:
    """Noise of variance gain * x + offset, per channel, and the transform that makes its level one.

    Parameters
    ----------
    channels : sequence of PoissonGaussian
        For values with black = 0 and white = 1.
    low, level : float
        The transformed image is shifted by ``low`` and multiplied by ``level``, the standard deviation that its noise
        then has; it lies about in 0..1.
    uncertainty : float
        Standard error of the variance at the mean of the image, as a share of it, of the worst channel; 0 where it was
        given.
    said : str
        The noise in words where it was given, '' where it was fitted.
    doubt : str
        What speaks against what was given.
    """

    channels: Sequence[PoissonGaussian]
    low: float
    level: float
    uncertainty: float = 0.0
    said: str = ""
    doubt: str = ""

    def forward(self, image: FloatImage) -> FloatImage:
        """An image (H, W, C) with noise of standard deviation `level`."""
        return np.asarray(self.level * (_stabilised(image, self.channels) - self.low), dtype=np.float32)

    def inverse(self, image: FloatImage) -> FloatImage:
        """A denoised image on the scale of before."""
        planes = []
        for plane, noise in zip(np.moveaxis(image, 2, 0), self.channels, strict=True):
            restored = inverse_generalised_anscombe(plane / self.level + self.low, noise.gain, noise.sigma)
            planes.append(restored + noise.pedestal)
        return np.stack(planes, axis=2).astype(np.float32)

    @property
    def text(self) -> str:
        """In words."""
        if self.said:
            return self.said
        lines = [f"{one.gain:.4g} x {'-' if one.offset < 0 else '+'} {abs(one.offset):.4g}" for one in self.channels]
        return f"variance {', '.join(lines)} (black 0, white 1)"


def _stabilised(image: FloatImage, channels: Sequence[PoissonGaussian]) -> FloatImage:
    planes = zip(np.moveaxis(image, 2, 0), channels, strict=True)
    shown = [generalised_anscombe(plane - noise.pedestal, noise.gain, noise.sigma) for plane, noise in planes]
    return np.stack(shown, axis=2).astype(np.float32)


def camera_of(samples: Sequence[FloatImage], asked: bool) -> Camera | None:
    """The camera's noise in some planes of a file; None where noise does not clearly grow with the signal.

    Parameters
    ----------
    samples : sequence of (H, W, C) float
        With black = 0 and white = 1.
    asked : bool
        Whether the user said that it is a camera's.

    Raises
    ------
    UserError
        It was asked for, and noise does not grow with the signal.
    """
    growths = [noise_growth([sample[:, :, channel] for sample in samples]) for channel in range(samples[0].shape[2])]
    if not all(growth.gain > 0 if asked else growth.grows for growth in growths):
        if asked:
            raise UserError("its noise does not grow with the signal, so --noise camera does not fit; use gauss.")
        return None
    if not asked and any(estimate_level(sample).correlated for sample in samples):
        # The fit is for white noise.
        return None
    channels = [PoissonGaussian(growth.gain, growth.offset) for growth in growths]
    low, high = _extent(samples, channels)
    if high <= low:
        return None
    shares = [
        growth.error(mean) / max(growth.gain * mean + growth.offset, 1e-300)
        for growth, mean in zip(growths, means(samples), strict=True)
    ]
    return Camera(channels, low, 1 / (high - low), max(shares))


def camera_from(line: PoissonGaussian, samples: Sequence[FloatImage], black: float, white: float) -> Camera:
    """The camera's noise as it was given.

    Parameters
    ----------
    line : PoissonGaussian
        In the values of the file.
    samples : sequence of (H, W, C) float
        Some of its planes, with black = 0 and white = 1.
    black, white : float
        What these are in the file.

    Raises
    ------
    UserError
        The planes cannot have this noise.
    """
    width, text = white - black, line_text(line.gain, line.offset)
    own = PoissonGaussian(line.gain / width, (line.gain * black + line.offset) / width**2)
    check_given(line, black + width * min(means(samples)))
    channels = [own] * samples[0].shape[2]
    low, high = _extent(samples, channels)
    if high <= low:
        raise UserError(f"with the noise that was given ({text}) there is nothing in it but noise without light.")
    planes = [sample[:, :, number] for sample in samples for number in range(sample.shape[2])]
    ratio = noise_over_line(planes, own.gain, own.offset)
    return Camera(channels, low, 1 / (high - low), said=text, doubt=disagreement(ratio))


def check_given(line: PoissonGaussian, mean: float) -> None:
    """Refuse a camera's noise that would have no variance at the mean of a file.

    Raises
    ------
    UserError
        In the values of the file.
    """
    if line.gain * mean + line.offset <= 0:
        raise UserError(
            f"its values have a mean of {mean:.4g}, where the noise that was given "
            f"({line_text(line.gain, line.offset)}) has none; the value without light, --zero, lies below them."
        )


def means(samples: Sequence[FloatImage]) -> Sequence[float]:
    """By channel."""
    return [float(np.mean([one[:, :, number].mean() for one in samples])) for number in range(samples[0].shape[2])]


def _extent(samples: Sequence[FloatImage], channels: Sequence[PoissonGaussian]) -> tuple[float, float]:
    """The darkest and the brightest of what the transform makes of them, but for a few pixels."""
    shown = np.concatenate([_stabilised(sample, channels).ravel() for sample in samples])
    low, high = (float(value) for value in np.percentile(shown, (_LOW, _HIGH)))
    return low, high
