"""SIDD Medium raw-RGB: 160 scenes, two frames each, for training on real noise.

Bayer mosaics of 10 to 16 megapixels in MATLAB 7.3 files, key x; four planes when packed. Source: Abdelhamed, Lin,
Brown, CVPR 2018, https://www.eecs.yorku.ca/~kamel/sidd/.

Trap: a crop starts at an even row and column of the mosaic here; the released code of Blind2Unblind cuts anywhere
and from transposed frames, so its channels change places from crop to crop.
"""

from __future__ import annotations

from denoisebench.data.sidd_raw import RawScenes


class SIDDRawMedium(RawScenes):
    """160 scenes."""

    name = "sidd_raw_medium"
    title = "SIDD Medium (raw, training)"
