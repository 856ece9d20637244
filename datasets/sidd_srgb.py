"""SIDD sRGB: 25 of the 1280 blocks of the validation set, real noise of phones after their image pipelines.

25 pairs of 256x256 colour PNG, blocks 0000-0011, 0032-0043 and 0064: three scenes. Source: Abdelhamed et al., CVPR
2018, https://www.eecs.yorku.ca/~kamel/sidd/, in the naming that AP-BSN's preparation gives the blocks.

Trap: 25 of 1280 blocks of three scenes; never a stand-in for SIDD in a table. sRGB noise is correlated between
pixels, so blind-spot methods learn it with the image.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.captures import PairSet


class SIDDsRGB(PairSet):
    """25 pairs."""

    name = "sidd_srgb"
    title = "SIDD sRGB (25 of 1280)"
    channels = 3
    source = "https://www.eecs.yorku.ca/~kamel/sidd/ (validation, sRGB)"
    licence = "see the source page (its code: MIT)"
    folders = ("sidd_srgb",)
    manifest = Path(__file__).with_name("manifests") / "sidd_srgb.tsv"
    count = 25
    how = "Blocks NNNN as noisy/NNNN_N.png and clean/NNNN_CL.png."

    def key(self, name: str) -> str:
        return name.partition("_")[0]
