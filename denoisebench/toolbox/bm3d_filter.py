"""The BM3D filter of an image by one of two engines: `collaborative`, or the ``bm3d`` package of its authors.

The package is closed source and for non-commercial use only. It is imported when it is asked for, and not before.
"""

from __future__ import annotations

import os
from dataclasses import replace
from types import ModuleType
from typing import Literal

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.plugins.method import Info
from denoisebench.toolbox.autocovariance import Autocovariance
from denoisebench.toolbox.collaborative import bm3d

Engine = Literal["torch", "package"]

LICENCE = (
    "written from the papers (BSD-3-Clause); only engine=package imports the bm3d package (Tampere University): "
    "closed source, non-commercial use only"
)
#: Distributions whose version decides the result of each engine.
_PACKAGES: dict[Engine, tuple[str, ...]] = {"torch": ("torch",), "package": ("bm3d", "bm4d")}
#: All of them.
PACKAGES = ("torch", "bm3d", "bm4d")

# The package ends the process with a segmentation fault on 8x8 images and refuses smaller ones.
_SMALLEST_SIDE = 16


def bm3d_filter(
    image: npt.NDArray[np.float64], noise: float | Autocovariance, threads: int = 1, engine: Engine = "torch"
) -> npt.NDArray[np.float64]:
    """BM3D; in colour CBM3D.

    Parameters
    ----------
    image : npt.NDArray[np.float64]
        (H, W, C) of roughly 0..1.
    noise : float or Autocovariance
        Standard deviation of its white Gaussian noise on the same scale, above 0; or how correlated noise is, which the
        package is not told.
    threads : int
        Processor threads, 0: all cores. With more than one the sums of the package run in varying order: other bits,
        the same PSNR to 1e-4 dB. The other engine repeats to the last bit.
    engine : {'torch', 'package'}
        The suite's own code, or the package with its default profile.

    Returns
    -------
    npt.NDArray[np.float64]
        (H, W, C), not clipped.

    Raises
    ------
    UserError
        The package is asked for and not installed, or has no binary for this platform, or is given correlated noise.
    """
    if engine == "torch":
        return bm3d(image, noise, threads or os.cpu_count() or 1)
    if isinstance(noise, Autocovariance):
        raise UserError("BM3D with engine=package filters white noise here; leave correlation or engine=package out.")
    return _by_package(image, noise, threads)


def info_of(info: Info, engine: Engine) -> Info:
    """What is said of a method when it uses an engine: only that one's packages decide its results."""
    return replace(info, packages=_PACKAGES[engine])


def _by_package(image: npt.NDArray[np.float64], sigma: float, threads: int) -> npt.NDArray[np.float64]:
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
            f"BM3D with engine=package needs the package bm3d, which cannot be imported ({error}). Install it with "
            "'pip install bm3d' (closed source, non-commercial use only), or leave engine=package out."
        ) from None
    return bm3d  # type: ignore[no-any-return]  # it has no types
