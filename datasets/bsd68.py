"""BSD68: the 68 gray images of Roth and Black, the usual gray test set.

68 gray PNG, 53 of 481x321 and 15 of 321x481, named test001 to test068. Source: the folder
testsets/BSD68 of github.com/cszn/DnCNN; photographs of the Berkeley Segmentation Dataset, free for
non-commercial research and education.

Trap: the luma of the `cbsd68` images differs from these by one gray level in some pixels. The two sets
show the same 68 photographs, so they are no independent evidence.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Bsd68(FolderSet):
    """68 gray images of 481x321 or 321x481."""

    name = "bsd68"
    title = "BSD68"
    channels = 1
    source = "https://github.com/cszn/DnCNN, folder testsets/BSD68"
    licence = "free for non-commercial research and education, says the Berkeley page"
    folders = ("bsd68", "BSD68")
    manifest = Path(__file__).with_name("manifests") / "bsd68.tsv"
    count = 68
    archive = Archive(
        url="https://raw.githubusercontent.com/cszn/DnCNN/e93b27812d3ff523a3a79d19e5e50d233d7a8d0a/"
        "testsets/BSD68"
        "/{file}",
        sha256=None,
        members="",
        size="about 6.5 MB, 68 files",
    )
