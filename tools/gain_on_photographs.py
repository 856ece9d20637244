"""How well `diagnose` finds the gain of noise on textured photographs, for docs/own-images.md.

    python tools/gain_on_photographs.py

Needs `heldout` below DENOISEBENCH_DATA. Adds Poisson and Gaussian noise to the green channel and fits its growth.
"""

from __future__ import annotations

import numpy as np

from denoisebench.data.dataset import data_roots
from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.images import to_float
from denoisebench.toolbox.flat import noise_growth

# Counts at white, and read noise in 8-bit units.
NOISES = ((300, 0.0), (100, 0.0), (100, 5.0), (50, 0.0), (20, 0.0), (10, 5.0))
SIGMAS = (10, 25, 50)


def main() -> None:
    """Print the table, line by line."""
    photographs, rng = find_dataset("heldout", data_roots()), np.random.default_rng(0)
    greens = [to_float(photographs.load(name))[:, :, 1].astype(np.float64) for name in photographs.images]
    print("| counts at white | read noise | median | size | within 5 % | within 10 % | worst | over its error |")
    print("|---|---|---|---|---|---|---|---|")
    for counts, read in NOISES:
        found = [
            noise_growth([rng.poisson(green * counts) / counts + read / 255 * rng.standard_normal(green.shape)])
            for green in greens
        ]
        off = np.array([growth.gain * counts - 1 for growth in found])
        errors = np.array([growth.gain_error * counts for growth in found])
        size = np.abs(off)
        print(
            f"| {counts} | {read:g} | {np.median(off):+.1%} | {np.median(size):.1%} | {np.mean(size < 0.05):.0%} | "
            f"{np.mean(size < 0.1):.0%} | {off[np.argmax(size)]:+.0%} | {np.sqrt(np.mean((off / errors) ** 2)):.1f} |",
            f"grows: {sum(growth.grows for growth in found)}",
            flush=True,
        )
    for sigma in SIGMAS:
        found = [noise_growth([green + sigma / 255 * rng.standard_normal(green.shape)]) for green in greens]
        print(f"Gaussian, sigma {sigma}: taken for growing in {sum(growth.grows for growth in found)} of {len(found)}")


if __name__ == "__main__":
    main()
