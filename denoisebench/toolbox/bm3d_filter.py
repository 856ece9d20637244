"""The BM3D filter itself: the ``bm3d`` package of its authors.

The package is closed source and for non-commercial use only. It is imported when the filter is used, and not before.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError

LICENCE = (
    "bm3d package (Tampere University): closed source, non-commercial use only; imported only "
    "when this method runs. The code around it: BSD-3-Clause (denoisebench)"
)
#: Distributions whose version decides the result.
PACKAGES = ("bm3d", "bm4d")

# The package ends the process with a segmentation fault on 8x8 images and refuses smaller ones.
_SMALLEST_SIDE = 16


def bm3d_filter(image: npt.NDArray[np.float64], sigma: float, threads: int = 1) -> npt.NDArray[np.float64]:
    """BM3D with the package's default profile; in colour CBM3D, where the image has colour.

    Parameters
    ----------
    image : npt.NDArray[np.float64]
        (H, W, C) of roughly 0..1.
    sigma : float
        Standard deviation of its white Gaussian noise on the same scale, above 0.
    threads : int
        Processor threads; 1 repeats to the last bit. With more (0: all cores) the sums of the aggregation run in
        varying order: other bits, the same PSNR to 1e-4 dB.

    Returns
    -------
    npt.NDArray[np.float64]
        (H, W, C), not clipped.

    Raises
    ------
    UserError
        The package is not installed, or has no binary for this platform.
    """
    package = _package()
    profile = package.BM3DProfile()
    profile.num_threads = threads
    height, width, channels = image.shape
    missing = [max(0, _SMALLEST_SIDE - side) for side in (height, width)]
    padded = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
    if channels == 3 and _has_colour(padded):
        filtered = package.bm3d_rgb(padded, sigma, profile)
    else:
        planes = [package.bm3d(padded[:, :, c], sigma, profile) for c in range(channels)]
        filtered = np.stack(planes, axis=2)
    return np.asarray(filtered[:height, :width], dtype=np.float64)


def check_threads(name: str, threads: int) -> None:
    """Refuse a negative number of threads in the settings of the named method."""
    if threads < 0:
        raise UserError(f"{name}[threads={threads}]: the value must be 0 (all cores) or more.")


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
            f"BM3D needs the package bm3d, which cannot be imported ({error}). Install it with "
            "'pip install bm3d' (closed source, non-commercial use only), or leave the method out."
        ) from None
    return bm3d  # type: ignore[no-any-return]  # it has no types
