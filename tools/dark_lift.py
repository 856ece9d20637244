"""What the lift of dark grounds before a network brings on images that it was not chosen on: for docs/own-images.md.

Usage: python tools/dark_lift.py. `denoisebench.own.network.DARK` was chosen with view 19 of FMDD in sight and with
photographs of the first half of `heldout`. Here are the other images of FMDD, `fmdd_pairs`, and the second half of
`heldout` with Poisson noise, as bright as it is and eight times darker; all below DENOISEBENCH_DATA. Prints PSNR in dB
against the brightest value of the clean image, without and with the lift; of photographs the means, and the least and
the most that the lift brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from denoisebench.core.progress import Quiet
from denoisebench.data.dataset import data_roots
from denoisebench.own import network
from denoisebench.own.denoise import Request, Runner
from denoisebench.own.risk import Filter
from denoisebench.own.scale import Scale
from denoisebench.own.stack import Stack, layout_of
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.protocol.images import FloatImage, to_float
from denoisebench.protocol.metrics import psnr
from denoisebench.training.weights import Shelf, weights_folders

METHODS = ("nbr2nbr", "b2u", "n2v")
LIFTS = (0.0, network.DARK)
# Of photographs: the first one, how many, side, counts at white.
FIRST, COUNT, SIDE, COUNTS = 8, 8, 256, 30


class Pair(NamedTuple):
    """A noisy image and what it shows, black = 0 and white = 1, and the line of the table that it belongs to."""

    line: str
    noisy: FloatImage
    clean: FloatImage


def pairs() -> Iterator[Pair]:
    """Captures of confocal microscopes, then photographs."""
    microscope = find_dataset("fmdd_pairs", data_roots())
    for name in microscope.images:
        yield Pair(f"FMDD, {name}", to_float(microscope.capture(name, 0)), to_float(microscope.load(name)))
    photographs, rng = find_dataset("heldout", data_roots()), np.random.default_rng(0)
    for darker, also in ((8, ", eight times darker"), (1, "")):
        for name in photographs.images[FIRST : FIRST + COUNT]:
            image = photographs.load(name)
            top, left = ((side - SIDE) // 2 for side in image.shape[:2])
            clean = to_float(image[top : top + SIDE, left : left + SIDE]) / np.float32(darker)
            counts = darker * COUNTS
            noisy = (rng.poisson(clean * counts) / counts).astype(np.float32)
            yield Pair(f"{COUNT} photographs, {COUNTS} counts at white{also}", noisy, clean)


def scores(pair: Pair, shelf: Shelf) -> list[float]:
    """PSNR of the noisy image, and of each method without and with the lift."""
    axes, data = ("YXS", pair.noisy) if pair.noisy.shape[2] == 3 else ("YX", pair.noisy[:, :, 0])
    stack = Stack(Path("pair"), data, axes, lambda path, result: None, ".npy")
    brightest = float(pair.clean.max())
    layout, found = layout_of(stack, "auto"), [psnr(pair.noisy, pair.clean, brightest)]
    for method in METHODS:
        request = Request(method=parse_method(method), out=Path(), shelf=shelf)
        apply: Filter = Runner(request, [], Quiet()).filter(stack, layout, Scale(0.0, 1.0, "given"))
        for lift in LIFTS:
            network.DARK = lift
            found.append(psnr(apply(pair.noisy.copy()), pair.clean, brightest))
    return found


def row(line: str, found: list[list[float]]) -> list[str]:
    """Means, and by method what the lift brings to single images."""
    noisy, *rest = np.mean(found, axis=0)
    cells = [line, f"{noisy:.2f}"]
    for number in range(0, len(rest), 2):
        gains = [one[number + 2] - one[number + 1] for one in found]
        spread = f" ({min(gains):+.2f} to {max(gains):+.2f})" if len(gains) > 1 else f" ({gains[0]:+.2f})"
        cells.append(f"{rest[number]:.2f}, {rest[number + 1]:.2f}{spread}")
    return cells


def main() -> None:
    """Print the table."""
    shelf = Shelf(weights_folders())
    lines: dict[str, list[list[float]]] = {}
    for pair in pairs():
        lines.setdefault(pair.line, []).append(scores(pair, shelf))
    rows = [row(line, found) for line, found in lines.items()]
    print(tabulate(rows, ["image", "noisy", *METHODS], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
