"""Set14 as the Neighbor2Neighbor and Blind2Unblind harness has it: 12 colour images.

12 colour PNG from 250x361 to 768x512: baboon, barbara, coastguard, comic, face, flowers, foreman,
lenna, monarch, pepper, ppt3, zebra. Source: the folder validation/Set14 of
github.com/TaoHuang2018/Neighbor2Neighbor; after Zeyde et al., 2010. No licence is stated; use for
research only.

Trap: the papers count 14 images, but their loader cannot read the gray `bridge` and the folder lacks
`man` as well. With a non-local-means filter at sigma 25 the two lists differ by 0.27 dB, so scores here
and on `set14_14` never belong in one column. SelfExSR's Set14 is a third version, four images of it
cropped by a pixel.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Set14(FolderSet):
    """The 12 colour images; a folder with all 14 will do."""

    name = "set14"
    title = "Set14 (12)"
    channels = 3
    paper_repeats = 20
    source = "https://github.com/TaoHuang2018/Neighbor2Neighbor, folder validation/Set14"
    licence = "not stated; research use"
    folders = ("set14", "Set14")
    manifest = Path(__file__).with_name("manifests") / "set14.tsv"
    shared = True
    count = 12
    archive = Archive(
        url="https://raw.githubusercontent.com/TaoHuang2018/Neighbor2Neighbor/e66389ebef1e64d306d8fcb95f096cf427243452/"
        "validation/Set14"
        "/{file}",
        sha256=None,
        members="",
        size="about 4.5 MB, 12 files",
    )
