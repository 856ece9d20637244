"""FMDD Confocal Mice: test view 19, each capture against the mean of the 49 others.

50 real captures of one view, 8-bit gray, 512x512 (mouse brain, confocal). Source: Zhang et al.,
CVPR 2019, https://github.com/yinhaoz/denoising-fluorescence; CC BY-SA 4.0.

Trap: the papers score against the average of all 50 (`fmdd_mice`), so their numbers do not belong beside
these.
"""

from __future__ import annotations

from denoisebench.data.fmdd import FMDDLeaveOneOut


class ConfocalMiceLeaveOneOut(FMDDLeaveOneOut):
    """View 19 of Confocal_MICE."""

    name = "fmdd_mice_loo"
    title = "Confocal Mice (leave one out)"
    folders = ("fmdd/Confocal_MICE", "Confocal_MICE")
    training = "fmdd_mice_train"
