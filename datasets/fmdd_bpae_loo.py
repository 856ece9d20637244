"""FMDD Confocal BPAE (blue): test view 19, each capture against the mean of the 49 others.

50 real captures of one view, 8-bit gray, 512x512 (bovine endothelial cells, nuclei, confocal).
Source: Zhang et al., CVPR 2019, https://github.com/yinhaoz/denoising-fluorescence; CC BY-SA 4.0.

Not one of the three kinds in the paper's table.

Trap: the papers score against the average of all 50 (`fmdd_bpae`), so their numbers do not belong beside
these.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.fmdd import FMDDLeaveOneOut


class ConfocalBPAELeaveOneOut(FMDDLeaveOneOut):
    """View 19 of Confocal_BPAE_B."""

    name = "fmdd_bpae_loo"
    title = "Confocal BPAE (blue) (leave one out)"
    folders = ("fmdd/Confocal_BPAE_B", "Confocal_BPAE_B")
    training = "fmdd_bpae_train"
    manifest = Path(__file__).with_name("manifests") / "fmdd_bpae.tsv"
