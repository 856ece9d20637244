"""Noise2Self: predict hidden pixels from the others, on a regular grid of hidden pixels.

    m hides pixel (i, j) of every s x s cell;   input (1 - m) y + m (K * y);   loss = mean_hidden (f(input) - y)^2

K = [[1,2,1],[2,0,2],[1,2,1]]/12 (``mode=interpolate``), or zeros (``mode=zero``); the offset (i, j) is drawn for every
step. A function that does not see the pixel it predicts cannot learn its noise, if noise is independent from pixel to
pixel and zero-mean. Two outputs: ``plain`` = f(y), one pass, the demonstration's way; ``invariant`` assembles each
pixel from the pass that hid it, s^2 passes, what the theory speaks of. Shapes: y (N, C, H, W), 0..1 scale. Told:
nothing. Cost: one pass forward and backward, with the last layers at the hidden pixels only.

Differs from the demonstration: trained on a set of images rather than one, with the suite's U-Net instead of a DnCNN of
8 layers, and a random offset instead of 15 in turn with the 16th kept for choosing a network. The mean runs over hidden
pixels; theirs over all pixels is the same but for a factor, to which Adam is indifferent.

Source: Batson, Royer, Noise2Self: Blind Denoising by Self-Supervision, ICML 2019.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import forward_at
from denoisebench.plugins.method import Batch, Info, LearnedMethod, NoiseInfo
from denoisebench.toolbox.masking import fill


@dataclass(frozen=True)
class Noise2Self(LearnedMethod):
    """Masked regression on a grid.

    Parameters
    ----------
    stride : int
        Side s of the cell with one hidden pixel.
    mode : {'interpolate', 'zero'}
        What hidden pixels are replaced with.
    output : {'plain', 'invariant'}
        Plain or invariant.
    """

    stride: int = 4
    mode: Literal["interpolate", "zero"] = "interpolate"
    output: Literal["plain", "invariant"] = "plain"

    name = "noise2self"
    info = Info(
        label="Noise2Self",
        paper="Batson, Royer, Noise2Self: Blind Denoising by Self-Supervision, ICML 2019",
        bibtex=(
            "@inproceedings{batson2019noise2self, title={Noise2Self: Blind Denoising by Self-Supervision}, "
            "author={Batson, Joshua and Royer, Loic}, booktitle={ICML}, year={2019}}"
        ),
        licence="written from the paper; the authors' code is MIT and was not used",
        multiple=32,
    )
    inference_only = frozenset({"output"})

    def __post_init__(self) -> None:
        if self.stride not in (2, 4, 8, 16, 32):
            raise UserError(f"noise2self[stride={self.stride}]: allowed values are 2, 4, 8, 16 and 32.")

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        draw = torch.randint(self.stride**2, (), generator=batch.generator, device=batch.noisy.device)
        offset = divmod(int(draw), self.stride)
        (prediction,) = forward_at(network, self.hide(batch.noisy, offset), [offset], self.stride)
        return torch.nn.functional.mse_loss(prediction, batch.noisy[self._at(offset)]), {}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        if self.output == "plain":
            return network(noisy)
        result = torch.empty_like(noisy)
        for number in range(self.stride**2):
            offset = divmod(number, self.stride)
            (result[self._at(offset)],) = forward_at(network, self.hide(noisy, offset), [offset], self.stride)
        return result

    def hide(self, noisy: torch.Tensor, offset: tuple[int, int]) -> torch.Tensor:
        """The image with the pixels at this offset of each cell replaced."""
        masked, kept = noisy.clone(), self._at(offset)
        masked[kept] = fill(noisy)[kept] if self.mode == "interpolate" else 0
        return masked

    def _at(self, offset: tuple[int, int]) -> tuple[types.EllipsisType, slice, slice]:
        return ..., slice(offset[0], None, self.stride), slice(offset[1], None, self.stride)
