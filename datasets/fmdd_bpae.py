"""FMDD Confocal BPAE (blue): the 50 captures of test view 19.

50 real captures of one view, 8-bit gray, 512x512 (bovine endothelial cells, nuclei, confocal),
scored against their average. Source: Zhang et al., CVPR 2019,
https://github.com/yinhaoz/denoising-fluorescence; CC BY-SA 4.0.

Not one of the three kinds in the paper's table.

Trap: the average holds the very capture under test, 1/50 of its noise: `fmdd_bpae_loo` leaves it out.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.fmdd import FMDDTest


class ConfocalBPAE(FMDDTest):
    """View 19 of Confocal_BPAE_B."""

    name = "fmdd_bpae"
    title = "Confocal BPAE (blue)"
    folders = ("fmdd/Confocal_BPAE_B", "Confocal_BPAE_B")
    training = "fmdd_bpae_train"
    manifest = Path(__file__).with_name("manifests") / "fmdd_bpae.tsv"
