"""Noisy images for docs/tutorial.md, as people have them, and the figures of what its commands made of them.

    python tools/tutorial_images.py make             # cells.tif and photographs/ in this folder
    python tools/tutorial_images.py draw             # before and after, when the commands of the tutorial have run

Noise is added to images inside scikit-image's wheel (CC0 and public domain): four 16-bit captures of a cell, counts of
25 values each on an offset of 400; three JPEGs of a camera at high gain, whose noise was made before demosaicing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

GAIN, OFFSET, READ, COUNTS = 25.0, 400.0, 20.0, 30.0
SIGMA, TIED, QUALITY = 18.0, 0.6, 92
DOCS = Path(__file__).parents[1] / "docs"
SIDE = 200


def make() -> None:
    """Write the noisy images."""
    rng = np.random.default_rng(0)
    cell = gaussian_filter(np.asarray(data.cell(), np.float64) / 255, 1.0)[:512, :512]
    counts = rng.poisson(COUNTS * np.stack([cell] * 4)) * GAIN + OFFSET + READ * rng.standard_normal((4, *cell.shape))
    tifffile.imwrite("cells.tif", np.clip(np.round(counts), 0, 65535).astype(np.uint16), metadata={"axes": "QYX"})
    folder = Path("photographs")
    folder.mkdir(exist_ok=True)
    for name in ("coffee", "chelsea", "rocket"):
        clean = np.asarray(getattr(data, name)(), np.float64)
        noise = gaussian_filter(rng.standard_normal(clean.shape), (TIED, TIED, 0))
        noisy = np.clip(np.round(clean + SIGMA * noise / noise.std()), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{name}.jpg", quality=QUALITY, subsampling=0)


def draw() -> None:
    """Write what the commands of the tutorial made of them, beside what they got, as docs/tutorial-*.webp."""
    corners = {"cells": (275, 311), "photographs": (190, 190)}
    pairs = {
        "cells": [tifffile.imread(path)[0] for path in ("cells.tif", "denoised/cells.tif")],
        "photographs": [
            np.asarray(Image.open(path)) for path in ("photographs/coffee.jpg", "denoised/coffee.png")
        ],
    }  # fmt: skip
    for name, both in pairs.items():
        top, left = corners[name]
        parts = [image[top : top + SIDE, left : left + SIDE].astype(np.float64) for image in both]
        black, white = np.percentile(parts[0], (0.5, 99.5)) if name == "cells" else (0.0, 255.0)
        shown = [_shown(part, float(black), float(white)) for part in parts]
        space = np.full((SIDE, 6, *shown[0].shape[2:]), 255, np.uint8)
        Image.fromarray(np.concatenate([shown[0], space, shown[1]], axis=1)).save(
            DOCS / f"tutorial-{name}.webp", quality=85
        )


def _shown(part: npt.NDArray[np.float64], black: float, white: float) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(255 * (part - black) / (white - black), 0, 255), np.uint8)


if __name__ == "__main__":
    {"make": make, "draw": draw}[sys.argv[1]]()
