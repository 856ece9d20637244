"""Photographs of no training and no test set, on which a training is measured while it runs.

Nothing is chosen by these numbers inside a training: they are its learning curve, in the record of every network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from denoisebench.core.lazy import torch
from denoisebench.plugins.method import known_of
from denoisebench.protocol.images import UIntImage, to_channels, to_uint8
from denoisebench.protocol.metrics import finite, psnr
from denoisebench.protocol.noise import Noise, add_noise
from denoisebench.protocol.seeds import generator_from, torch_generator_from

if TYPE_CHECKING:
    from denoisebench.data.dataset import DataSet
    from denoisebench.training.job import TrainingJob

#: Finished parts of a training at which it is measured.
POINTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0)
#: Images, and the side of the square piece from the middle of each.
COUNT, SIDE = 16, 128


@dataclass(frozen=True)
class HeldOut:
    """Pieces of held-out photographs, clean.

    Parameters
    ----------
    described : Mapping[str, str]
        Name and hash of their data set.
    pieces : sequence of arrays
        (SIDE, SIDE, C) uint8.
    """

    described: Mapping[str, str]
    pieces: Sequence[UIntImage]

    @classmethod
    def of(cls, data: DataSet, channels: int) -> HeldOut:
        """The middle of the first images of a data set, in colour or gray."""
        data.verify()
        pieces = []
        for image in data.images[:COUNT]:
            whole = to_channels(data.load(image), channels)
            top, left = ((side - SIDE) // 2 for side in whole.shape[:2])
            pieces.append(np.ascontiguousarray(whole[top : top + SIDE, left : left + SIDE]))
        return cls({"name": data.name, "sha256": data.data_hash}, pieces)

    def scores(self, job: TrainingJob, network: torch.nn.Module, device: str) -> dict[str, float | None]:
        """Mean PSNR of every output that the method names in `LearnedMethod.outputs`, and of the noisy pieces.

        Parameters
        ----------
        network : torch.nn.Module
            In evaluation mode.
        """
        draws = [self._noisy(number, job.noise) for number in range(len(self.pieces))]
        noisy = np.stack([drawn for drawn, _ in draws])
        batch = torch.from_numpy(np.ascontiguousarray(noisy.transpose(0, 3, 1, 2))).to(device)
        level = torch.tensor([value for _, value in draws], device=device, dtype=torch.float32).view(-1, 1, 1, 1)
        mixed = job.recipe.precision == "bfloat16"
        found: dict[str, float | None] = {"noisy": self._psnr(noisy)}
        for name, method in job.method.outputs().items():
            known = known_of(method, job.noise, level)
            generator = torch_generator_from("heldout", name, device=device)
            with torch.no_grad(), torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
                result = method.denoise(network, batch, known, generator)
            found[name] = self._psnr(result.float().cpu().numpy().transpose(0, 2, 3, 1))
        return found

    def _noisy(self, number: int, noise: Noise) -> tuple[np.ndarray, float]:
        draw = add_noise(self.pieces[number], noise, generator_from("heldout", noise.id, number))
        assert draw.level is not None
        return draw.noisy, draw.level

    def _psnr(self, images: np.ndarray) -> float | None:
        """Mean over the pieces, clipped and rounded to 8 bits as everywhere; None where all equal their reference."""
        rounded = to_uint8(images)
        mean = fmean(finite(psnr(piece, result) for piece, result in zip(self.pieces, rounded, strict=True)))
        return round(mean, 4) if math.isfinite(mean) else None
