"""Held-out photographs: on which trainings are measured and settings are chosen, never trained on or reported.

16 colour JPEG of 256 to 512 pixels a side, every twelfth of a sample of 198 ImageNet photographs. Source:
https://github.com/EliSchwartz/imagenet-sample-images; ImageNet's own terms are non-commercial research use.

Trap: `imagenet_val` finds its training images in the same folder, and leaves these out by name.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import FolderSet


class HeldOutPhotographs(FolderSet):
    """16 colour photographs of 256 to 512 pixels a side."""

    name = "heldout"
    title = "Held-out photographs"
    channels = 3
    source = "https://github.com/EliSchwartz/imagenet-sample-images"
    licence = "non-commercial research use, say ImageNet's terms"
    folders = ("imagenet_sample", "heldout")
    manifest = Path(__file__).with_name("manifests") / "heldout.tsv"
    count = 16
    shared = True
    how = "Put the files that its manifest lists into one folder; others beside them do not matter."
