"""NLM (non-local means): average pixels whose surroundings look alike.

    xhat(p) = sum_q w(p, q) y(q) / sum_q w(p, q),   w = exp(-max(d(p, q) - 2 sigma^2, 0) / h^2)

d is the mean squared difference of the patches around p and q, q runs over a search window. By scikit-image, in its
fast variant with a box-shaped patch. Shapes: y (H, W, C), 0..1 scale. Told: the noise model; for Gaussian noise sigma
is estimated from the image (Chen et al.) unless ``sigma=known``; Poisson noise of a known level is made Gaussian by the
Anscombe transform (sigma 1) and brought back by its exact unbiased inverse. Cost: seconds per image, no network.

h = 0.6 sigma for the fast variant, as scikit-image advises. Source: Buades, Coll, Morel, CVPR 2005.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from denoisebench.errors import UserError
from denoisebench.estimation import estimate_sigma
from denoisebench.images import FloatImage
from denoisebench.method import Info, Known, Need, PlainMethod
from denoisebench.vst import anscombe, inverse_anscombe


@dataclass(frozen=True)
class NLM(PlainMethod):
    """Non-local means.

    Parameters
    ----------
    patch : side of the compared patches, in pixels
    distance : reach of the search window, in pixels
    strength : h in units of sigma
    sigma : estimate it from the image, or take the known level
    """

    patch: int = 5
    distance: int = 6
    strength: float = 0.6
    sigma: Literal["estimate", "known"] = "estimate"

    name = "nlm"
    info = Info(
        label="NLM",
        paper="Buades, Coll, Morel, A Non-Local Algorithm for Image Denoising, CVPR 2005",
        bibtex=(
            "@inproceedings{buades2005nonlocal, title={A Non-Local Algorithm for Image Denoising}, "
            "author={Buades, Antoni and Coll, Bartomeu and Morel, Jean-Michel}, booktitle={CVPR}, year={2005}}"
        ),
        licence="computed by scikit-image (BSD-3-Clause)",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        packages=("scikit-image",),
    )

    def __post_init__(self) -> None:
        if self.patch < 1 or self.distance < 1 or self.strength <= 0:
            raise UserError("nlm: patch and distance must be at least 1, strength above 0.")

    def told(self, family: str) -> frozenset[Need]:
        """The noise model, and the level unless it is estimated."""
        if family == "gauss" and self.sigma == "estimate":
            return frozenset({Need.FAMILY})
        return self.info.needs

    def denoise(self, noisy: FloatImage, known: Known, rng: np.random.Generator) -> FloatImage:
        if known.family == "poisson":
            level = float(known.level)
            stabilised = anscombe(level * noisy.astype(np.float64))
            return (inverse_anscombe(self._filter(stabilised, 1.0)) / level).astype(np.float32)
        sigma = estimate_sigma(noisy) if self.sigma == "estimate" else float(known.level)
        return self._filter(noisy.astype(np.float64), sigma).astype(np.float32)

    def _filter(self, image: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
        from skimage.restoration import denoise_nl_means

        if sigma == 0:
            return image
        # With a channel axis of length one scikit-image loses the axis and fails.
        gray = image.shape[2] == 1
        filtered = denoise_nl_means(  # type: ignore[no-untyped-call]
            image[:, :, 0] if gray else image, self.patch, self.distance, self.strength * sigma,
            fast_mode=True, sigma=sigma, channel_axis=None if gray else 2,
        )  # fmt: skip
        return np.asarray(filtered).reshape(image.shape)
