"""Eight images of Urban100, the smallest files, checked one by one.

8 colour PNG named img_NNN_SRF_4_HR. Source: Huang et al., CVPR 2015, folder data/Urban100/image_SRF_4
of github.com/jbhuang0604/SelfExSR. No licence is stated; use for research only.

Trap: 8 of 100: never a stand-in for Urban100 in a table. The smallest files are probably the smoothest
images.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Urban100Subset(FolderSet):
    """8 of the 100 images; a folder with all of them will do."""

    name = "urban100_subset"
    title = "Urban100 (8 of 100)"
    channels = 3
    source = "https://github.com/jbhuang0604/SelfExSR, folder data/Urban100/image_SRF_4"
    licence = "not stated; research use"
    folders = ("urban100_subset", "urban100", "Urban100")
    manifest = Path(__file__).with_name("manifests") / "urban100_subset.tsv"
    shared = True
    count = 8
    how = "Any folder with the *_HR.png files of the manifest will do."
    archive = Archive(
        url="https://raw.githubusercontent.com/jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/"
        "data/Urban100/image_SRF_4"
        "/{file}",
        sha256=None,
        members="",
        size="about 5.9 MB, 8 files",
    )
