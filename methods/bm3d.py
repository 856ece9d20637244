"""BM3D (Dabov et al. 2007), in colour CBM3D: collaborative filtering of groups of similar patches.

Block matching groups similar 8x8 patches; each group is thresholded in a 3-D transform domain; a second pass
with an empirical Wiener filter takes the first estimate as its pilot. Colour is filtered in an opponent space
with the groups found on its first, luminance-like channel.

Shapes: y (H, W, C), 0..1 scale. Gaussian noise; `anscombe_bm3d` is the same filter for Poisson noise, and stabilises
real noise too, which is filtered as Gaussian here, each plane of a packed raw image on its own. Told: the noise model;
sigma is estimated per image (Chen et al.) unless ``sigma=known``. Errors: an image below 18x18 pixels in colour or 9x9
in gray is too small for the estimate. Cost: seconds per image, see docs/bm3d.md; no network.

The filter is the suite's own (`denoisebench.toolbox.collaborative`, written from the papers). ``engine=package`` takes
the ``bm3d`` package of the authors instead: closed source, for non-commercial use only, imported when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.plugins.method import Info, Need
from denoisebench.protocol.noise import Noise
from denoisebench.toolbox.bm3d_filter import LICENCE, PACKAGES, Engine, bm3d_filter, check_threads, info_of
from denoisebench.toolbox.gaussian import FloatArray, GaussianDenoiser


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
    """

    threads: int = 1
    engine: Engine = "torch"

    name = "bm3d"
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
        object.__setattr__(self, "info", info_of(self.info, self.engine))

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """Poisson noise is left to the method of its own that the papers list."""
        if noise.family == "poisson":
            return "takes Gaussian noise only; use anscombe_bm3d"
        return super().unsuitable(noise, channels)

    def filter(self, image: FloatArray, sigma: float) -> FloatArray:
        return bm3d_filter(image, sigma, self.threads, self.engine)
