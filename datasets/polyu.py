"""PolyU: 100 crops of photographs with the real noise of five cameras, against means of 500 exposures.

100 pairs of 512x512 colour JPEG. Source: Xu, Li, Liang, Zhang, Zhang, Real-world Noisy Image Denoising: A New
Benchmark, 2018, https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset. No licence is stated; use for
research only.

Trap: the cropped version, stored as JPEG, noise included. The noise is weak (about 36 dB before any denoising) and
correlated by the cameras' pipelines.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.captures import PairSet


class PolyU(PairSet):
    """100 pairs."""

    name = "polyu"
    title = "PolyU"
    channels = 3
    source = "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset, folder CroppedImages"
    licence = "not stated; research use"
    folders = ("polyu", "PolyU")
    manifest = Path(__file__).with_name("manifests") / "polyu.tsv"
    count = 100
    how = "Files *_real.JPG in noisy, *_mean.JPG in clean."

    def key(self, name: str) -> str:
        return name.removesuffix("_real").removesuffix("_mean")
