"""The hourglass network of Deep Image Prior: five scales of 128 channels with thin skips.

A scale: 3x3 convolution of stride 2 and one of stride 1 on the way down; on the way up the scale below, upsampled
bilinearly, beside a 1x1 convolution of the scale's own input to 4 channels, then a 3x3 and a 1x1 convolution. Each
followed by batch normalisation, of the image at hand in evaluation too, and LeakyReLU 0.2; reflection padding; a last
1x1 convolution with a sigmoid. For 32 to 3 channels: 2,217,831 parameters, 19.4 GMAC at 256x256.

Source: Ulyanov, Vedaldi, Lempitsky, Deep Image Prior, CVPR 2018 (table in the supplement).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import mirrored

SCALES, SKIP, SLOPE = 5, 4, 0.2


class Hourglass(nn.Module):
    """(N, I, H, W) to (N, O, H, W) within 0..1; H and W multiples of 32 and at least 64."""

    def __init__(self, in_channels: int, out_channels: int, width: int = 128) -> None:
        super().__init__()
        given = [in_channels, *[width] * (SCALES - 1)]
        self.down_a = nn.ModuleList(nn.Conv2d(channels, width, 3, stride=2) for channels in given)
        self.down_b = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in given)
        self.skip = nn.ModuleList(nn.Conv2d(channels, SKIP, 1) for channels in given)
        self.up_a = nn.ModuleList(nn.Conv2d(width + SKIP, width, 3) for _ in given)
        self.up_b = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in given)
        self.joined = nn.ModuleList(_norm(width + SKIP) for _ in given)
        self.norms = nn.ModuleDict(
            {name: nn.ModuleList(_norm(SKIP if name == "skip" else width) for _ in given) for name in _NORMED}
        )
        self.last = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One pass."""
        return torch.sigmoid(self.last(self._scale(0, x)))

    def _scale(self, level: int, x: torch.Tensor) -> torch.Tensor:
        deeper = self._block("down_a", level, x)
        deeper = self._block("down_b", level, deeper)
        if level + 1 < SCALES:
            deeper = self._scale(level + 1, deeper)
        deeper = F.interpolate(deeper, scale_factor=2.0, mode="bilinear", align_corners=False)
        out = self.joined[level](torch.cat([self._block("skip", level, x), deeper], dim=1))
        return self._block("up_b", level, self._block("up_a", level, out))

    def _block(self, name: str, level: int, x: torch.Tensor) -> torch.Tensor:
        layer: nn.Conv2d = getattr(self, name)[level]
        out = layer(x) if layer.kernel_size == (1, 1) else mirrored.conv3x3(layer, x, mode="reflect")
        norm = self.norms.get_submodule(f"{name}.{level}")
        return F.leaky_relu(norm(out), SLOPE, inplace=True)


_NORMED = ("down_a", "down_b", "skip", "up_a", "up_b")


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)
