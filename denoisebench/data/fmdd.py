"""The Fluorescence Microscopy Denoising Data set (FMD, or FMDD): 20 views per kind, 50 captures of each.

    KIND/raw/VIEW/*.png     50 captures, 8-bit gray, 512x512
    KIND/gt/VIEW/avg50.png  their mean, rounded

View 19 is the test view, the other 19 are for training. Source: Zhang et al., A Poisson-Gaussian Denoising Dataset with
Real Fluorescence Microscopy Images, CVPR 2019, https://github.com/yinhaoz/denoising-fluorescence.
"""

from __future__ import annotations

import hashlib
from functools import cached_property, reduce
from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.text import counted
from denoisebench.data.captures import CaptureSet, View
from denoisebench.protocol.images import AnyImage, image_files

VIEWS, TEST_VIEW, CAPTURES = range(1, 21), 19, 50
SOURCE = "https://github.com/yinhaoz/denoising-fluorescence (download_dataset.sh)"
LICENCE = "CC BY-SA 4.0 (code of the repository: MIT)"


class FMDDTest(CaptureSet):
    """The 50 captures of view 19 against their average."""

    channels = 1
    paper_repeats = CAPTURES
    source = SOURCE
    licence = LICENCE
    count = 1
    how = "The folder holds raw/19 and gt/19, and for training the other views."

    def find_views(self) -> dict[str, View]:
        view = _view(self.folder, TEST_VIEW)
        if len(view.captures) != CAPTURES:
            raise UserError(
                f"Data set {self.name!r} has {counted(len(view.captures), 'capture')} of view {TEST_VIEW} in "
                f"{self.folder / 'raw' / str(TEST_VIEW)} instead of {CAPTURES}. Get them from {self.source}"
            )
        return {str(TEST_VIEW): view}


class FMDDLeaveOneOut(FMDDTest):
    """The same captures, each against the mean of the 49 others.

    The published average holds the capture under test itself, 1/50 of its noise, which flatters whoever keeps noise.
    """

    @cached_property
    def _sums(self) -> dict[str, AnyImage]:
        return {
            image: reduce(np.add, (self.capture(image, n).astype(np.int64) for n in range(self.captures(image))))
            for image in self.images
        }

    def reference(self, image: str, index: int) -> AnyImage:
        others = self._sums[image] - self.capture(image, index)
        return (others / (255.0 * (self.captures(image) - 1))).astype(np.float32)

    @cached_property
    def data_hash(self) -> str:
        return hashlib.sha256(f"{super().data_hash} leave one out".encode()).hexdigest()


class FMDDTrain(CaptureSet):
    """The captures of the other 19 views, as many as are here; the average is for those who train on clean images."""

    channels = 1
    source = SOURCE
    licence = LICENCE
    count = len(VIEWS) - 1
    how = "The folder holds raw/1 to raw/20 and gt/1 to gt/20; a part of the views will do."

    def find_views(self) -> dict[str, View]:
        present = [n for n in VIEWS if n != TEST_VIEW and (self.folder / "raw" / str(n)).is_dir()]
        if not present:
            raise UserError(
                f"Data set {self.name!r} has no view to train on: there is no folder {self.folder / 'raw' / '1'} to "
                f"20. Get them from {self.source}"
            )
        return {str(number): _view(self.folder, number) for number in present}

    @property
    def extent(self) -> str:
        found = sum(map(self.captures, self.images))
        if found == self.count * CAPTURES:
            return ""
        return f"{found} of {self.count * CAPTURES} captures, {len(self.images)} of {self.count} views"

    @property
    def note(self) -> str:
        return super().note + (f" Here are {self.extent}." if self.extent else "")


def _view(folder: Path, number: int) -> View:
    """The files of a view; without its folder or captures an error that names them."""
    raw, reference = folder / "raw" / str(number), folder / "gt" / str(number) / "avg50.png"
    if not raw.is_dir():
        raise UserError(f"Folder {raw} with the captures of view {number} is missing. Get it from {SOURCE}")
    captures = image_files(raw)
    if not captures:
        raise UserError(f"Folder {raw} holds no captures of view {number}. Get them from {SOURCE}")
    if not reference.is_file():
        raise UserError(f"The average {reference} of view {number} is missing. Get it from {SOURCE}")
    return View(captures, reference)
