"""Self2Self: a network fitted on one noisy image, to predict a random part of it from the rest, with dropout.

    loss = sum (1 - m) (f(m y, m) - y)^2 / sum (1 - m),   m ~ Bernoulli(0.7) per pixel and channel
    xhat = mean of 100 f(m y, m), each with a mask and a dropout of its own

Every step sees the whole image, flipped left-right and up-down at random. Dropout (0.3) stays on while denoising: the
mean over many networks is what lowers the variance. Shapes: y (1, C, H, W), 0..1 scale; the sigmoid output lies within
0..1. Told: nothing (assumes zero-mean, pixel-independent noise). Cost: one pass forward and backward per step, 100
passes to denoise.

Adam at a constant rate, 150,000 steps at 1e-4 in the released code (the paper says 450,000 at 1e-5), hours on a GPU for
each image. The default rate here is 5e-4, for fits of hundreds of steps; ``--image-budget paper`` asks for
``lr=0.0001``. Dropout 0.2 is what the released code takes for BSD68 at sigma 25.

Input and output are centred at the mean of each channel of the noisy image: the network sees the image less its mean,
and the sigmoid starts at the mean. The released code has neither. Without them bright images end as a white one within
tens of steps, at any rate from 1e-4 to 1e-3 (tests/test_self2self.py fits one); with them they denoise as others do.

Source: Quan, Chen, Pang, Ji, Self2Self With Dropout: Learning Self-Supervised Denoising From Single Image, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Info, NoiseInfo, PerImageMethod


@dataclass(frozen=True)
class Self2Self(PerImageMethod):
    """Dropout ensemble fitted to each image.

    Parameters
    ----------
    keep : float
        Share of the values that a mask keeps.
    dropout : float
        Share of the features that are dropped.
    passes : int
        Averaged to denoise.
    lr : float
        Learning rate of Adam.
    """

    keep: float = 0.7
    dropout: float = 0.3
    passes: int = 100
    lr: float = 5e-4

    name = "self2self"
    info = Info(
        label="Self2Self",
        paper="Quan, Chen, Pang, Ji, Self2Self With Dropout: Learning Self-Supervised Denoising From Single Image, "
        "CVPR 2020",
        bibtex=(
            "@inproceedings{quan2020self2self, title={Self2Self With Dropout: Learning Self-Supervised Denoising From "
            "Single Image}, author={Quan, Yuhui and Chen, Mingqin and Pang, Tongyao and Ji, Hui}, booktitle={CVPR}, "
            "year={2020}}"
        ),
        licence="written from the paper; the authors' code carries no licence and was not used",
        multiple=32,
    )
    steps, paper_steps = 300, 150_000
    paper_settings: ClassVar[Mapping[str, Any]] = {"lr": 1e-4}

    def __post_init__(self) -> None:
        if not (0 < self.keep < 1 and 0 <= self.dropout < 1 and self.passes >= 1 and 0 < self.lr < 1):
            raise UserError("self2self: keep, dropout and lr must lie between 0 and 1, passes be at least 1.")

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        from denoisebench.networks.self2self import Self2SelfNet

        network = Self2SelfNet(noisy.shape[1], self.dropout)
        network.start_at(noisy.mean((0, 2, 3)))
        return network

    def rate(self, progress: float) -> float:
        return self.lr

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        axes = flips()
        image = noisy.flip(axes) if axes else noisy
        mask = self.mask(image)
        dropped = 1 - mask
        squared: torch.Tensor = (network(image, mask) - image).square() * dropped
        return squared.sum() / dropped.sum().clamp(min=1)

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            axes = flips()
            image = noisy.flip(axes)
            total += network(image, self.mask(image)).flip(axes)
        return total / self.passes

    def mask(self, image: torch.Tensor) -> torch.Tensor:
        """1 where a value is kept."""
        return torch.empty_like(image).bernoulli_(self.keep)


def flips() -> list[int]:
    """Axes to flip: each of the two with probability 1/2."""
    return [axis for axis in (2, 3) if torch.rand(()) < 0.5]
