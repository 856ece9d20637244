"""Memory at the peak and seconds of the suite's BM3D on one large image.

Usage: python tools/bm3d_memory.py [--height H] [--width W] [--channels C] [--threads T] [--rounds R]

The image is a photograph of scikit-image, repeated to that size, with noise of level 25. Prints processor and wall
seconds of each round, after a first call on a corner of the image, and the most memory that the process held: Python,
torch, the image and the result in double precision, and the work.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import numpy.typing as npt
import skimage.data

from denoisebench.toolbox.collaborative import bm3d


def noisy_image(height: int, width: int, channels: int) -> npt.NDArray[np.float64]:
    """A photograph repeated over (height, width, channels) with noise, made in place: it must not set the peak."""
    photograph = skimage.data.astronaut()[:, :, :channels] / 255.0
    image, rng = np.empty((height, width, channels)), np.random.default_rng(0)
    for top in range(0, height, len(photograph)):
        band = image[top : top + len(photograph)]
        repeats = -(-width // photograph.shape[1])
        band[:] = np.tile(photograph, (1, repeats, 1))[: len(band), :width]
        band += 25 / 255 * rng.standard_normal(band.shape)
    return image


def main() -> None:
    """Filter one image, once or several times, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    image = noisy_image(options.height, options.width, options.channels)
    bm3d(image[:64, :64], 25 / 255, options.threads)
    for _ in range(options.rounds):
        processor, wall = time.process_time(), time.perf_counter()
        result = bm3d(image, 25 / 255, options.threads)
        seconds, elapsed = time.process_time() - processor, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 * 1.024  # units of 1024 bytes on Linux
        print(f"{result.shape}: {seconds:.2f} s of processor, {elapsed:.2f} s, {peak:.2f} GB at the peak", flush=True)


if __name__ == "__main__":
    main()
