"""FMDD Two-Photon Mice: the captures of the 19 training views.

Up to 950 real captures, 8-bit gray, 512x512 (mouse brain, two-photon); whatever views are here are
used, and tables say how many. Source: Zhang et al., CVPR 2019,
https://github.com/yinhaoz/denoising-fluorescence; CC BY-SA 4.0.

Trap: only `raw` is used, not the averages of 2 to 16 captures that FMDD offers as lower noise levels.
"""

from __future__ import annotations

from denoisebench.data.fmdd import FMDDTrain


class TwoPhotonMiceTrain(FMDDTrain):
    """Views 1 to 18 and 20 of TwoPhoton_MICE."""

    name = "fmdd_twophoton_train"
    title = "Two-Photon Mice (training)"
    folders = ("fmdd/TwoPhoton_MICE", "TwoPhoton_MICE")
