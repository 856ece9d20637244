"""A 3x3 convolution whose border is continued by the image itself, as the per-image networks want it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import fast


def conv3x3(layer: nn.Module, x: torch.Tensor, slope: float = 1.0, mode: str = "replicate") -> torch.Tensor:
    """``leaky_relu(conv2d(pad(x, 1, mode), weight, bias, stride), slope)``; a slope of 1 leaves the activation out.

    Parameters
    ----------
    layer : nn.Module
        A `torch.nn.Conv2d`, 3x3, its own padding is not used.
    x : torch.Tensor
        (N, C, H, W).
    mode : str
        Of `torch.nn.functional.pad`: 'reflect', or 'replicate', which for one pixel is symmetric padding.
    """
    assert isinstance(layer, nn.Conv2d)
    padded = F.pad(x, (1, 1, 1, 1), mode=mode)
    weight, bias = fast.weights(layer)
    if layer.stride == (1, 1) and x.shape[1] >= 16 and fast.suits(padded, False):
        return fast.conv3x3(padded, weight, bias, slope)[:, :, 1:-1, 1:-1]
    out = F.conv2d(padded, weight, bias, layer.stride)
    return out if slope == 1 else F.leaky_relu(out, slope)
