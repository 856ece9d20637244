"""Set14 in full: the images may lie in two folders."""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import FolderSet
from denoisebench.protocol.images import list_images


class Set14Full(FolderSet):
    """The 14-image list; bridge and man may lie in a folder set14_extra beside the 12 others."""

    name = "set14_14"
    title = "Set14 (14)"
    summary = "Set14 in full: 14 images, one of them gray."
    description = (
        "The 12 images of `set14` and two more of 512x512: `man` (gray content stored as RGB) and `bridge` (stored as "
        "8-bit gray; repeated in three channels here, each with its own noise, as Laine19 does); after Zeyde et al., "
        "2010."
    )
    traps = "Blind2Unblind and Neighbor2Neighbor measured the 12 images of `set14`."
    channels = 3
    paper_repeats = 20
    source = "the 14 images of SR_testing_datasets.zip, http://vllab.ucmerced.edu/wlai24/LapSRN"
    licence = "not stated; research use"
    folders = ("set14_14", "set14", "Set14")
    manifest = Path(__file__).with_name("manifests") / "set14_14.tsv"
    count = 14
    how = (
        "The 12 images of set14 (denoisebench data fetch set14) may stay in their folder if bridge and man lie "
        "beside it in set14_extra; github.com/cszn/DnCNN has both in testsets/Set14."
    )

    def _files(self) -> list[Path]:
        beside = self.folder.with_name("set14_extra")
        return super()._files() + (list_images(beside) if beside.is_dir() else [])
