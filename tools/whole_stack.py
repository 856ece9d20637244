"""A 16-bit stack of 512x512x100 through `denoisebench denoise` to its end, for docs/own-images.md.

Usage: python tools/whole_stack.py FOLDER [PLANES]. The planes are the mean of 50 captures of FMDD (`fmdd_pairs` below
DENOISEBENCH_DATA, BPAE cells, green), moved and bleached from one to the next, as counts of 40 values each over 200,
with read noise of 10. Prints seconds, those of the processor, the memory at the peak, and PSNR of three planes, of the
brightest value.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

from denoisebench.data.dataset import data_roots
from denoisebench.own.risk import FloatArray
from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.metrics import psnr

PLANES, METHOD = 100, "nbr2nbr"
GAIN, READ, ZERO, BRIGHTNESS, BLEACHED = 40, 10, 200, 20, 0.003


def clean(number: int) -> FloatArray:
    """What a plane shows, in values of the file."""
    view = np.asarray(find_dataset("fmdd_pairs", data_roots()).load("BPAE_G"), np.float64)[:, :, 0]
    return ZERO + np.roll(view, (3 * number, 5 * number), (0, 1)) * (1 - BLEACHED * number) * BRIGHTNESS


def write(path: Path, planes: int) -> None:
    """The stack, as ImageJ keeps one."""
    rng, made = np.random.default_rng(0), []
    for number in range(planes):
        signal = clean(number)
        counts = GAIN * rng.poisson((signal - ZERO) / GAIN) + ZERO + READ * rng.standard_normal(signal.shape)
        made.append(np.clip(np.rint(counts), 0, 2**16 - 1).astype(np.uint16))
    tifffile.imwrite(path, np.stack(made), imagej=True, metadata={"axes": "ZYX"})


def main(folder: Path, planes: int) -> None:
    """Make it, denoise it, print."""
    folder.mkdir(parents=True, exist_ok=True)
    source, out = folder / "stack.tif", folder / "denoised"
    write(source, planes)
    start = time.perf_counter()
    program = "from denoisebench.cli import main; main()"
    command = [sys.executable, "-c", program, "denoise", str(source), "--method", METHOD, "--out", str(out)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    took, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{took:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of the processor, {used.ru_maxrss / 1e6:.2f} GB")
    noisy, result = tifffile.imread(source), tifffile.imread(out / source.name)
    for number in sorted({0, planes // 2, planes - 1}):
        signal = clean(number)
        values = [psnr(stack[number], signal, signal.max() - ZERO) for stack in (noisy, result)]
        print(f"plane {number}: {values[0]:.2f} dB, denoised {values[1]:.2f} dB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else PLANES)
