"""ZS-N2N (Zero-Shot Noise2Noise): a tiny network trained on one noisy image, on two averages of its pixels.

    D1(y), D2(y): mean of the one and of the other diagonal of every 2x2 cell, half the size, independent noises
    r(z) = z - f(z);   loss = (|r(D1) - D2|^2 + |r(D2) - D1|^2) / 2 + (|r(D1) - D1(r(y))|^2 + |r(D2) - D2(r(y))|^2) / 2

|.|^2 is the mean over pixels; gradients flow through every term. f predicts the noise: 3x3 convolution to 48 channels,
3x3, 1x1, LeakyReLU of slope 0.2 between them; 22,275 parameters for three channels. ``steps`` of Adam on the whole
image, learning rate 1e-3, halved at three quarters. Output r(y). Shapes: y (H, W, C), H and W even, 0..1 scale. Told:
nothing (assumes zero-mean, pixel-independent noise). Cost: 1.5 passes forward and backward per step, in all 0.4 GFLOP
per pixel at 2000 steps. A network made for half the noise variance is applied to the whole, as in the paper.

Source: Mansour, Heckel, Zero-Shot Noise2Noise: Efficient Image Denoising without any Data, CVPR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denoisebench.errors import UserError
from denoisebench.images import FloatImage
from denoisebench.lazy import torch
from denoisebench.method import Info, Known, PlainMethod

SLOPE, WIDTH = 0.2, 48


@dataclass(frozen=True)
class ZSN2N(PlainMethod):
    """A network per image.

    Parameters
    ----------
    steps : of Adam, each on the whole image
    lr : first learning rate
    """

    steps: int = 2000
    lr: float = 1e-3

    name = "zsn2n"
    info = Info(
        label="ZS-N2N",
        paper="Mansour, Heckel, Zero-Shot Noise2Noise: Efficient Image Denoising without any Data, CVPR 2023",
        bibtex=(
            "@inproceedings{mansour2023zeroshot, title={Zero-Shot Noise2Noise: Efficient Image Denoising without any "
            "Data}, author={Mansour, Youssef and Heckel, Reinhard}, booktitle={CVPR}, year={2023}}"
        ),
        licence="written from the paper; the authors' notebook was not used",
        multiple=2,
        packages=("torch",),
    )

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.lr < 1:
            raise UserError("zsn2n: steps must be at least 1 and lr lie between 0 and 1.")

    def denoise(self, noisy: FloatImage, known: Known, rng: np.random.Generator) -> FloatImage:
        image = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            network = build(image.shape[1])
            optimiser = torch.optim.Adam(network.parameters(), lr=self.lr)
            for step in range(self.steps):
                optimiser.param_groups[0]["lr"] = self.lr * (0.5 if step >= 0.75 * self.steps else 1)
                optimiser.zero_grad(set_to_none=True)
                loss(network, image).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.no_grad():
            result = image - network(image)
        return np.asarray(result[0].permute(1, 2, 0).numpy())


def build(channels: int) -> torch.nn.Module:
    """The network that predicts noise, with PyTorch's default initialisation."""
    nn = torch.nn
    network = nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(WIDTH, channels, 1),
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def diagonals(image: torch.Tensor) -> torch.Tensor:
    """D1 and D2 (2 N, C, H / 2, W / 2), stacked, of (N, C, H, W)."""
    first = (image[..., ::2, 1::2] + image[..., 1::2, ::2]) / 2
    second = (image[..., ::2, ::2] + image[..., 1::2, 1::2]) / 2
    return torch.cat([first, second])


def loss(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """The loss of one image (1, C, H, W)."""
    halves = diagonals(image)
    rest = halves - network(halves)
    consistent = diagonals(image - network(image))
    # Means over both halves together are half the sums of their means.
    return (rest - halves.flip(0)).square().mean() + (rest - consistent).square().mean()  # type: ignore[no-any-return]
