"""Noise: what it is called, how it is drawn, and who may repeat a draw.

An image is float with 8-bit white = 1.0. A noise id is one of

    gaussA        y = x + n,  n ~ N(0, (A/255)^2) per element          A in 8-bit grey levels
    gaussA_B      one sigma ~ U(A, B) per image, then as above
    poissonA      y = Poisson(A x) / A per element                      A = lambda, photons at white
    poissonA_B    one lambda ~ U(A, B) per image, then as above
    gammaA        y = x g,  g ~ Gamma(A, 1/A) per element               A = number of looks; mean x, variance x^2 / A
    gammaA_B      one number of looks ~ U(A, B) per image, then as above

followed by nothing (never clipped, never quantised: the protocol of the papers), ``-clip`` (clipped to
[0, 1]) or ``-uint8`` (clipped and rounded to 8 bits, as a camera or a PNG file would). Gamma noise is the speckle of
intensities, as of radar, averaged over so many looks. The id ``real`` stands for the captures that a data set holds: no
level is part of it because none is known, and which capture of an image is taken is what ``repeat`` counts.

Evaluation noise comes from one of two sources. `CounterDraws` derives a stream of its own from
(seed, data set, image, repeat, noise): independent of order, of methods and of parallelism. `LegacyDraws`
replays the single numpy stream, seed 101, of the released Neighbor2Neighbor and Blind2Unblind tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch

FloatImage = npt.NDArray[np.float32]
UIntImage = npt.NDArray[np.uint8]

# Beyond these a level is a typing mistake, not an experiment.
_LARGEST = {"gauss": 255.0, "poisson": 1e6, "gamma": 1e6}
#: All families of noise.
FAMILIES = (*_LARGEST, "real")

FORMS = (
    f"{', '.join(f'{family}A, {family}A_B' for family in _LARGEST)} (numbers > 0, A < B), "
    "each also with -clip or -uint8; real (the noisy captures of a data set)"
)
EXAMPLES = "gauss25, gauss5_50, poisson30, poisson5_50, gamma4, gamma1_10, real"
_TEXT = re.compile(rf"({'|'.join(_LARGEST)})(\d+(?:\.\d+)?)(?:_(\d+(?:\.\d+)?))?(-clip|-uint8)?", re.ASCII)


@dataclass(frozen=True)
class Noise:
    """One kind of noise.

    Parameters
    ----------
    family : str
        'gauss', 'poisson', 'gamma', or 'real' for that of a camera or microscope.
    low, high : float
        Level or range of levels; sigma in 8-bit units, lambda, or looks. Equal for a single level; 0 for real noise.
    after : str
        '' (leave as drawn), 'clip' or 'uint8'.
    """

    family: str
    low: float
    high: float
    after: str = ""

    @property
    def real(self) -> bool:
        """Whether it comes with the images, of a kind and level nobody knows, instead of being drawn."""
        return self.family == "real"

    @property
    def ranged(self) -> bool:
        """Whether each image has its own level."""
        return self.real or self.high > self.low

    @property
    def id(self) -> str:
        """Canonical text; `parse_noise` of it gives the same noise back."""
        if self.real:
            return self.family
        level = _decimal(self.low) + (f"_{_decimal(self.high)}" if self.ranged else "")
        return f"{self.family}{level}" + (f"-{self.after}" if self.after else "")

    @property
    def title(self) -> str:
        """Name for a table heading."""
        if self.real:
            return "real noise"
        symbol = {"gauss": "Gaussian σ", "poisson": "Poisson λ", "gamma": "Gamma L"}[self.family]
        level = f"∈[{self.low:g},{self.high:g}]" if self.ranged else f"={self.low:g}"
        return f"{symbol}{level}" + (f" ({self.after})" if self.after else "")

    def finish(self, noisy: npt.NDArray[np.float64]) -> FloatImage:
        """Apply what comes after the draw (nothing, clipping, quantisation); float64 in, float32 out."""
        if self.after:
            noisy = np.clip(noisy, 0.0, 1.0)
        if self.after == "uint8":
            noisy = np.rint(noisy * 255.0) / 255.0
        return noisy.astype(np.float32)


#: The noise of real captures.
REAL = Noise("real", 0.0, 0.0)


def _decimal(level: float) -> str:
    """Shortest decimal text that reads back as the same number, without exponent."""
    return np.format_float_positional(level, trim="-")


def parse_noise(text: str) -> Noise:
    """Read a noise id such as ``gauss25`` or ``poisson5_50-clip``.

    Raises
    ------
    UserError
        Naming the text and the allowed forms.
    """
    if text.strip() == REAL.id:
        return REAL
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UserError(f"Noise {text!r} cannot be read. Allowed: {FORMS}; for example {EXAMPLES}.")
    family, first, second, after = match.groups()
    low = float(first)
    high = float(second) if second else low
    if not 0 < low <= high <= _LARGEST[family] or (second and high == low):
        raise UserError(
            f"Noise {text!r} has levels out of range: a {family} level lies above 0 and up to "
            f"{_LARGEST[family]:g}, and a range goes from a smaller to a larger level."
        )
    return Noise(family, low, high, (after or "").lstrip("-"))


@dataclass(frozen=True)
class Draw:
    """A noisy image (H, W, C float32, unclipped) and its level (sigma/255, lambda or looks; None if unknown)."""

    noisy: FloatImage
    level: float | None


def add_noise(clean: UIntImage, noise: Noise, rng: np.random.Generator) -> Draw:
    """Draw the level, then the noise, of one image.

    Parameters
    ----------
    clean : UIntImage
        (H, W, C) uint8.
    noise : Noise
        What to draw.
    rng : np.random.Generator
        Consumed: one uniform if the noise is ranged, then one value per element.

    Returns
    -------
    Draw
        Draw with the level as methods see it: a standard deviation on the 0..1 scale, lambda, or the number of looks.
    """
    x = clean.astype(np.float64) / 255.0
    level = rng.uniform(noise.low, noise.high) if noise.ranged else noise.low
    if noise.family == "gauss":
        level /= 255.0
        noisy = x + level * rng.standard_normal(x.shape)
    elif noise.family == "poisson":
        noisy = rng.poisson(level * x) / level
    else:
        noisy = x * rng.standard_gamma(level, x.shape) / level
    return Draw(noise.finish(noisy), float(level))


def speckle(looks: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Gamma variables of mean 1 and variance 1 / looks, independent, one for each element.

    Parameters
    ----------
    looks : torch.Tensor
        Floating point, above 0.
    generator : torch.Generator or None
        What they are drawn from; torch's own for None.
    """
    # torch.distributions.Gamma draws by the same function, but takes no generator.
    return torch._standard_gamma(looks, generator=generator) / looks


def add_noise_batch(clean: torch.Tensor, noise: Noise, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy copies of a training batch, one level per image.

    Parameters
    ----------
    clean : torch.Tensor
        (N, C, H, W) float tensor, 0..1.

    Returns
    -------
    noisy : torch.Tensor
        (N, C, H, W), same device and dtype.
    level : torch.Tensor
        (N, 1, 1, 1), sigma on the 0..1 scale, lambda, or the number of looks.
    """
    shape = (clean.shape[0], 1, 1, 1)
    level = torch.full(shape, noise.low, device=clean.device, dtype=clean.dtype)
    if noise.ranged:
        uniform = torch.rand(shape, generator=generator, device=clean.device, dtype=clean.dtype)
        level = level + (noise.high - noise.low) * uniform
    if noise.family == "gauss":
        level = level / 255.0
        noisy = clean + level * torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    elif noise.family == "poisson":
        noisy = torch.poisson(level * clean, generator=generator) / level
    else:
        noisy = clean * speckle(level.expand_as(clean), generator)
    if noise.after:
        noisy = noisy.clamp(0, 1)
    if noise.after == "uint8":
        noisy = (noisy * 255).round() / 255
    return noisy, level
