"""The noise that methods are told of: Gaussian of one level, or a camera's, made so before and undone after.

Noise of a camera or microscope is Poisson plus Gaussian, variance = a x + b. The generalised Anscombe transform gives
it one level everywhere, so that any method for Gaussian noise may come between it and its unbiased inverse, as
`anscombe_bm3d` does with BM3D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.protocol.images import FloatImage
from denoisebench.toolbox.estimation import estimate_level
from denoisebench.toolbox.flat import noise_growth
from denoisebench.toolbox.poisson_gaussian import PoissonGaussian
from denoisebench.toolbox.vst import generalised_anscombe, inverse_generalised_anscombe

#: What `--noise` may say.
MODELS = ("auto", "gauss", "camera")
_LOW, _HIGH = 0.1, 99.9


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
        Standard error of the variance at the mean of the image, as a share of it, of the worst channel.
    """

    channels: Sequence[PoissonGaussian]
    low: float
    level: float
    uncertainty: float = 0.0

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
    shown = np.concatenate([_stabilised(sample, channels).ravel() for sample in samples])
    low, high = (float(value) for value in np.percentile(shown, (_LOW, _HIGH)))
    if high <= low:
        return None
    means = [float(np.mean([sample[:, :, number].mean() for sample in samples])) for number in range(len(growths))]
    shares = [
        growth.error(mean) / max(growth.gain * mean + growth.offset, 1e-300)
        for growth, mean in zip(growths, means, strict=True)
    ]
    return Camera(channels, low, 1 / (high - low), max(shares))
