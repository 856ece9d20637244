"""What every filter for Gaussian noise shares: where sigma comes from, and the way around for Poisson noise.

Gaussian noise: sigma is estimated per image (`estimate_sigma`), or taken as told. Poisson noise of known lambda: the
counts z = lambda y are stabilised to D = 2 sqrt(z + 3/8), filtered as noise of standard deviation 1, and inverted
without bias.

Real noise is taken as Gaussian of the estimated sigma (`estimate_level`: it need not be white). The four planes of a
packed raw image are filtered one by one, each with a sigma of its own.

Sources: F. J. Anscombe, Biometrika 1948; M. Makitalo and A. Foi, IEEE TIP 2011, whose reference script maps D to
[0.15, 0.85] before the filter, as is done here: filters have constants for images of about 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.plugins.method import Need, NoiseInfo, PlainMethod
from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import estimate_level, estimate_sigma
from denoisebench.toolbox.vst import SMALLEST, anscombe, inverse_anscombe

FloatArray = npt.NDArray[np.float64]

_LOW, _HIGH = 0.15, 0.85


def denoise_counts(
    noisy: FloatImage,
    level: float,
    filter: Callable[[FloatArray, float], FloatArray],
    inverse: Callable[[FloatArray], FloatArray] = inverse_anscombe,
) -> FloatArray:
    """Denoise an image with Poisson noise by a filter for Gaussian noise.

    Parameters
    ----------
    noisy : FloatImage
        (H, W, C), photon counts divided by ``level``.
    level : float
        Lambda, photons at white.
    filter : Callable[[FloatArray, float], FloatArray]
        Takes an image (H, W, C) float64 of about 0..1 and its noise's standard deviation; returns the same shape.
    inverse : Callable[[FloatArray], FloatArray]
        From a denoised Anscombe transform to counts.

    Returns
    -------
    FloatArray
        (H, W, C) float64, white = 1.0; all zero where not a single photon was counted.
    """
    stabilised = anscombe(level * noisy.astype(np.float64))
    spread = float(stabilised.max()) - SMALLEST
    if spread <= 0:
        return np.zeros_like(stabilised)
    scale = (_HIGH - _LOW) / spread
    filtered = filter(_LOW + scale * (stabilised - SMALLEST), scale)
    return inverse(SMALLEST + (filtered - _LOW) / scale) / level


@dataclass(frozen=True)
class GaussianDenoiser(PlainMethod):
    """Base of methods that are a filter for Gaussian noise: a plugin adds its `filter`, its name and its `Info`.

    ``info.needs`` must hold the noise model and the noise level.

    Parameters
    ----------
    sigma : {'estimate', 'known'} or float
        'estimate' the Gaussian standard deviation per image, take the 'known' one, or the number given, in 8-bit units
        (white = 255). For Poisson noise lambda is always told.
    """

    sigma: Literal["estimate", "known"] | float = "estimate"

    #: Changed when `estimate_level` finds other levels: results on real noise are stored under it.
    real_levels: ClassVar[str] = "flattest blocks"

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, str) and not 0 < self.sigma <= 255:
            raise UserError(f"{self.name}[sigma={self.sigma:g}]: a standard deviation lies above 0 and up to 255.")

    def told(self, family: str) -> frozenset[Need]:
        """The noise model, and the level unless it is estimated."""
        if family in ("gauss", "real") and self.sigma != "known":
            return frozenset({Need.FAMILY})
        return self.info.needs

    @property
    def says_the_level(self) -> bool:
        """With a number for ``sigma``."""
        return not isinstance(self.sigma, str)

    def told_the_level(self) -> Self:
        """With ``sigma=known``, unless that is a number."""
        return self if self.says_the_level else replace(self, sigma="known")

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        if noisy.shape[2] == 4:
            planes = [self._denoise(noisy[:, :, c : c + 1], known) for c in range(4)]
            return np.concatenate(planes, axis=2)
        return self._denoise(noisy, known)

    def _denoise(self, noisy: FloatImage, known: NoiseInfo) -> FloatImage:
        if known.family == "poisson":
            return denoise_counts(noisy, float(known.level), self.filter).astype(np.float32)
        sigma = self._sigma(noisy, known)
        if sigma == 0:
            return noisy.copy()
        return self.filter(noisy.astype(np.float64), sigma).astype(np.float32)

    def _sigma(self, noisy: FloatImage, known: NoiseInfo) -> float:
        if not isinstance(self.sigma, str):
            return self.sigma / 255
        if self.sigma == "known":
            return float(known.level)
        # Drawn noise is white, that of a camera often is not.
        sigma = estimate_level(noisy).sigma if known.family == "real" else estimate_sigma(noisy)
        known.note(sigma)
        return sigma

    def filter(self, image: FloatArray, sigma: float) -> FloatArray:
        """Remove white Gaussian noise.

        Parameters
        ----------
        image : FloatArray
            (H, W, C), about 0..1, not clipped.
        sigma : float
            Standard deviation of its noise on the same scale, above 0.

        Returns
        -------
        FloatArray
            (H, W, C).
        """
        raise NotImplementedError
