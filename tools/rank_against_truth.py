"""The scores of `denoisebench rank` against the true PSNR, for docs/own-images.md: python tools/rank_against_truth.py.

Needs FMDD (captures of view 19) and `heldout` below DENOISEBENCH_DATA. Prints a table, writes docs/rank.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from denoisebench.core.progress import Quiet
from denoisebench.data.dataset import data_roots
from denoisebench.own.denoise import Request, Runner, noise_variance
from denoisebench.own.rank import from_captures, from_heldout, from_sure
from denoisebench.own.scale import Scale
from denoisebench.own.stack import Stack, layout_of
from denoisebench.plugins.lookup import find_dataset, parse_methods
from denoisebench.protocol.images import FloatImage, to_float
from denoisebench.training.weights import Shelf, weights_folders

METHODS = "nlm,nlm[strength=0.3],nlm[strength=1.2],nbr2nbr,n2v,b2u"
KINDS = ("captures", "sure", "heldout")
SIDE = 160


class Scene(NamedTuple):
    """Captures of one view, and what they show."""

    title: str
    captures: list[FloatImage]
    clean: FloatImage


def scenes() -> list[Scene]:
    """Photographs with added noise, and a confocal microscope."""
    photographs, rng = find_dataset("heldout", data_roots()), np.random.default_rng(1)
    found = []
    for number, sigma in ((2, 10), (5, 20), (0, 25), (3, 40)):
        clean = to_float(photographs.load(list(photographs.images)[number])[:SIDE, :SIDE])
        noisy = [(clean + sigma / 255 * rng.standard_normal(clean.shape)).astype(np.float32) for _ in range(2)]
        found.append(Scene(f"photograph, sigma {sigma}", noisy, clean))
    microscope = find_dataset("fmdd_bpae", data_roots())
    window = (slice(128, 128 + 192), slice(128, 128 + 192))
    captures = [to_float(microscope.capture("19", number))[window] for number in range(3)]
    return [*found, Scene("FMDD, mean of 50 captures", captures, to_float(microscope.load("19"))[window])]


def scores(scene: Scene) -> np.ndarray:
    """(methods, 4): true PSNR and that of each kind of estimate."""
    noisy = scene.captures[0]
    axes, data = ("YXS", noisy) if noisy.shape[2] == 3 else ("YX", noisy[:, :, 0])
    stack = Stack(Path("scene"), data, axes, lambda path, result: None, ".npy")
    layout, scale, shelf = layout_of(stack, "auto"), Scale(0.0, 1.0, "given"), Shelf(weights_folders())
    rows = []
    for method in [None, *parse_methods(METHODS, None)]:
        if method is not None and method.info.baseline:
            continue
        request = Request(method=method or parse_methods("nlm", None)[-1], out=Path(), shelf=shelf)
        apply = (lambda image: image) if method is None else Runner(request, [], Quiet()).filter(stack, layout, scale)
        variance = noise_variance(stack, layout, scale, request)[0]
        truth = -10 * np.log10(np.mean(np.square(apply(noisy.copy()) - scene.clean)))
        estimates = (
            from_captures(apply, scene.captures),
            from_sure(apply, noisy, variance, np.random.default_rng(0)),
            from_heldout(apply, noisy, variance, np.random.default_rng(0)),
        )
        rows.append([truth, *(one.psnr for one in estimates)])
    return np.array(rows)


def main() -> None:
    """Print the table, line by line, and draw the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(9, 3.3), sharex=True, sharey=True)
    print("| image |", " | ".join(KINDS), "|")
    for scene, marker in zip(scenes(), "^vsDo", strict=True):
        found, cells = scores(scene), []
        for kind, axis in enumerate(axes, 1):
            truth, guess = found[:, 0], found[:, kind]
            lost = truth.max() - truth[np.argmax(guess)]
            cells.append(f"{spearmanr(truth, guess).statistic:.2f}, {np.mean(guess - truth):+.2f}, {lost:.2f}")
            axis.plot(truth, guess, marker, ms=5, alpha=0.8, label=scene.title.replace("sigma ", "σ="))
        print("|", scene.title, "|", " | ".join(cells), "|", flush=True)
    for axis, title in zip(axes, KINDS, strict=True):
        axis.plot([15, 47], [15, 47], "k-", lw=0.7)
        axis.set_title(title)
        axis.set_xlabel("true PSNR, dB")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("estimated PSNR, dB")
    axes[0].legend(fontsize=6.5)
    figure.tight_layout()
    figure.savefig(Path(__file__).parents[1] / "docs" / "rank.png", dpi=90)


if __name__ == "__main__":
    main()
