"""FMDD Confocal Fish: the 50 captures of test view 19.

50 real captures of one view, 8-bit gray, 512x512 (zebrafish, confocal), scored against their
average. Source: Zhang et al., CVPR 2019, https://github.com/yinhaoz/denoising-fluorescence; CC
BY-SA 4.0.

Trap: the average holds the very capture under test, 1/50 of its noise: `fmdd_fish_loo` leaves it out.
"""

from __future__ import annotations

from denoisebench.data.fmdd import FMDDTest


class ConfocalFish(FMDDTest):
    """View 19 of Confocal_FISH."""

    name = "fmdd_fish"
    title = "Confocal Fish"
    folders = ("fmdd/Confocal_FISH", "Confocal_FISH")
    training = "fmdd_fish_train"
