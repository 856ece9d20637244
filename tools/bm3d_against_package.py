"""BM3D of the suite against the ``bm3d`` package of its authors: PSNR and processor seconds on the same noisy images.

Usage: python tools/bm3d_against_package.py MEASURED [--datasets NAME,...] [--noise NOISE,...] [--images N]
       [--threads T]

Appends a line for each image and engine to the file MEASURED (CSV), leaves out those that it holds already, and prints
a table of all of them. N: so many images of each set, evenly spread over it; all if left out. Noise is the suite's own
(counter draws, seed 0), the level is known to both, PSNR is that of the suite, on 8 bits. Seconds are processor time of
one image, all threads together, so that other work on the machine counts little; but it does slow caches down.

The package is closed source, for non-commercial use only.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.images import to_uint8
from denoisebench.protocol.metrics import psnr
from denoisebench.protocol.noise import parse_noise
from denoisebench.toolbox.bm3d_filter import bm3d_filter

COLUMNS = ("dataset", "noise", "image", "engine", "threads", "psnr", "seconds", "wall")
HEADS = (
    "images", "noise", "number", "package, dB", "here, dB", "difference", "worst", "package, s", "here, s", "ratio",
)  # fmt: skip
_Key = tuple[str, str, str, str, str]


def measure(dataset: str, noise: str, count: int | None, threads: int, known: set[_Key]) -> Iterator[dict[str, object]]:
    """Filter the images of a set by both engines, where that is not known yet."""
    data, model = find_dataset(dataset, ()), parse_noise(noise)
    names = list(data.images)
    step = max(1, len(names) // count) if count else 1
    for name in names[step // 2 :: step][:count]:
        clean = np.asarray(data.load(name))
        drawn = CounterDraws().draw(dataset, name, 0, clean, model)
        for engine in ("package", "torch"):
            if (dataset, noise, name, engine, str(threads)) in known:
                continue
            processor, wall = time.process_time(), time.perf_counter()
            result = bm3d_filter(drawn.noisy.astype(np.float64), drawn.level, threads, engine)  # type: ignore[arg-type]
            seconds, elapsed = time.process_time() - processor, time.perf_counter() - wall
            score = psnr(to_uint8(result.astype(np.float32)), clean)
            values = (dataset, noise, name, engine, threads, f"{score:.4f}", f"{seconds:.3f}", f"{elapsed:.3f}")
            yield dict(zip(COLUMNS, values, strict=True))


def table(lines: list[Mapping[str, str]], threads: int) -> str:
    """One line for each set and noise, over the images that both engines filtered."""
    found: dict[tuple[str, str], dict[str, dict[str, Mapping[str, str]]]] = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if line["threads"] == str(threads):
            found[line["dataset"], line["noise"]][line["image"]][line["engine"]] = line
    rows = []
    for (dataset, noise), images in found.items():
        pairs = [(both["package"], both["torch"]) for both in images.values() if len(both) == 2]
        if pairs:
            scores, seconds = (
                np.array([[float(x[key]) for x in pair] for pair in pairs]) for key in ("psnr", "seconds")
            )
            difference, (slow, fast) = scores[:, 1] - scores[:, 0], seconds.mean(axis=0)
            mean = scores.mean(axis=0)
            rows.append(
                (dataset, noise, len(pairs), *mean, difference.mean(), difference.min(), slow, fast, slow / fast)
            )
    return str(
        tabulate(rows, HEADS, "github", floatfmt=("", "", "", ".3f", ".3f", "+.3f", "+.3f", ".2f", ".2f", ".1f"))
    )


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--datasets", default="set12,bsd68,kodak")
    parser.add_argument("--noise", default="gauss15,gauss25,gauss50")
    parser.add_argument("--images", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warm = np.random.default_rng(0).normal(size=(32, 32, 1))
    bm3d_filter(warm, 1.0)
    lines: list[Mapping[str, str]] = []
    if options.measured.is_file():
        with options.measured.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
    known = {(x["dataset"], x["noise"], x["image"], x["engine"], x["threads"]) for x in lines}
    with options.measured.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if not stream.tell():
            writer.writeheader()
        for dataset in options.datasets.split(","):
            for noise in options.noise.split(","):
                for line in measure(dataset, noise, options.images, options.threads, known):
                    writer.writerow(line)
                    stream.flush()
                    lines.append({name: str(value) for name, value in line.items()})
    print(table(lines, options.threads))


if __name__ == "__main__":
    main()
