"""The dilated blind-spot network of DBSN: the pixel is cut out once, and strides keep it out.

Two branches begin with a convolution, 3x3 and 5x5, whose centre is masked. What follows looks only at pixels 0, 2, 4
(first branch) or 0, 3, 6 (second) apart, in 8 blocks each. To come back to the pixel itself an offset of the masked
kernel would have to be a multiple of that dilation, and none is but the centre. For C = 3: 6,612,675 parameters, 18,432
of them masked; 6.6 M multiply-adds per pixel, 23 times those of the U-Net. The network sees 50 pixels far, but for the
same reason not the pixels that are a multiple of 6 rows and of 6 columns away (of 3 beyond 33). He initialisation but
for `START`, which is not the paper's.

Source: Wu, Liu, Cao, Ren, Zuo, Unpaired Learning of Deep Image Denoising, ECCV 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks.dilated import dilated_relu

# Of the weights by which a block adds to its input. At He's 1 every block doubles the power, and a short training is
# spent on taking it back.
START = 0.1


class DilatedBlindSpot(nn.Module):
    """Two branches of dilated blocks, joined by 1x1 convolutions.

    Input (N, C, H, W) of any size, output (N, O, H, W).

    Parameters
    ----------
    in_channels, out_channels : int
        Of the image and of the output.
    width : int
        Channels in between.
    blocks : int
        Per branch.
    """

    reach = 50

    def __init__(self, in_channels: int, out_channels: int, width: int = 96, blocks: int = 8) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Conv2d(in_channels, width, 1)
        self.branches = nn.ModuleList(Branch(width, side, blocks) for side in (3, 5))
        self.join = nn.Conv2d(2 * width, width, 1)
        self.tail = pointwise(width, width, out_channels, 3)
        initialise(self)
        for module in self.modules():
            if isinstance(module, Block):
                module.join.weight.data.mul_(START)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H, W)."""
        return self.with_features(x)[0]

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The output, and the features (N, width, H, W) it is made from; neither depends on its own pixel."""
        x = F.relu_(self.head(x))
        features = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return self.tail(features), features


class Branch(nn.Module):
    """A masked convolution of ``side`` pixels, then blocks of dilation (side + 1) / 2; (N, width, H, W) to the same."""

    def __init__(self, width: int, side: int, blocks: int) -> None:
        super().__init__()
        self.masked = MaskedConv(width, side)
        self.enter = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(2))
        self.blocks = nn.ModuleList(Block(width, (side + 1) // 2) for _ in range(blocks))
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.masked, *self.enter):
            x = F.relu_(layer(x))
        for block in self.blocks:
            x = block(x)
        return self.leave(x)


class MaskedConv(nn.Conv2d):
    """A convolution that does not look at the pixel in the middle."""

    mask: torch.Tensor

    def __init__(self, width: int, side: int) -> None:
        super().__init__(width, width, side, padding=side // 2)
        mask = torch.ones(side, side)
        mask[side // 2, side // 2] = 0
        # Applied in every pass, not once to the weights, so neither an optimiser nor loaded weights can undo it.
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class Block(nn.Module):
    """Three paths (dilated 5x5, dilated 3x3, 1x1), joined and added to the input, then two 1x1 convolutions."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.enter = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3))
        self.dilated = nn.ModuleList(
            nn.Conv2d(width, width, side, padding=side // 2 * dilation, dilation=dilation) for side in (5, 3)
        )
        self.join = nn.Conv2d(3 * width, width, 1)
        self.leave = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide, narrow, none = (F.relu_(layer(x)) for layer in self.enter)
        paths = [dilated_relu(self.dilated[0], wide), dilated_relu(self.dilated[1], narrow), none]
        x = F.relu_(self.join(torch.cat(paths, dim=1))) + x
        for layer in self.leave:
            x = F.relu_(layer(x))
        return x


def pointwise(in_channels: int, width: int, out_channels: int, layers: int, start: float = 1.0) -> nn.Sequential:
    """1x1 convolutions with ReLU between them: every pixel by itself; the last weights start times ``start``."""
    sizes = [in_channels, *[width] * (layers - 1)]
    steps: list[nn.Module] = []
    for given in sizes[:-1]:
        steps += [nn.Conv2d(given, width, 1), nn.ReLU(inplace=True)]
    last = nn.Conv2d(sizes[-1], out_channels, 1)
    network = nn.Sequential(*steps, last)
    initialise(network)
    last.weight.data.mul_(start)
    return network


def initialise(module: nn.Module) -> None:
    """He normal weights, biases of zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
