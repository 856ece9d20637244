"""McMaster: 18 colour crops, known from demosaicking.

18 colour images of 500x500. Source: Zhang et al., 2011,
https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm. No licence is stated; use for research only.

No manifest is shipped: only the number of images is checked, and `note` says so.

Trap: the originals are TIFF; a recompressed or converted copy passes unnoticed.
"""

from __future__ import annotations

from denoisebench.data.dataset import Archive, FolderSet


class McMaster(FolderSet):
    """18 images of 500x500, their content not checked."""

    name = "mcmaster"
    title = "McMaster"
    channels = 3
    source = "https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm"
    licence = "not stated; research use"
    folders = ("mcmaster", "McMaster", "McM")
    count = 18
    archive = Archive(
        url="https://www4.comp.polyu.edu.hk/~cslzhang/DATA/McM.zip",
        sha256=None,
        members="*.tif",
        size="size not known",
        password="McM_CDM",
    )
