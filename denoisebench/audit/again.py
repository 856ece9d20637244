"""One image of a stored cell made again: the same noisy image, bit for bit, and what the method makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denoisebench.audit.subject import ReproducibleCell
from denoisebench.core.errors import UserError, unknown
from denoisebench.evaluation.evaluate import Fitting, Place, Route, denoise
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.images import AnyImage, FloatImage, checked, to_float
from denoisebench.protocol.metrics import SCORINGS
from denoisebench.protocol.noise import Draw


@dataclass(frozen=True)
class Again:
    """One image and what became of it.

    Parameters
    ----------
    clean, noisy, result : AnyImage or FloatImage
        (H, W, C); the noisy image and the result as floats of about 0..1, not clipped.
    psnr, ssim : float
        Of the result, scored now.
    moved : float
        How far the PSNR is from the stored one in dB; 0 where it came out the same.
    """

    clean: AnyImage
    noisy: FloatImage
    result: FloatImage
    psnr: float
    ssim: float
    moved: float


def denoised_again(subject: ReproducibleCell, image: str, repeat: int) -> Again:
    """Denoise a scored image of a cell once more, in the tiles it was denoised in.

    Parameters
    ----------
    subject : ReproducibleCell
        The cell with its parts.
    image, repeat : str, int
        One of its rows.

    Raises
    ------
    UserError
        The cell has no such row, or its noise cannot be drawn again.
    """
    rows, dataset, noise = subject.stored.rows, subject.dataset, subject.noise
    if (image, repeat) not in rows:
        raise unknown("image of this run", image, {name for name, number in rows if number == repeat})
    row, what = rows[image, repeat], f"Image {image!r} of data set {dataset.name!r}"
    if noise.real:
        clean = checked(dataset.reference(image, repeat), f"The reference of {what}")
        draw = Draw(to_float(checked(dataset.capture(image, repeat), what)), None)
    else:
        clean = checked(dataset.load(image), what)
        draw = subject.draws().draw(dataset.name, image, repeat, clean, noise)
    if np.shape(clean) != draw.noisy.shape:
        raise UserError(f"{what} and its reference differ in shape.")
    network = None
    if subject.network is not None:
        assert isinstance(subject.method, LearnedMethod)
        network = subject.network.load(subject.method, dataset.channels, subject.device)
    noisy = draw.noisy.copy()
    route = Route(
        subject.method, network, noise, subject.protocol["padding"], subject.seed, subject.device,
        None if subject.fit is None else Fitting(subject.fit), row.tile,
    )  # fmt: skip
    result = denoise(route, draw, Place(dataset.name, image, repeat)).image
    psnr, ssim = SCORINGS[dataset.scoring].score(result, clean)
    moved = 0.0 if psnr == row.psnr else abs(psnr - row.psnr)
    return Again(clean, noisy, result, psnr, ssim, moved if math.isfinite(moved) else math.inf)
