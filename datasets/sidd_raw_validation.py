"""SIDD raw-RGB validation: 1280 blocks of Bayer mosaic with references.

40 images of 32 blocks, 256x256 pixels each, as four planes of 128x128; one MATLAB file for all blocks. Source:
Abdelhamed, Lin, Brown, CVPR 2018, https://www.eecs.yorku.ca/~kamel/sidd/.

Trap: scored as floats, without rounding to 8 bits, on the mosaic put together again: PSNR lies near 50 dB and is not
comparable with that of sRGB images. The cameras' Bayer patterns differ and channels are not aligned.
"""

from __future__ import annotations

from denoisebench.data.sidd_raw import RawBlocks


class SIDDRawValidation(RawBlocks):
    """1280 blocks."""

    name = "sidd_raw_validation"
    title = "SIDD Validation (raw)"
    training = "sidd_raw_medium"
    noisy = "ValidationNoisyBlocksRaw"
    clean = "ValidationGtBlocksRaw"
    how = "The files ValidationNoisyBlocksRaw.mat and ValidationGtBlocksRaw.mat."
