"""FMDD pairs: six single captures of fluorescence microscopy with their 50-fold averages.

8-bit gray, 512x512: confocal BPAE cells (three channels), zebrafish (two fields) and mouse brain. Source: files of
github.com/jason-lequyer/Noise2Fast and of github.com/ND-HowardGroup/Instant-Image-Denoising; the originals are of
Zhang et al., CVPR 2019, CC BY-SA 4.0.

Trap: views other than the test view 19 and one capture each, so no published mean belongs beside these; for a look
at fish and mice where the whole data set is not at hand.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.captures import PairSet


class FMDDPairs(PairSet):
    """6 pairs."""

    name = "fmdd_pairs"
    title = "FMDD (6 pairs)"
    channels = 1
    source = "https://github.com/jason-lequyer/Noise2Fast and https://github.com/ND-HowardGroup/Instant-Image-Denoising"
    licence = "CC BY-SA 4.0 (originals)"
    folders = ("fmdd_pairs",)
    manifest = Path(__file__).with_name("manifests") / "fmdd_pairs.tsv"
    clean_folder = "gt"
    count = 6
    how = "One file per field in noisy and one of the same name in gt."

    def key(self, name: str) -> str:
        return name.removeprefix("gt_")
