"""BSD400: the 400 gray training images of DnCNN.

400 gray PNG of 180x180, named test_001 to test_400 although they are for training. Source: the folder
TrainingCodes/DnCNN_TrainingCodes_v1.0/data/Train400 of github.com/cszn/DnCNN; crops of the train and
test photographs of BSDS500, free for non-commercial research and education. No overlap with `bsd68`,
`cbsd68` or `bsd300`.

Trap: small images: a 128-pixel crop of a 180-pixel image has little room to move.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Bsd400(FolderSet):
    """400 gray training images of 180x180."""

    name = "bsd400"
    title = "BSD400"
    channels = 1
    source = "https://github.com/cszn/DnCNN, folder TrainingCodes/DnCNN_TrainingCodes_v1.0/data/Train400"
    licence = "free for non-commercial research and education, says the Berkeley page"
    folders = ("bsd400", "train400", "Train400")
    manifest = Path(__file__).with_name("manifests") / "bsd400.tsv"
    count = 400
    archive = Archive(
        url="https://raw.githubusercontent.com/cszn/DnCNN/e93b27812d3ff523a3a79d19e5e50d233d7a8d0a/"
        "TrainingCodes/DnCNN_TrainingCodes_v1.0/data/Train400"
        "/{file}",
        sha256=None,
        members="",
        size="about 8.2 MB, 400 files",
    )
