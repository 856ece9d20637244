"""Samples for training: five colour images that come with scikit-image.

motorcycle_left and motorcycle_right (741x500), ihc (512x512), retina (1411x1411) and hubble_deep_field
(1000x872). Source: scikit-image, folder skimage/data; the motorcycle pair is from the Middlebury Stereo
Benchmark 2014. Hubble, retina: public domain or CC0; ihc: no known restrictions; motorcycle: not
stated.

For training only, and disjoint from `samples`.

Trap: a stereo pair and three very special images: enough to see a network learn, not to train a good
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from denoisebench.data.dataset import FolderSet, package_roots


class SamplesTrain(FolderSet):
    """Found inside the installed scikit-image, whatever the data roots are."""

    name = "samples_train"
    title = "Samples (training)"
    channels = 3
    source = "the scikit-image package, folder skimage/data"
    licence = "CC0 and public domain; motorcycle pair (Middlebury 2014) not stated"
    folders = ("data",)
    manifest = Path(__file__).with_name("manifests") / "samples_train.tsv"
    shared = True
    count = 5
    how = "Reinstall scikit-image (pip install --force-reinstall scikit-image)"

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        super().__init__(package_roots("skimage"))
