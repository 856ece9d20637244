"""CBSD68: the colour photographs behind BSD68.

68 colour images of 481x321 or 321x481, named by their Berkeley numbers (101085 ...). Source: the `val`
folder of BSDS500, original JPEG files; PNG of the same pixels (as in FFDNet) is accepted. Free for
non-commercial research and education.

Traps: all 68 are in `bsd300`, so the two sets are no independent evidence; some repositories number
them 0000 to 0067, which `verify` reports as missing; rename those to the Berkeley numbers.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Cbsd68(FolderSet):
    """68 colour images of 481x321 or 321x481."""

    name = "cbsd68"
    title = "CBSD68"
    channels = 3
    source = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
    licence = "free for non-commercial research and education, says the Berkeley page"
    folders = ("cbsd68", "CBSD68")
    manifest = Path(__file__).with_name("manifests") / "cbsd68.tsv"
    count = 68
    how = "Copy the 68 images of the list out of BSDS500/data/images/val."
    archive = Archive(
        url="http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
        sha256=None,
        members="*BSDS500/data/images/val/*.jpg",
        size="about 71 MB",
    )
