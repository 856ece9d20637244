"""FMDD Confocal Fish: test view 19, each capture against the mean of the 49 others.

50 real captures of one view, 8-bit gray, 512x512 (zebrafish, confocal). Source: Zhang et al., CVPR
2019, https://github.com/yinhaoz/denoising-fluorescence; CC BY-SA 4.0.

Trap: the papers score against the average of all 50 (`fmdd_fish`), so their numbers do not belong beside
these.
"""

from __future__ import annotations

from denoisebench.data.fmdd import FMDDLeaveOneOut


class ConfocalFishLeaveOneOut(FMDDLeaveOneOut):
    """View 19 of Confocal_FISH."""

    name = "fmdd_fish_loo"
    title = "Confocal Fish (leave one out)"
    folders = ("fmdd/Confocal_FISH", "Confocal_FISH")
    training = "fmdd_fish_train"
