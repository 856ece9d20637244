"""Set12: the 12 gray images of DnCNN's tables.

12 gray PNG, 7 of 256x256 and 5 of 512x512, named 01 to 12. Source: the folder testsets/Set12 of
github.com/cszn/DnCNN. No licence is stated; use for research only.

Trap: `lenna`, `pepper` and `barbara` of `set14` are colour pictures of the same motifs, not the same
images.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Set12(FolderSet):
    """7 images of 256x256 and 5 of 512x512."""

    name = "set12"
    title = "Set12"
    channels = 1
    source = "https://github.com/cszn/DnCNN, folder testsets/Set12"
    licence = "not stated; research use"
    folders = ("set12", "Set12")
    manifest = Path(__file__).with_name("manifests") / "set12.tsv"
    count = 12
    archive = Archive(
        url="https://raw.githubusercontent.com/cszn/DnCNN/e93b27812d3ff523a3a79d19e5e50d233d7a8d0a/"
        "testsets/Set12"
        "/{file}",
        sha256=None,
        members="",
        size="about 1.2 MB, 12 files",
    )
