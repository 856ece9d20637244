"""The scores of `denoisebench rank` against the true PSNR, for docs/own-images.md: python tools/rank_against_truth.py.

Needs FMDD (captures of view 19) and `heldout` below DENOISEBENCH_DATA. Prints a table, writes docs/rank.png.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from denoisebench.core.progress import Quiet
from denoisebench.data.dataset import data_roots
from denoisebench.own.denoise import Request, Runner, noise_model
from denoisebench.own.residual import checks_of
from denoisebench.own.risk import ESTIMATES, from_captures, from_heldout, from_pure, from_sure
from denoisebench.own.scale import Scale
from denoisebench.own.stack import Stack, layout_of
from denoisebench.plugins.lookup import find_dataset, parse_methods
from denoisebench.protocol.images import FloatImage, to_float
from denoisebench.protocol.metrics import psnr
from denoisebench.training.weights import Shelf, weights_folders

METHODS = "nlm,nlm[strength=0.3],nlm[strength=1.2],nbr2nbr,n2v,b2u"
SIDE = 160


class Scene(NamedTuple):
    """Captures of one view, and what they show."""

    title: str
    captures: list[FloatImage]
    clean: FloatImage


def scenes() -> Iterator[Scene]:
    """Photographs with added noise, and captures of a confocal microscope."""
    photographs, rng = find_dataset("heldout", data_roots()), np.random.default_rng(1)

    def photograph(number: int) -> FloatImage:
        return to_float(photographs.load(list(photographs.images)[number])[:SIDE, :SIDE])

    for number, sigma in ((2, 10), (5, 20), (0, 25), (3, 40)):
        clean = photograph(number)
        noisy = [(clean + sigma / 255 * rng.standard_normal(clean.shape)).astype(np.float32) for _ in range(2)]
        yield Scene(f"photograph, sigma {sigma}", noisy, clean)
    for number, peak, read in ((2, 100, 0.0), (5, 30, 0.02), (7, 15, 0.05)):
        clean = photograph(number)
        noisy = [
            (rng.poisson(clean * peak) / peak + read * rng.standard_normal(clean.shape)).astype(np.float32)
            for _ in range(2)
        ]
        also = f", sigma {255 * read:.0f}" if read else ""
        yield Scene(f"photograph, {peak} counts at white{also}", noisy, clean)
    microscope = find_dataset("fmdd_bpae", data_roots())
    window = (slice(128, 128 + 192), slice(128, 128 + 192))
    captures = [to_float(microscope.capture("19", number))[window] for number in range(3)]
    yield Scene("FMDD, mean of 50 captures", captures, to_float(microscope.load("19"))[window])


def scores(scene: Scene) -> tuple[np.ndarray, list[str]]:
    """(methods, 5): true PSNR and that of each of ESTIMATES, NaN where it does not fit the noise; and the checks."""
    noisy = scene.captures[0]
    axes, data = ("YXS", noisy) if noisy.shape[2] == 3 else ("YX", noisy[:, :, 0])
    stack = Stack(Path("scene"), data, axes, lambda path, result: None, ".npy")
    layout, scale, shelf = layout_of(stack, "auto"), Scale(0.0, 1.0, "given"), Shelf(weights_folders())
    rows, said = [], []
    for method in [None, *parse_methods(METHODS, None)]:
        if method is not None and method.info.baseline:
            continue
        request = Request(method=method or parse_methods("nlm", None)[-1], out=Path(), shelf=shelf)
        apply = (lambda image: image) if method is None else Runner(request, [], Quiet()).filter(stack, layout, scale)
        noise = noise_model(stack, layout, scale, request)
        variance = noise.variance(noisy)
        results = [apply(capture.copy()) for capture in scene.captures[:2]]
        truth = psnr(results[0], scene.clean, 1.0)
        rng = np.random.default_rng(0)
        rows.append([
            truth,
            from_captures(apply, scene.captures).psnr,
            from_pure(apply, noisy, noise.gain, noise.offset, rng).psnr if noise.grows else np.nan,
            np.nan if noise.grows else from_sure(apply, noisy, float(noise.offset.mean()), rng).psnr,
            from_heldout(apply, noisy, variance, rng).psnr,
        ])  # fmt: skip
        checks = checks_of(noisy, results, variance, scene.captures[1])
        name = "noisy input" if method is None else method.text
        said.append(f"{name}: {truth:.2f} dB, {checks.correlation:.2f}, {checks.moved:.2f}, {checks.resolution:.1f} px")
    return np.array(rows), said


def main() -> None:
    """Print the table, line by line, and draw the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(ESTIMATES), figsize=(11, 3.8), sharex=True, sharey=True)
    print("| image |", " | ".join(ESTIMATES), "|")
    for number, (scene, marker) in enumerate(zip(scenes(), "^vsDPX*o", strict=True)):
        found, said = scores(scene)
        cells = []
        for kind, axis in enumerate(axes, 1):
            truth, guess = found[:, 0], found[:, kind]
            if np.isnan(guess).any():
                cells.append("")
                continue
            lost = truth.max() - truth[np.argmax(guess)]
            cells.append(f"{spearmanr(truth, guess).statistic:.2f}, {np.mean(guess - truth):+.2f}, {lost:.2f}")
            axis.plot(
                truth, guess, marker, color=f"C{number}", ms=5, alpha=0.8, label=scene.title.replace("sigma ", "σ=")
            )
        print("|", scene.title, "|", " | ".join(cells), "|", flush=True)
        print("\n".join(said), file=sys.stderr, flush=True)
    for axis, title in zip(axes, ESTIMATES, strict=True):
        axis.plot([15, 47], [15, 47], "k-", lw=0.7)
        axis.set_title(title)
        axis.set_xlabel("true PSNR, dB")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("estimated PSNR, dB")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=7.5)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.savefig(Path(__file__).parents[1] / "docs" / "rank.png", dpi=90)


if __name__ == "__main__":
    main()
