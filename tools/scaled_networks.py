"""A network for one level on images of others, as they are and scaled to it: a table of docs/own-images.md.

Usage: python tools/scaled_networks.py [METHOD]. Takes the middle of the first five photographs of `heldout`, which lies
below DENOISEBENCH_DATA.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from tabulate import tabulate

import denoisebench as db
from denoisebench.data.dataset import data_roots
from denoisebench.own.network import choose
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.images import FloatImage, UIntImage
from denoisebench.training.weights import Shelf, weights_folders

METHOD = sys.argv[1] if len(sys.argv) > 1 else "nbr2nbr"
ONE, RANGE = f"{METHOD}-gauss25-rgb", f"{METHOD}-gauss5_50-rgb"
LEVELS, COUNT, SIDE = (5, 10, 15, 25, 40), 5, 256
HEADS = ("sigma", "noisy", "network of 25 as it is", "image scaled to it", "network of 5 to 50", "NLM, sigma told")


def photographs() -> list[UIntImage]:
    """Pieces of photographs of no training and no test set."""
    data = find_dataset("heldout", data_roots())
    found = []
    for name in data.images[:COUNT]:
        image = data.load(name)
        top, left = ((side - SIDE) // 2 for side in image.shape[:2])
        found.append(np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE]))
    return found


def passed(network: torch.nn.Module, image: FloatImage) -> FloatImage:
    """An image (H, W, 3) through a network."""
    with torch.inference_mode():
        result = network(torch.from_numpy(image).permute(2, 0, 1)[None])
    return np.asarray(result[0].permute(1, 2, 0).numpy())


def chosen(name: str, network: torch.nn.Module, noisy: FloatImage, sigma: int, shelf: Shelf) -> FloatImage:
    """Denoised as `denoisebench denoise` does with a network: scaled to its level, and lifted."""
    method = parse_method(METHOD)
    assert isinstance(method, LearnedMethod)
    choice = choose(method, sigma / 255, 3, shelf, name)
    factor, shift = np.float32(choice.factor), np.float32(choice.shift)
    return np.asarray((passed(network, factor * noisy + shift) - shift) / factor)


def main() -> None:
    """Print a line for each level, mean PSNR over the photographs."""
    shelf, pieces, rows = Shelf(weights_folders()), photographs(), []
    one, ranged = (db.load_network(name, device="cpu").module for name in (ONE, RANGE))
    for sigma in LEVELS:
        scores = []
        for number, clean in enumerate(pieces):
            noisy = db.add_noise(clean, f"gauss{sigma}", seed=number)
            results = (
                noisy, passed(one, noisy), chosen(ONE, one, noisy, sigma, shelf),
                chosen(RANGE, ranged, noisy, sigma, shelf),
                db.denoise(noisy, "nlm[sigma=known]", noise=f"gauss{sigma}"),
            )  # fmt: skip
            scores.append([db.psnr(result, clean) for result in results])
        rows.append([str(sigma), *(f"{value:.2f}" for value in np.mean(scores, axis=0))])
    print(tabulate(rows, HEADS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
