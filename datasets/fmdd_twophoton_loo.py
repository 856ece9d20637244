"""FMDD Two-Photon Mice: test view 19, each capture against the mean of the 49 others.

50 real captures of one view, 8-bit gray, 512x512 (mouse brain, two-photon). Source: Zhang et al.,
CVPR 2019, https://github.com/yinhaoz/denoising-fluorescence; CC BY-SA 4.0.

Trap: the papers score against the average of all 50 (`fmdd_twophoton`), so their numbers do not belong beside
these.
"""

from __future__ import annotations

from denoisebench.data.fmdd import FMDDLeaveOneOut


class TwoPhotonMiceLeaveOneOut(FMDDLeaveOneOut):
    """View 19 of TwoPhoton_MICE."""

    name = "fmdd_twophoton_loo"
    title = "Two-Photon Mice (leave one out)"
    folders = ("fmdd/TwoPhoton_MICE", "TwoPhoton_MICE")
    training = "fmdd_twophoton_train"
