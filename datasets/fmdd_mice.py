"""FMDD Confocal Mice: the 50 captures of test view 19.

50 real captures of one view, 8-bit gray, 512x512 (mouse brain, confocal), scored against their
average. Source: Zhang et al., CVPR 2019, https://github.com/yinhaoz/denoising-fluorescence; CC
BY-SA 4.0.

Trap: the average holds the very capture under test, 1/50 of its noise: `fmdd_mice_loo` leaves it out.
"""

from __future__ import annotations

from denoisebench.data.fmdd import FMDDTest


class ConfocalMice(FMDDTest):
    """View 19 of Confocal_MICE."""

    name = "fmdd_mice"
    title = "Confocal Mice"
    folders = ("fmdd/Confocal_MICE", "Confocal_MICE")
    training = "fmdd_mice_train"
