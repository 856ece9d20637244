"""SIDD raw-RGB benchmark: 1280 blocks of Bayer mosaic whose references are not public.

40 images of 32 blocks, 256x256 pixels each, as four planes of 128x128; one MATLAB file for all blocks. Source:
Abdelhamed, Lin, Brown, CVPR 2018, https://www.eecs.yorku.ca/~kamel/sidd/.

Trap: nothing can be scored here. `denoisebench submit` writes the file that the benchmark's server takes.
"""

from __future__ import annotations

from denoisebench.data.sidd_raw import RawBlocks


class SIDDRawBenchmark(RawBlocks):
    """1280 blocks."""

    name = "sidd_raw_benchmark"
    title = "SIDD Benchmark (raw)"
    training = "sidd_raw_medium"
    referenced = False
    noisy = "BenchmarkNoisyBlocksRaw"
    how = "The file BenchmarkNoisyBlocksRaw.mat."
