"""The blind-spot U-Net of Laine19: an output pixel depends on every input pixel around it, but not on its own.

The U-Net sees four rotations of the image. Its convolutions look only up: they see a row and the rows above it, and a
last shift by one row leaves only those above. Rotated back and joined, the four half-planes are everything but the
pixel itself; three 1x1 convolutions combine them. For C = 3: 1,268,547 parameters with 3 outputs, 1,269,129 with 9.

Source: Laine, Karras, Lehtinen, Aila, High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import fast
from denoisebench.networks.unet import LEVELS, UNet


class BlindSpotUNet(UNet):
    """A `UNet` whose receptive field leaves out the pixel itself.

    Input (N, C, H, W), output (N, O, H, W), H and W multiples of 32; they may differ, the upright and the turned
    rotations are then passed on one after the other.
    """

    reach = 320

    def __init__(self, in_channels: int, out_channels: int, width: int = 48, slope: float = 0.1) -> None:
        super().__init__(in_channels, out_channels, width, slope=slope)
        joined = 8 * width
        self.head = nn.ModuleList([nn.Conv2d(joined, joined, 1), nn.Conv2d(joined, 2 * width, 1)])
        self._initialise("he")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        groups = ((0, 1, 2, 3),) if x.shape[2] == x.shape[3] else ((0, 2), (1, 3))
        parts: dict[int, torch.Tensor] = {}
        for group in groups:
            stacked = self._half_planes(torch.cat([torch.rot90(x, turns, (2, 3)) for turns in group]))
            parts.update(zip(group, stacked.chunk(len(group)), strict=True))
        # Joined with the channels innermost, as the layers that follow want them.
        upright = [torch.rot90(parts[turns], -turns, (2, 3)).permute(0, 2, 3, 1) for turns in range(4)]
        return self._finish(torch.cat(upright, dim=3).permute(0, 3, 1, 2))

    def _half_planes(self, x: torch.Tensor) -> torch.Tensor:
        features = self._features(x)
        return _down(self._conv(self.decoder_b[LEVELS - 1], features))

    def _conv(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if self.plain:
            # A row of zeros on top and the last row dropped.
            return super()._conv(layer, F.pad(x, (0, 0, 1, 0)))[:, :, :-1]
        return self._act(fast.shifted_conv(x, *fast.weights(layer), above=2))

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        # Without the shift the lower of two pooled rows would leak into the upper one.
        return F.max_pool2d(_down(x), 2)

    def _up_conv(self, level: int, low: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        layer = self.decoder_a[level]
        if fast.serves(low, self.plain):
            return self._act(fast.folded_up_conv(low, skip, *fast.weights(layer), above=2))
        return self._conv(layer, torch.cat([self.up[level](low), skip], dim=1))

    # Every output needs whole half-planes, so there is no cheaper way to a part of them.
    forward_at = None  # type: ignore[assignment]


def _down(x: torch.Tensor) -> torch.Tensor:
    """Moved down by one row, a row of zeros on top."""
    return F.pad(x[:, :, :-1], (0, 0, 1, 0))
