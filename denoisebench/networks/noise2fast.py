"""The network of Noise2Fast: four pairs of 3x3 convolutions of 64 channels with ReLU, and a 1x1 convolution."""

from __future__ import annotations

import torch
from torch import nn

from denoisebench.networks import fast


class FastNet(nn.Module):
    """(N, C, H, W) to (N, C, H, W), any size, not bounded; PyTorch's default initialisation.

    259,201 parameters for C = 1.

    Attributes
    ----------
    plain : bool
        Compute with PyTorch's layers alone, the reference of the faster ones.
    """

    plain = False

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        given = [channels, *[width] * 7]
        self.wide = nn.ModuleList(nn.Conv2d(count, width, 3, padding=1) for count in given)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One pass."""
        for layer in self.wide:
            x = fast.conv3x3(x, *fast.weights(layer), 0.0) if fast.suits(x, self.plain) else torch.relu_(layer(x))
        return self.last(x)
