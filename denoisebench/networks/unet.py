"""The modified U-Net shared by Laine19, Neighbor2Neighbor and Blind2Unblind.

Six 3x3 convolutions of 48 channels with max-pooling in between, five decoder levels of two 3x3 convolutions
with 96 channels, then three 1x1 convolutions; LeakyReLU after each but the last. Skips are taken after
pooling, so the only full-resolution skip is the input itself. No normalisation, no residual, no clamp.
For C = 3: 1,102,371 parameters (nearest upsampling) or 1,259,475 (transposed), 4.667 or 4.867 GMAC at 128x128.

Sources: Lehtinen et al., Noise2Noise, ICML 2018 (origin); Laine et al., NeurIPS 2019; Huang et al., CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.networks import fast

LEVELS = 5


class UNet(nn.Module):
    """The modified U-Net: (N, C, H, W) in and out, H and W multiples of 32.

    Parameters
    ----------
    in_channels, out_channels : int
        Image channels.
    width : int
        Channels of the encoder; the decoder has twice as many.
    upsampling : {'nearest', 'transposed'}
        Nearest neighbour, or learned 2x2 transposed convolutions.
    slope : float
        Of the LeakyReLU.
    init : {'default', 'he', 'small'}
        PyTorch's default; He normal with a linear last layer; or He normal (slope ignored) times 0.1.
    pooling : {'max', 'blur'}
        Maximum of 2x2 pixels; or that of every 2x2 window, blurred before every second is taken (Zhang 2019).
    top_skip : bool
        Whether the last decoder level sees the input.

    Attributes
    ----------
    reach : int
        So many pixels away an input can lie that changes an output; see `denoisebench.networks.tiled`.
    plain : bool
        Compute with PyTorch's layers alone, as the reference that `denoisebench.networks.fast` is tested against.
    """

    reach = 160
    plain = False
    top_skip = True
    blur_pooling = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 48,
        upsampling: Literal["nearest", "transposed"] = "nearest",
        slope: float = 0.1,
        init: Literal["default", "he", "small"] = "default",
        pooling: Literal["max", "blur"] = "max",
        top_skip: bool = True,
    ) -> None:
        super().__init__()
        self.slope = slope
        self.top_skip, self.blur_pooling = top_skip, pooling == "blur"
        if self.blur_pooling:
            # One pixel more on each side in each of the poolings: 1 + 2 + 4 + 8 + 16.
            self.reach = 192
        wide = 2 * width
        self.encoder = nn.ModuleList(
            nn.Conv2d(in_channels if level == 0 else width, width, 3, padding=1) for level in range(LEVELS + 2)
        )
        joined = [2 * width, *[wide + width] * (LEVELS - 2), wide + in_channels * top_skip]
        self.decoder_a = nn.ModuleList(nn.Conv2d(channels, wide, 3, padding=1) for channels in joined)
        self.decoder_b = nn.ModuleList(nn.Conv2d(wide, wide, 3, padding=1) for _ in joined)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels, 2, stride=2)
            if upsampling == "transposed"
            else nn.Upsample(scale_factor=2, mode="nearest")
            for channels in [width, *[wide] * (LEVELS - 1)]
        )
        self.head = nn.ModuleList([nn.Conv2d(wide, wide, 1), nn.Conv2d(wide, wide, 1)])
        self.last = nn.Conv2d(wide, out_channels, 1)
        if init != "default":
            self._initialise(init)

    def _initialise(self, init: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.zeros_(fast.weights(module)[1])
                if init == "small":
                    nn.init.kaiming_normal_(module.weight, a=0.0)
                    module.weight.data.mul_(0.1)
                elif module is self.last:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                else:
                    nn.init.kaiming_normal_(module.weight, a=self.slope)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        return self._finish(self._conv(self.decoder_b[-1], self._features(x)))

    def forward_at(self, x: torch.Tensor, offsets: Sequence[tuple[int, int]], stride: int) -> list[torch.Tensor]:
        """See `denoisebench.networks.forward_at`.

        The last 3x3 convolution and the 1x1 layers, a third of all multiply-adds, are computed at the kept
        pixels only: as a convolution of that stride on a view that starts at the offset.
        """
        weight, bias = fast.weights(self.decoder_b[-1])
        features = self._features(x)
        if fast.suits(x, self.plain):
            pixels = fast.conv3x3_at(features, weight, bias, self.slope, offsets, stride)
            return list(self._finish(pixels).chunk(len(offsets)))
        kept = []
        for copy, (row, column) in zip(features.chunk(len(offsets)), offsets, strict=True):
            window = F.pad(copy, (1, 1, 1, 1))[:, :, row:, column:]
            kept.append(F.conv2d(window, weight, bias, stride=stride))
        height, width = x.shape[-2] // stride, x.shape[-1] // stride
        # Beyond the last cell the shifted view can still hold one more window; drop it.
        pixels = torch.cat([k[:, :, :height, :width] for k in kept])
        return list(self._finish(self._act(pixels)).chunk(len(offsets)))

    def _features(self, x: torch.Tensor) -> torch.Tensor:
        skips = [x]
        out = self._conv(self.encoder[0], x)
        for level in range(1, LEVELS + 1):
            out = self._pool(self._conv(self.encoder[level], out))
            skips.append(out)
        out = self._conv(self.encoder[LEVELS + 1], out)
        for level in range(LEVELS):
            if level:
                out = self._conv(self.decoder_b[level - 1], out)
            skip = skips[LEVELS - 1 - level]
            if level == LEVELS - 1 and not self.top_skip:
                out = self._conv(self.decoder_a[level], self.up[level](out))
            else:
                out = self._up_conv(level, out, skip)
        return out

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        return blur_pool(x) if self.blur_pooling else F.max_pool2d(x, 2)

    def _conv(self, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if fast.suits(x, self.plain):
            return fast.conv3x3(x, *fast.weights(layer), self.slope)
        return self._act(layer(x))

    def _up_conv(self, level: int, low: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        layer = self.decoder_a[level]
        if isinstance(self.up[level], nn.Upsample):
            if fast.suits(low, self.plain):
                return fast.up_conv3x3(low, skip, *fast.weights(layer), self.slope)
            if fast.serves(low, self.plain):
                return self._act(fast.folded_up_conv(low, skip, *fast.weights(layer)))
        return self._conv(layer, torch.cat([self.up[level](low), skip], dim=1))

    def _finish(self, features: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = features.shape
        # These layers see a pixel at a time, so 16 parts of an image may pass for images: on one thread PyTorch leaves
        # fewer than 16 to a slower convolution.
        parts = 16 if fast.serves(features, self.plain) and count < 16 and height % 16 == 0 else 1
        if parts > 1:
            features = features.permute(0, 2, 3, 1).reshape(-1, height // parts, width, channels).permute(0, 3, 1, 2)
        for layer in self.head:
            features = self._act(layer(features))
        out = self.last(features)
        return out.permute(0, 2, 3, 1).reshape(count, height, width, -1).permute(0, 3, 1, 2) if parts > 1 else out

    def _act(self, x: torch.Tensor) -> torch.Tensor:
        # In place: every input is a fresh convolution output, and memory traffic is what limits large images.
        return F.leaky_relu(x, self.slope, inplace=True)


def blur_pool(x: torch.Tensor) -> torch.Tensor:
    """The maximum of every 2x2 window, blurred by [1, 2, 1] / 4 both ways, at every second pixel; edges repeated.

    (N, C, H, W) to (N, C, H / 2, W / 2). Source: Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019.
    """
    channels = x.shape[1]
    # Windows begin at pixels -1 to H, so that each output is centred on the pair of pixels that it stands for.
    highest = F.max_pool2d(F.pad(x, (1, 2, 1, 2), mode="replicate"), 2, stride=1)
    taps = x.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps).expand(channels, 1, 3, 3)
    return F.conv2d(highest, kernel, stride=2, groups=channels)
