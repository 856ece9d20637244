"""BM3D on correlated noise: the suite's own and the ``bm3d`` package of its authors, told the noise's spectrum or not.

Usage: python tools/bm3d_correlated.py MEASURED [--dataset NAME] [--kernels NAME,...] [--sigma S,...] [--images N]
       [--side PIXELS] [--gray] [--no-package]

White noise is drawn, filtered by a kernel, scaled to the level S (of 255) and added to the middle of N images, evenly
spread over the set. Appends a line for each image and filter to the file MEASURED (CSV), leaves out those that it holds
already, and prints a table of all of them: mean PSNR on floats cut to 0..1, by

    noisy        the noisy image
    white        here, told the level, the noise taken for white
    package      the package, told the power spectrum
    told         here, told the autocovariance
    measured     here, told nothing: bm3d[correlation=image]

The package is closed source, for non-commercial use only.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import convolve2d
from tabulate import tabulate

from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.metrics import psnr
from denoisebench.toolbox.autocovariance import filtered, measured, spectrum
from denoisebench.toolbox.collaborative import bm3d

Array = npt.NDArray[np.float64]
COLUMNS = ("dataset", "kernel", "sigma", "channels", "side", "image", "filter", "psnr")
KERNELS: dict[str, Array] = {
    "white": np.ones((1, 1)),
    "row": np.ones((1, 5)),
    "blur": np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]),
    "checker": np.outer([1.0, -1.0], [1.0, -1.0]),
    "diagonal": np.eye(4),
}
GRAY = np.array([0.299, 0.587, 0.114])
Filter = Callable[[Array, float, Array], Array]


def by_package(noisy: Array, level: float, kernel: Array) -> Array:
    """Told the power spectrum of the noise."""
    import bm3d as package

    if not hasattr(np, "trapz"):  # bm4d 4.2 looks for it, and NumPy has renamed it
        np.trapz = np.trapezoid  # type: ignore[attr-defined]
    profile = package.BM3DProfile()
    profile.num_threads = 1
    height, width, channels = noisy.shape
    power = spectrum(filtered(kernel, [level]).values[:, :, 0, 0], height, width).clip(min=0) * height * width
    if channels == 3:
        return np.asarray(package.bm3d_rgb(noisy, np.repeat(power[:, :, None], 3, axis=2), profile))
    return np.asarray(package.bm3d(noisy[:, :, 0], power, profile))[:, :, None]


FILTERS: dict[str, Filter] = {
    "noisy": lambda noisy, level, kernel: noisy,
    "white": lambda noisy, level, kernel: bm3d(noisy, level),
    "package": by_package,
    "told": lambda noisy, level, kernel: bm3d(noisy, filtered(kernel, [level] * noisy.shape[2])),
    "measured": lambda noisy, level, kernel: bm3d(noisy, measured(noisy)),
}


def correlated(shape: tuple[int, ...], kernel: Array, rng: np.random.Generator) -> Array:
    """Noise (H, W, C) of variance 1, channels independent."""
    height, width = (side + more - 1 for side, more in zip(shape, kernel.shape, strict=False))
    planes = [convolve2d(rng.normal(size=(height, width)), kernel, "valid") for _ in range(shape[2])]
    return np.stack(planes, axis=2) / float(np.sqrt(np.sum(kernel**2)))


def measure(options: argparse.Namespace, known: set[tuple[str, ...]]) -> Iterator[dict[str, str]]:
    """Filter the images of a set, where that is not known yet."""
    data = find_dataset(options.dataset, ())
    names = list(data.images)
    step = max(1, len(names) // options.images) if options.images else 1
    for number, name in list(enumerate(names))[step // 2 :: step][: options.images]:
        clean = np.asarray(data.load(name)) / 255.0
        top, left = (max(0, side - options.side) // 2 for side in clean.shape[:2])
        clean = clean[top : top + options.side, left : left + options.side]
        clean = (clean @ GRAY)[:, :, None] if options.gray and clean.shape[2] == 3 else clean
        for kernel in options.kernels.split(","):
            for sigma in options.sigma.split(","):
                level, rng = float(sigma) / 255, np.random.default_rng(number)
                noisy = clean + level * correlated(clean.shape, KERNELS[kernel], rng)
                for label, through in FILTERS.items():
                    values = (options.dataset, kernel, sigma, str(clean.shape[2]), str(options.side), name, label)
                    if values in known or (label == "package" and options.no_package):
                        continue
                    result = np.clip(through(noisy, level, KERNELS[kernel]), 0, 1)
                    yield dict(zip(COLUMNS, (*values, f"{psnr(result, clean, 1.0):.4f}"), strict=True))


def table(lines: list[Mapping[str, str]]) -> str:
    """One line for each set, kernel and level: means over the images that all filters have done."""
    found: dict[tuple[str, ...], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        key = tuple(line[name] for name in ("dataset", "kernel", "sigma", "channels", "side"))
        found[key][line["image"]][line["filter"]] = float(line["psnr"])
    rows = []
    for key, images in found.items():
        labels = [label for label in FILTERS if any(label in scores for scores in images.values())]
        whole = [scores for scores in images.values() if len(scores) == len(labels)]
        means = [np.mean([scores[label] for scores in whole]) if label in labels else None for label in FILTERS]
        rows.append((*key, len(whole), *means))
    heads = ("images", "kernel", "sigma", "channels", "side", "number", *FILTERS)
    return str(tabulate(rows, heads, "github", floatfmt=("",) * 6 + (".2f",) * len(FILTERS)))


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--dataset", default="heldout")
    parser.add_argument("--kernels", default="row,blur,checker,diagonal")
    parser.add_argument("--sigma", default="25")
    parser.add_argument("--images", type=int)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--gray", action="store_true")
    parser.add_argument("--no-package", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines: list[Mapping[str, str]] = []
    if options.measured.is_file():
        with options.measured.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
    known = {tuple(line[name] for name in COLUMNS[:-1]) for line in lines}
    with options.measured.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if not stream.tell():
            writer.writeheader()
        for line in measure(options, known):
            writer.writerow(line)
            stream.flush()
            lines.append(line)
    print(table(lines))


if __name__ == "__main__":
    main()
