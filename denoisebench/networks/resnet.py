"""The residual network of Noisy-As-Clean: blocks of two 3x3 convolutions of 64 channels, a sigmoid at the end.

conv - ReLU - 10 x (conv - norm - ReLU - conv - norm, plus the block's input) - conv - sigmoid, the norm being batch
normalisation of the image at hand, in evaluation too. For C = 3: 744,643 parameters, 48.5 GMAC at 256x256.

The released network has one more convolution with normalisation behind the blocks, and differs in biases and padding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import mirrored


class ResNet(nn.Module):
    """(N, C, H, W) to (N, O, H, W) within 0..1, any size."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int = 10, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3) for _ in range(2 * blocks))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, track_running_stats=False) for _ in range(2 * blocks))
        self.last = nn.Conv2d(width, out_channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One pass."""
        out = mirrored.conv3x3(self.first, x, slope=0.0)
        for number in range(0, len(self.layers), 2):
            inner = F.relu(self._normed(number, out), inplace=True)
            out = out + self._normed(number + 1, inner)
        return torch.sigmoid(mirrored.conv3x3(self.last, out))

    def _normed(self, number: int, x: torch.Tensor) -> torch.Tensor:
        return self.norms[number](mirrored.conv3x3(self.layers[number], x))
