"""The noisy image itself: the line every denoiser has to beat.

xhat = y. Nothing is told, nothing is learned, nothing is changed; cost: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisebench.plugins.method import Info, NoiseInfo, PlainMethod
from denoisebench.protocol.noise import FloatImage


@dataclass(frozen=True)
class Identity(PlainMethod):
    """Return the noisy image unchanged."""

    name = "identity"
    info = Info(label="Noisy input", licence="BSD-3-Clause (denoisebench)", baseline=True)

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        return noisy
