"""Kodak: the 24 photographs of the Kodak Lossless True Color Image Suite, at full size.

24 colour PNG, 18 of 768x512 and 6 of 512x768. Source: http://r0k.us/graphics/kodak/. Released by the
Eastman Kodak Company for unrestricted usage, says that site.

Trap: "Kodak24" of FFDNet, DnCNN and many single-image papers is a 500x500 version of the same
photographs, others use 256x256. Their scores are not comparable with these; `verify` tells them apart
by size.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Kodak(FolderSet):
    """24 photographs of 768x512 or 512x768."""

    name = "kodak"
    title = "Kodak"
    channels = 3
    paper_repeats = 10
    source = "http://r0k.us/graphics/kodak/"
    licence = "unrestricted usage (Eastman Kodak Company), says the source page"
    folders = ("kodak", "Kodak")
    manifest = Path(__file__).with_name("manifests") / "kodak.tsv"
    count = 24
    how = "Save kodim01.png to kodim24.png."
    archive = Archive(
        url="http://r0k.us/graphics/kodak/kodak/{file}", sha256=None, members="", size="about 15 MB, 24 files"
    )
