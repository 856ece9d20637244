"""Samples: four colour photographs that come with scikit-image, for a first run without any download.

astronaut (512x512), chelsea (451x300), coffee (600x400) and rocket (640x427). Source: scikit-image,
folder skimage/data. NASA and SpaceX: public domain; Stefan van der Walt and Rachel Michetti: CC0.

Trap: no paper reports scores on these; they show that things work and let methods be compared on one
machine. Training images that do not overlap with them: `samples_train`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from denoisebench.data.dataset import FolderSet, package_roots


class Samples(FolderSet):
    """Found inside the installed scikit-image, whatever the data roots are."""

    name = "samples"
    title = "Samples"
    channels = 3
    source = "the scikit-image package, folder skimage/data"
    licence = "CC0 and public domain"
    folders = ("data",)
    manifest = Path(__file__).with_name("manifests") / "samples.tsv"
    shared = True
    count = 4
    how = "Reinstall scikit-image (pip install --force-reinstall scikit-image)"

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        super().__init__(package_roots("skimage"))
