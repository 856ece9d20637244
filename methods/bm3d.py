"""BM3D (Dabov et al. 2007), in colour CBM3D: collaborative filtering of groups of similar patches.

Block matching groups similar 8x8 patches; each group is thresholded in a 3-D transform domain; a second pass
with an empirical Wiener filter takes the first estimate as its pilot. Colour is filtered in an opponent space
with the groups found on its first, luminance-like channel.

Shapes: y (H, W, C), 0..1 scale. Gaussian noise; `anscombe_bm3d` is the same filter for Poisson noise, and stabilises
real noise too, which is filtered as Gaussian here, each plane of a packed raw image on its own. Told: the noise model;
sigma is estimated per image (Chen et al.) unless ``sigma=known``. Errors: an image below 18x18 pixels in colour or 9x9
in gray is too small for the estimate. Cost: seconds per image, see docs/bm3d.md; no network.

Noise that is correlated between neighbouring pixels, as that of photographs after demosaicing or scaling, passes for
detail. ``correlation=image`` measures its autocovariance in the flattest blocks of the image, from 48x48 pixels on, and
the level with it unless that is told; ``correlation=1x5`` says that it is white noise averaged over so many rows and
columns. Every coefficient then has a variance of its own (Makinen, Azzari, Foi, IEEE TIP 2020).

The filter is the suite's own (`denoisebench.toolbox.collaborative`, written from the papers). ``engine=package`` takes
the ``bm3d`` package of the authors instead: closed source, for non-commercial use only, imported when asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.plugins.method import Info, Need, NoiseInfo
from denoisebench.protocol.images import FloatImage
from denoisebench.protocol.noise import Noise
from denoisebench.toolbox.autocovariance import Autocovariance, filtered, measured
from denoisebench.toolbox.bm3d_filter import LICENCE, PACKAGES, Engine, bm3d_filter, check_threads, info_of
from denoisebench.toolbox.gaussian import FloatArray, GaussianDenoiser

# Side of the largest kernel that noise may have gone through, in pixels.
_LARGEST = 15


@dataclass(frozen=True)
class BM3D(GaussianDenoiser):
    """BM3D.

    Parameters
    ----------
    sigma : str or float
        'estimate' the Gaussian standard deviation per image, take the 'known' one, or the number given, in 8-bit units.
    threads : int
        Processor threads of one image, 0: all cores. The result is the same to the last bit; that of the package is so
        with one thread only, with more its sums run in varying order: the same PSNR to 1e-4 dB.
    engine : {'torch', 'package'}
        The suite's own code, or the authors' package (closed source, non-commercial use only).
    correlation : str
        'none' for white noise, 'image' to measure it, or rows x columns that white noise was averaged over, as 3x3.
    """

    threads: int = 1
    engine: Engine = "torch"
    correlation: str = "none"

    name = "bm3d"
    added_later = frozenset({"correlation"})
    info = Info(
        label="BM3D",
        paper="K. Dabov, A. Foi, V. Katkovnik, K. Egiazarian: Image denoising by sparse 3-D transform-domain "
        "collaborative filtering, IEEE Transactions on Image Processing, 2007",
        bibtex="""@article{dabov2007bm3d,
  author = {Dabov, Kostadin and Foi, Alessandro and Katkovnik, Vladimir and Egiazarian, Karen},
  title = {Image Denoising by Sparse {3-D} Transform-Domain Collaborative Filtering},
  journal = {IEEE Transactions on Image Processing},
  volume = {16},
  number = {8},
  pages = {2080--2095},
  year = {2007},
}""",
        licence=LICENCE,
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        packages=PACKAGES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_threads(self.name, self.threads)
        if self.correlation not in ("none", "image") and not _box(self.correlation):
            raise UserError(
                f"bm3d[correlation={self.correlation}]: allowed are none, image, and rows x columns from 1x1 to "
                f"{_LARGEST}x{_LARGEST}, as 3x3."
            )
        if self.correlation != "none" and self.engine == "package":
            raise UserError(f"bm3d[correlation={self.correlation}] is of the suite's own code; drop engine=package.")
        object.__setattr__(self, "info", info_of(self.info, self.engine))

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """Poisson noise is left to the method of its own that the papers list."""
        if noise.family == "poisson":
            return "takes Gaussian noise only; use anscombe_bm3d"
        return super().unsuitable(noise, channels)

    @property
    def measures_noise(self) -> bool:
        """Whether the noise's level is found together with its correlation."""
        return self.correlation == "image" and self.sigma == "estimate"

    def _sigma(self, noisy: FloatImage, known: NoiseInfo) -> float:
        if not self.measures_noise:
            return super()._sigma(noisy, known)
        sigma = measured(noisy).sigma
        known.note(sigma)
        return sigma

    def filter(self, image: FloatArray, sigma: float) -> FloatArray:
        return bm3d_filter(image, self._noise(image, sigma), self.threads, self.engine)

    def _noise(self, image: FloatArray, sigma: float) -> float | Autocovariance:
        if self.correlation == "none":
            return sigma
        box = _box(self.correlation)
        if box:
            return filtered(np.ones(box), np.full(image.shape[2], sigma))
        return measured(image).scaled_to(sigma)


def _box(text: str) -> tuple[int, int] | None:
    """Rows and columns from text; None if it is something else."""
    found = re.fullmatch(r"(\d{1,2})x(\d{1,2})", text)
    rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
    return (rows, columns) if 1 <= rows <= _LARGEST and 1 <= columns <= _LARGEST else None
