"""The figures of the pages of methods: one piece of a photograph, as each method leaves it.

Usage, in the root of the checkout: python tools/method_figures.py

The photograph is chelsea.png of scikit-image (Stéfan van der Walt, CC0), which is in no training set. Drawn are methods
that need no training and those with a shipped network; docs/method_pages.py says why others have none. The pictures are
WebP with a small loss, for looking at; the scores in scores.json are of what was denoised.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import denoisebench as db
from denoisebench.plugins.method import PerImageMethod
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.images import AnyImage, to_uint8

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures" / "methods"
TOP, LEFT, SIDE = 60, 110, 192


def main() -> None:
    """Make all of them anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    clean = data.chelsea()[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    noisy = {noise: db.add_noise(clean, noise, seed=0) for noise in ("gauss25", "poisson30")}
    _keep("clean", clean)
    scores: dict[str, dict[str, str | float]] = {}
    for noise, image in noisy.items():
        _keep(noise, image)
        scores[noise] = {"noise": noise, "psnr": round(db.psnr(image, clean), 2)}
    for name in METHODS.names():
        kind = METHODS.get(name)
        if METHODS.origin(name) != "built in" or issubclass(kind, PerImageMethod) or name == "identity":
            continue
        noise = "poisson30" if name == "anscombe_bm3d" else "gauss25"
        try:
            result = db.denoise(noisy[noise], name, noise=noise)
        except db.UserError as error:
            print(f"{name}: {error}")
            continue
        _keep(name, result)
        scores[name] = {"noise": noise, "psnr": round(db.psnr(result, clean), 2)}
        print(name, scores[name]["psnr"])
    (FOLDER / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    for path in FOLDER.glob("*.webp"):
        if path.stem not in {*scores, "clean"}:
            path.unlink()


def _keep(name: str, image: AnyImage) -> None:
    """Write an image, floats with white = 1.0."""
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    Image.fromarray(pixels).save(FOLDER / f"{name}.webp", quality=93, method=6)


if __name__ == "__main__":
    main()
