"""The network of ZS-N2N: 3x3 to 48 channels, 3x3, 1x1 back, with LeakyReLU between; 22,275 parameters for C = 3."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import fast


class TinyNet(nn.Module):
    """(N, C, H, W) to (N, C, H, W), any size, PyTorch's default initialisation.

    Attributes
    ----------
    plain : bool
        Compute with PyTorch's layers alone, the reference of the faster ones.
    """

    plain = False

    def __init__(self, channels: int, width: int = 48, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope
        self.wide = nn.ModuleList([nn.Conv2d(given, width, 3, padding=1) for given in (channels, width)])
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One pass."""
        for layer in self.wide:
            if fast.suits(x, self.plain):
                x = fast.conv3x3(x, *fast.weights(layer), self.slope)
            else:
                x = F.leaky_relu(layer(x), self.slope, inplace=True)
        return self.last(x)
