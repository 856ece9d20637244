"""AP-BSN: a blind-spot network on every fifth pixel in training, on every second to denoise, then refinement.

    PD_s: the s^2 images of every s-th pixel of a row and a column;   loss = mean |f(PD_5 y) - PD_5 y|
    x0 = PD_2^-1 f(PD_2 y),   xhat = (1 / T) sum_t f(m_t y + (1 - m_t) x0),   m_t = 1 for a share p of the pixels

Noise of photographs is correlated over a few pixels, through demosaicking, so the neighbours of a hidden pixel tell it.
Pixels 5 apart do not; but every fifth pixel alone has lost the detail, so only 2 apart are left to denoise, where f has
learnt not to copy. R3, random-replacing refinement: f sees x0 with a few noisy pixels put back, mostly alone, at full
resolution, T = 8 times with p = 0.16; it cannot hand on the pixel at its own place. Shapes: y (N, C, H, W), 0..1 scale;
training crops are cut to a multiple of 5, sub-images are passed on as a batch, so that none sees another one's edge.
One draw of m_t holds for all channels of a pixel. Told: nothing (assumes zero-mean noise, independent 5 pixels apart).
Cost: one pass of 23 U-Nets to train, 9 to denoise (``refinements=0``: 1).

The network is the suite's `dbsn` (the paper's is of its kind, with branches of 3x3 and 5x5 masked convolutions and
dilated blocks, but wider); one's own ``network=net.py:Net`` must take any size and not see its own pixel. Crops of 60
leave sub-images of 12x12, the paper's of 120 leave 24x24: give ``--crop 128`` where there is time. The paper trains 20
epochs with Adam at 1e-4, which a laptop cannot; what this one reaches after so many is not measured.

Source: Lee, Son, Lee, AP-BSN: Self-Supervised Denoising for Real-World Images via Asymmetric PD and Blind-Spot Network,
CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import user_network
from denoisebench.plugins.method import Batch, Info, LearnedMethod, NoiseInfo


@dataclass(frozen=True)
class APBSN(LearnedMethod):
    """Blind-spot network on sub-images, and its refinement.

    Parameters
    ----------
    network : str
        One with a blind spot that takes any size.
    train_stride, test_stride : int
        Distance of the pixels of a sub-image in training and to denoise; 1 is the image itself.
    refinements : int
        T, 0 for none.
    share : float
        Of the pixels that are put back, p.
    """

    network: str = "dbsn"
    train_stride: int = 5
    test_stride: int = 2
    refinements: int = 8
    share: float = 0.16

    name = "apbsn"
    info = Info(
        label="AP-BSN",
        paper="Lee, Son, Lee, AP-BSN: Self-Supervised Denoising for Real-World Images, CVPR 2022",
        bibtex=(
            "@inproceedings{lee2022apbsn, title={{AP-BSN}: Self-Supervised Denoising for Real-World Images via "
            "Asymmetric {PD} and Blind-Spot Network}, author={Lee, Wooseok and Son, Sanghyun and Lee, Kyoung Mu}, "
            "booktitle={CVPR}, year={2022}}"
        ),
        licence="written from the paper; the authors' code is for academic use only and was not used",
    )
    inference_only = frozenset({"test_stride", "refinements", "share"})

    def __post_init__(self) -> None:
        if self.network != "dbsn" and user_network(self.network) is None:
            raise UserError(
                f"apbsn[network={self.network}]: allowed are dbsn and your own file.py:Class, for it must take any "
                "size and not see its own pixel."
            )
        if not (1 <= self.train_stride <= 16 and 1 <= self.test_stride <= 16):
            raise UserError("apbsn: train_stride and test_stride must lie between 1 and 16.")
        if self.refinements < 0 or not 0 < self.share < 1:
            raise UserError("apbsn: refinements must be at least 0 and share lie between 0 and 1.")
        # Padded sides let every sub-image have the same size.
        object.__setattr__(self, "info", replace(type(self).info, multiple=self.test_stride))

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        height, width = (side // self.train_stride * self.train_stride for side in batch.noisy.shape[-2:])
        parts = downsampled(batch.noisy[..., :height, :width], self.train_stride)
        return torch.nn.functional.l1_loss(network(parts), parts), {}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        first = upsampled(network(downsampled(noisy, self.test_stride)), self.test_stride)
        if not self.refinements:
            return first
        total = torch.zeros_like(noisy)
        for _ in range(self.refinements):
            draw = torch.rand(noisy[:, :1].shape, generator=generator, device=noisy.device)
            total += network(torch.where(draw < self.share, noisy, first))
        return total / self.refinements

    def outputs(self) -> Mapping[str, APBSN]:
        return {"without refinement": replace(self, refinements=0)}


def downsampled(image: torch.Tensor, stride: int) -> torch.Tensor:
    """The sub-images of every ``stride``-th pixel: (N, C, H, W) to (N stride^2, C, H / stride, W / stride)."""
    count, channels, height, width = image.shape
    parts = torch.nn.functional.pixel_unshuffle(image, stride)
    parts = parts.view(count, channels, stride**2, height // stride, width // stride)
    return parts.transpose(1, 2).flatten(0, 1)


def upsampled(parts: torch.Tensor, stride: int) -> torch.Tensor:
    """The inverse of `downsampled`."""
    count, channels = parts.shape[:2]
    stacked = parts.view(count // stride**2, stride**2, channels, *parts.shape[2:]).transpose(1, 2)
    return torch.nn.functional.pixel_shuffle(stacked.flatten(1, 2), stride)
