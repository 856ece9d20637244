"""ZS-N2N (Zero-Shot Noise2Noise): a tiny network trained on one noisy image, on two averages of its pixels.

    D1(y), D2(y): mean of the one and of the other diagonal of every 2x2 cell, half the size, independent noises
    r(z) = z - f(z);   loss = (|r(D1) - D2|^2 + |r(D2) - D1|^2) / 2 + (|r(D1) - D1(r(y))|^2 + |r(D2) - D2(r(y))|^2) / 2

|.|^2 is the mean over pixels; gradients flow through every term. f predicts the noise: 3x3 convolution to 48 channels,
3x3, 1x1, LeakyReLU of slope 0.2 between them; 22,275 parameters for three channels. 2000 steps of Adam on the whole
image, learning rate 1e-3, halved at three quarters. Output r(y). Shapes: y (H, W, C), H and W even, 0..1 scale. Told:
nothing (assumes zero-mean, pixel-independent noise). Cost: 1.5 passes forward and backward per step, in all 0.4 GFLOP
per pixel at 2000 steps. A network made for half the noise variance is applied to the whole, as in the paper.

Source: Mansour, Heckel, Zero-Shot Noise2Noise: Efficient Image Denoising without any Data, CVPR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Info, NoiseInfo, PerImageMethod

SLOPE, WIDTH = 0.2, 48


@dataclass(frozen=True)
class ZSN2N(PerImageMethod):
    """A network per image.

    Parameters
    ----------
    lr : float
        First learning rate.
    """

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
    )
    steps, paper_steps = 2000, 2000

    def __post_init__(self) -> None:
        if not 0 < self.lr < 1:
            raise UserError("zsn2n: lr must lie between 0 and 1.")

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        return build(noisy.shape[1])

    def rate(self, progress: float) -> float:
        return self.lr * (0.5 if progress > 0.75 else 1)

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        return loss(network, noisy)

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        return noisy - network(noisy)


def build(channels: int) -> torch.nn.Module:
    """The network that predicts noise, with PyTorch's default initialisation."""
    from denoisebench.networks.tiny import TinyNet

    return TinyNet(channels, WIDTH, SLOPE)


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
    return (rest - halves.flip(0)).square().mean() + (rest - consistent).square().mean()
