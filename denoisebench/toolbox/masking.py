"""What blind-spot methods put in place of hidden pixels."""

from __future__ import annotations

from denoisebench.core.lazy import torch


def fill(noisy: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the 8 neighbours of every pixel (diagonal 1/12, axial 1/6), per channel, zero padding.

    Not renormalised at the border. (N, C, H, W) in and out. Source: Batson, Royer, Noise2Self, ICML 2019, whose
    kernel Blind2Unblind uses too.
    """
    channels = noisy.shape[1]
    kernel = noisy.new_tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]]) / 12
    kernel = kernel.expand(channels, 1, 3, 3)
    return torch.nn.functional.conv2d(noisy, kernel, padding=1, groups=channels)
