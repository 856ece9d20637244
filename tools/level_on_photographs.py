"""How well the level of white noise is found on textured photographs, for docs/own-images.md.

    python tools/level_on_photographs.py

Needs `heldout` below DENOISEBENCH_DATA. Adds Gaussian noise to 320x320 pixels of each photograph, in colour and to the
green channel alone.
"""

from __future__ import annotations

import numpy as np

from denoisebench.data.dataset import data_roots
from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.images import to_float
from denoisebench.toolbox.estimation import Level, estimate_level, estimate_sigma

SIGMAS, SIDE = (5, 10, 25, 50), 320


def line(clean: list[np.ndarray], sigma: float, rng: np.random.Generator) -> str:
    """The cells of one kind of image and one level."""
    noisy = [(one + sigma / 255 * rng.standard_normal(one.shape)).astype(np.float32) for one in clean]
    found: list[Level] = [estimate_level(one) for one in noisy]
    off = np.array([255 * one.sigma / sigma - 1 for one in found])
    patches = np.array([255 * estimate_sigma(one) / sigma - 1 for one in noisy])
    errors = np.array([one.error for one in found])
    correlated, within = sum(one.correlated for one in found), np.mean(np.abs(off) < 2 * errors)
    return (
        f"{np.median(patches):+.1%} | {np.median(off):+.1%} | {np.quantile(np.abs(off), 0.8):.1%} | "
        f"{off.max():+.0%} | {correlated} of {len(found)} | {within:.0%}"
    )


def main() -> None:
    """Print the table, line by line."""
    photographs, rng = find_dataset("heldout", data_roots()), np.random.default_rng(0)
    colour = [to_float(photographs.load(name))[:SIDE, :SIDE] for name in photographs.images]
    print("| | sigma | all patches | median | 80 % within | most | taken for correlated | within twice its error |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, images in (("gray", [one[:, :, 1:2] for one in colour]), ("colour", colour)):
        for sigma in SIGMAS:
            print(f"| {kind} | {sigma} | {line(images, sigma, rng)} |", flush=True)


if __name__ == "__main__":
    main()
