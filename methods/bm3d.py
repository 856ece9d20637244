"""BM3D (Dabov et al. 2007), in colour CBM3D, and behind the Anscombe transform for Poisson noise.

Block matching groups similar 8x8 patches; each group is thresholded in a 3-D transform domain; a second pass
with an empirical Wiener filter takes the first estimate as its pilot. Colour is filtered in an opponent space
with the groups found on its first, luminance-like channel.

Gaussian noise: sigma is estimated per image (`estimate_sigma`), or told with ``sigma=known``. Poisson noise:
the counts lambda y are stabilised by 2 sqrt(z + 3/8), filtered as noise of standard deviation 1 and inverted
without bias; lambda is always told.

The filter itself is the ``bm3d`` package of its authors: closed source, for non-commercial use only. It is
imported when the method is used, and not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
import numpy.typing as npt

from denoisebench.errors import UserError
from denoisebench.estimation import estimate_sigma
from denoisebench.method import Info, Known, Need, PlainMethod
from denoisebench.noise import FloatImage
from denoisebench.vst import SMALLEST, anscombe, inverse_anscombe

# The package ends the process with a segmentation fault on 8x8 images and refuses smaller ones.
_SMALLEST_SIDE = 16
# The stabilised image is mapped to this interval, as in the reference script of Makitalo and Foi.
_LOW, _HIGH = 0.15, 0.85


@dataclass(frozen=True)
class BM3D(PlainMethod):
    """BM3D with the authors' default profile.

    Parameters
    ----------
    sigma : 'estimate' the Gaussian standard deviation per image, or take the 'known' one
    threads : processor threads of one image; 1 repeats to the last bit. With more (0: all cores) the sums of
        the aggregation run in varying order: other bits, the same PSNR to 1e-4 dB. One thread is the default
        because two save little: a 512x768 colour image took 61 s with one and 43 s with two, on two cores.
    """

    sigma: Literal["estimate", "known"] = "estimate"
    threads: int = 1

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
        licence="bm3d package (Tampere University): closed source, non-commercial use only; imported only "
        "when this method runs. The code around it: BSD-3-Clause (denoisebench)",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        packages=("bm3d", "bm4d"),
    )

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UserError(f"bm3d[threads={self.threads}]: the value must be 0 (all cores) or more.")

    def told(self, family: str) -> frozenset[Need]:
        """The noise model, and the level unless it is estimated."""
        if family == "gauss" and self.sigma == "estimate":
            return frozenset({Need.FAMILY})
        return self.info.needs

    def denoise(self, noisy: FloatImage, known: Known, rng: np.random.Generator) -> FloatImage:
        if known.family == "poisson":
            return self._denoise_counts(noisy, float(known.level)).astype(np.float32)
        sigma = estimate_sigma(noisy) if self.sigma == "estimate" else float(known.level)
        return self._filter(noisy.astype(np.float64), sigma).astype(np.float32)

    def _denoise_counts(self, noisy: FloatImage, level: float) -> npt.NDArray[np.float64]:
        stabilised = anscombe(level * noisy.astype(np.float64))
        spread = float(stabilised.max()) - SMALLEST
        if spread <= 0:  # not a single photon
            return np.zeros_like(stabilised)
        scale = (_HIGH - _LOW) / spread
        filtered = self._filter(_LOW + scale * (stabilised - SMALLEST), scale)
        return inverse_anscombe(SMALLEST + (filtered - _LOW) / scale) / level

    def _filter(self, image: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
        """BM3D of an image (H, W, C) of roughly 0..1 with noise of that standard deviation."""
        package = _package()
        if sigma == 0:
            return image
        profile = package.BM3DProfile()
        profile.num_threads = self.threads
        height, width, channels = image.shape
        missing = [max(0, _SMALLEST_SIDE - side) for side in (height, width)]
        padded = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
        if channels == 3 and _has_colour(padded):
            filtered = package.bm3d_rgb(padded, sigma, profile)
        else:
            planes = [package.bm3d(padded[:, :, c], sigma, profile) for c in range(channels)]
            filtered = np.stack(planes, axis=2)
        return np.asarray(filtered[:height, :width], dtype=np.float64)


def _has_colour(image: npt.NDArray[np.float64]) -> bool:
    """Whether each opponent channel varies; the package divides by its range."""
    red, green, blue = np.moveaxis(image, 2, 0)
    opponent = (red + green + blue, red - blue, red - 2 * green + blue)
    return all(np.ptp(channel) > 1e-9 for channel in opponent)


def _package() -> ModuleType:
    try:
        import bm3d
    except (ImportError, OSError) as error:  # OSError: no binary for this platform
        raise UserError(
            f"Method 'bm3d' needs the package bm3d, which cannot be imported ({error}). Install it with "
            "'pip install bm3d' (closed source, non-commercial use only), or leave the method out."
        ) from None
    return bm3d  # type: ignore[no-any-return]
