"""BSD400 in colour: the 200 train and 200 test images of BSDS500, for training.

400 colour JPEG, 271 of 481x321 and 129 of 321x481. Source: BSDS500,
https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html. Free for
non-commercial research and education. No overlap with `bsd300` and `cbsd68`, which are BSDS500's `val`
images.

Trap: BSDS500's `test` folder is training material here; never test on it with networks trained on this
set.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Bsd400Color(FolderSet):
    """400 colour training images of 481x321 or 321x481."""

    name = "bsd400_color"
    title = "BSD400 (colour)"
    channels = 3
    source = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html"
    licence = "free for non-commercial research and education, says the Berkeley page"
    folders = ("bsd400_color", "CBSD400")
    manifest = Path(__file__).with_name("manifests") / "bsd400_color.tsv"
    count = 400
    how = "Put the images of BSDS500/data/images/train and .../test into one folder."
    archive = Archive(
        url="http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
        sha256=None,
        members="*BSDS500/data/images/t*/*.jpg",
        size="about 71 MB",
    )
