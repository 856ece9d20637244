"""DnCNN: a plain stack of 3x3 convolutions that predicts the noise.

17 layers of 64 channels with ReLU between them, output y - f(y), any image size, receptive field 35x35. For C = 3:
557,443 parameters, 9.12 GMAC at 128x128. Without the batch normalisation of the paper: it makes an output depend on
the other images of a pass, and a masked copy's gradient on how copies are put into passes.

Source: Zhang, Zuo, Chen, Meng, Zhang, Beyond a Gaussian Denoiser, IEEE TIP 2017.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import fast


class DnCNN(nn.Module):
    """Residual stack of convolutions.

    Parameters
    ----------
    in_channels, out_channels : int
        Image channels; the input is added only if they are equal.
    width : int
        Channels of the hidden layers.
    depth : int
        Number of convolutions.
    """

    plain = False
    reach = 17

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        self.residual = in_channels == out_channels
        sizes = [in_channels, *[width] * (depth - 1), out_channels]
        self.layers = nn.ModuleList(nn.Conv2d(given, made, 3, padding=1) for given, made in itertools.pairwise(sizes))
        for layer in self.layers:
            weight, bias = fast.weights(layer)
            nn.init.kaiming_normal_(weight)
            nn.init.zeros_(bias)
        # A small first guess of the noise: the network starts as the identity, nearly.
        fast.weights(self.layers[-1])[0].data.mul_(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        out = x
        for layer in self.layers[:-1]:
            if fast.suits(out, self.plain):
                out = fast.conv3x3(out, *fast.weights(layer), 0.0)
            else:
                out = F.relu(layer(out), inplace=True)
        out = self.layers[-1](out)
        return x - out if self.residual else out
