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

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.plugins.method import Info, Need
from denoisebench.toolbox.gaussian import FloatArray, GaussianDenoiser


@dataclass(frozen=True)
class NLM(GaussianDenoiser):
    """Non-local means.

    Parameters
    ----------
    sigma : str or float
        'estimate' it from the image, take the 'known' level, or the number given, in 8-bit units.
    patch : int
        Side of the compared patches, in pixels.
    distance : int
        Reach of the search window, in pixels.
    strength : float
        H in units of sigma.
    """

    patch: int = 5
    distance: int = 6
    strength: float = 0.6

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
        super().__post_init__()
        if self.patch < 1 or self.distance < 1 or self.strength <= 0:
            raise UserError("nlm: patch and distance must be at least 1, strength above 0.")

    def filter(self, image: FloatArray, sigma: float) -> FloatArray:
        from skimage.restoration import denoise_nl_means

        # With a channel axis of length one scikit-image loses the axis and fails.
        gray = image.shape[2] == 1
        filtered = denoise_nl_means(
            image[:, :, 0] if gray else image, self.patch, self.distance, self.strength * sigma,
            fast_mode=True, sigma=sigma, channel_axis=None if gray else 2,
        )  # fmt: skip
        return np.asarray(filtered).reshape(image.shape)
