"""BSD300: the 100 test images of the Berkeley Segmentation Dataset of 300 images.

100 colour images, 77 of 481x321 and 23 of 321x481. Source: Martin et al., ICCV 2001,
https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/. Free for non-commercial research and
education.

The originals are JPEG; the denoising repositories carry PNG of the same pixels, and either is accepted.
They are also the `val` images of BSDS500.

Trap: not BSDS300's 200 training images, nor BSD500's test set; and CBSD68 is a part of these 100.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Bsd300(FolderSet):
    """100 test images of 481x321 or 321x481."""

    name = "bsd300"
    title = "BSD300"
    channels = 3
    paper_repeats = 3
    source = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/"
    licence = "free for non-commercial research and education, says the Berkeley page"
    folders = ("bsd300_test", "bsd300", "BSD300")
    manifest = Path(__file__).with_name("manifests") / "bsd300.tsv"
    count = 100
    how = "Take the images/test folder out of BSDS300-images.tgz."
    archive = Archive(
        url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/BSDS300-images.tgz",
        sha256=None,
        members="*images/test/*.jpg",
        size="about 22 MB",
    )
