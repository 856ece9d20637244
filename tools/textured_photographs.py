"""What `diagnose` says of white noise on photographs, for docs/own-images.md: how often is it called correlated?

Usage: python tools/textured_photographs.py. Needs `heldout` and `bsd400_color` below DENOISEBENCH_DATA, of the latter
every 16th photograph. Each in colour, its green channel, and every second pixel of that, as on the mosaic of a camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tabulate import tabulate

from denoisebench.data.dataset import data_roots
from denoisebench.own.diagnose import diagnose
from denoisebench.own.stack import Array, Stack, layout_of
from denoisebench.plugins.lookup import find_dataset

SETS = (("heldout", 1), ("bsd400_color", 16))
KINDS, SIGMAS = ("colour", "green", "mosaic"), (5, 10, 25, 50)
HEADS = ("set", "image", "sigma", "independent", "cannot be told", "correlated", "level over truth", "90 %")


def images(name: str, every: int) -> Iterator[list[Array]]:
    """Of each photograph one image for each of `KINDS`."""
    data = find_dataset(name, data_roots())
    for one in data.images[::every]:
        image = data.load(one).astype(np.float64)
        yield [image, image[:, :, 1], image[::2, ::2, 1]]


def main() -> None:
    """Print a line for each set, kind of image and level."""
    rows = []
    for name, every in SETS:
        rng = np.random.default_rng(0)
        said: dict[tuple[str, int], list[bool | None]] = {}
        level: dict[tuple[str, int], list[float]] = {}
        for of_photograph in images(name, every):
            for kind, clean in zip(KINDS, of_photograph, strict=True):
                for sigma in SIGMAS:
                    noisy = clean + sigma * rng.standard_normal(clean.shape)
                    stack = Stack(Path(name), noisy, "YXS"[: noisy.ndim], lambda path, result: None, ".npy")
                    found = diagnose(stack, layout_of(stack, "auto"))
                    said.setdefault((kind, sigma), []).append(found.independent)
                    level.setdefault((kind, sigma), []).append(found.level.sigma / sigma)
        for (kind, sigma), answers in said.items():
            counts = [answers.count(answer) for answer in (True, None, False)]
            found_levels = level[kind, sigma]
            rows.append(
                (name, kind, sigma, *counts, f"{np.median(found_levels):.2f}", f"{np.quantile(found_levels, 0.9):.2f}")
            )
    print(tabulate(rows, HEADS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
