"""The network of Self2Self: a U-Net with partial convolutions on the way down and dropout on the way up.

Way down: C -> 48, then six times 48 -> 48, five poolings. A partial convolution weighs what its window holds,

    out = W * (x m) * 9 C / sum(m) + b where the window holds anything, 0 elsewhere;   m' = 1 where it does

with the mask m of the input's kept values. Way up: five levels of nearest upsampling and two 3x3 convolutions (96 and
96; 64 and 32 in the last), the pooled features and the input beside them, dropout before every convolution; a last 3x3
convolution with a sigmoid. LeakyReLU 0.1, symmetric padding. For C = 3: 991,203 parameters, 11.4 GMAC at 256x256.

The network sees x - c, with a centre c per channel, and so a missing value as c instead of black. Of a bright image as
it is, all features would rise and fall together, and with them the output: a step of Adam moves every pixel by as much,
the sigmoid ends at 1 everywhere, where it has no gradient left, and the fit is over. The sigmoid is computed in single
precision: in bfloat16 it is 1, without a gradient, for arguments from 6.25 on.

Dropout raises the mean square of what a layer sees by 1 / (1 - dropout), ten times in a row; He's weights take no
notice and put the argument of the sigmoid at a deviation of 4 to 19. So weights after a dropout are sqrt(1 - dropout)
of He's.

The released code has no centre, pads partial convolutions twice and divides by another C; here once, and by the sum
alone.

Source: Quan, Chen, Pang, Ji, Self2Self With Dropout, CVPR 2020; partial convolutions: Liu et al., ECCV 2018.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import fast, mirrored

LEVELS, SLOPE = 5, 0.1


class Self2SelfNet(nn.Module):
    """Masked U-Net; H and W multiples of 32.

    Parameters
    ----------
    channels : int
        Of the image.
    dropout : float
        Share of the features that is dropped before each convolution of the way up, in evaluation too.
    width : int
        Channels of the way down.
    """

    def __init__(self, channels: int, dropout: float = 0.3, width: int = 48) -> None:
        super().__init__()
        self.dropout = dropout
        self.centre: torch.Tensor
        self.register_buffer("centre", torch.zeros(channels, 1, 1))
        wide = 2 * width
        self.encoder = nn.ModuleList(nn.Conv2d(width if level else channels, width, 3) for level in range(LEVELS + 2))
        joined = [wide, *[wide + width] * (LEVELS - 2), wide + channels]
        first, second = [*[wide] * (LEVELS - 1), 64], [*[wide] * (LEVELS - 1), 32]
        self.decoder_a = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in zip(joined, first, strict=True))
        self.decoder_b = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in zip(first, second, strict=True))
        self.last = nn.Conv2d(second[-1], channels, 3)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=1.0 if layer is self.last else SLOPE)
                nn.init.zeros_(fast.weights(layer)[1])
        with torch.no_grad():
            for layer in (*self.decoder_a, *self.decoder_b, self.last):
                fast.weights(layer)[0].mul_((1 - dropout) ** 0.5)

    def start_at(self, centre: torch.Tensor) -> None:
        """Centre input and output at a value (C,) of about 0..1; they are at black and mid-gray before."""
        with torch.no_grad():
            self.centre.copy_(centre[:, None, None])
            fast.weights(self.last)[1].copy_(torch.logit(centre.clamp(0.02, 0.98)))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) and its mask of kept values, of the same shape, to (N, C, H, W) within 0..1."""
        x = (x - self.centre) * mask
        skips = [x]
        out, held = self._partial(0, x, mask)
        for level in range(1, LEVELS + 1):
            out, held = self._partial(level, out, held)
            out, held = F.max_pool2d(out, 2), F.max_pool2d(held, 2)
            skips.append(out)
        out, _ = self._partial(LEVELS + 1, out, held)
        for level in range(LEVELS):
            out = torch.cat([F.interpolate(out, scale_factor=2.0), skips[LEVELS - 1 - level]], dim=1)
            out = mirrored.conv3x3(self.decoder_a[level], self._drop(out), SLOPE)
            out = mirrored.conv3x3(self.decoder_b[level], self._drop(out), SLOPE)
        return torch.sigmoid(mirrored.conv3x3(self.last, self._drop(out)).float())

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.dropout)

    def _partial(self, level: int, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and the mask (N, 1, H, W) of where they are known; x is zero where the mask is."""
        layer = self.encoder[level]
        # From the second layer on all channels share one mask, mostly without holes.
        if mask.shape[1] == 1 and level and bool(mask.all()):
            return mirrored.conv3x3(layer, x, SLOPE), mask
        window = F.pad(mask.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        share = F.avg_pool2d(window, 3, stride=1)
        known = (share > 0).to(x.dtype)
        weight, bias = fast.weights(layer)
        raw = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight)
        out = (raw / share.clamp(min=1e-6) + bias.view(1, -1, 1, 1)) * known
        return F.leaky_relu(out, SLOPE), known
