"""NBR2NBR (Neighbor2Neighbor): two half-size images of adjacent pixels serve as a Noise2Noise pair.

    d = f(g1 y) - g2 y,   r = g1(sg f(y)) - g2(sg f(y)),   loss = mean d^2 + gamma progress mean (d - r)^2

In every 2x2 cell one of the 8 ordered pairs of horizontal or vertical neighbours is drawn; g1 takes the first
pixel, g2 the second, the same for all channels. sg stops the gradient: f(y) is computed under no-grad.
Shapes: y (N, C, H, W), 0..1 scale, H and W multiples of 64 in training. Told: nothing (assumes zero-mean,
pixel-independent noise). Cost: one full pass without gradient and one quarter-size pass with; one to denoise.
gamma = 2 for synthetic noise. Progress is a staircase in the released script, one value per epoch and one epoch ahead.

The network is the suite's `unet`, so that rows differ by their training alone. The released one
(``network=unet_nbr``: transposed convolutions, initialisation times 0.1) starts near zero and needs a long training.

Source: Huang, Li, Jia, Lu, Liu, CVPR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod

# Pixels of a 2x2 cell are numbered 0 1 / 2 3; diagonal pairs do not occur.
PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))


@dataclass(frozen=True)
class NBR2NBR(LearnedMethod):
    """Neighbour sub-sampling with the regulariser.

    Parameters
    ----------
    gamma : float
        Final weight of the regulariser (2 for synthetic noise; 16 for SIDD).
    """

    gamma: float = 2.0

    name = "nbr2nbr"
    info = Info(
        label="NBR2NBR",
        paper="Huang et al., Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images, CVPR 2021",
        bibtex=(
            "@inproceedings{huang2021neighbor2neighbor, title={Neighbor2Neighbor: Self-Supervised Denoising from "
            "Single Noisy Images}, author={Huang, Tao and Li, Songjiang and Jia, Xu and Lu, Huchuan and "
            "Liu, Jianzhuang}, booktitle={CVPR}, year={2021}}"
        ),
        licence="written from the paper; the authors' code is BSD-3-Clause and was not used",
        multiple=32,
    )
    crop_multiple = 64

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy = batch.noisy
        pair = draw_pairs(noisy, batch.generator)
        with torch.no_grad():
            denoised = network(noisy)
            shift = pick(denoised, pair[0]) - pick(denoised, pair[1])
        difference = network(pick(noisy, pair[0])) - pick(noisy, pair[1])
        fidelity = difference.square().mean()
        regulariser = (difference - shift).square().mean()
        loss = fidelity + self.gamma * progress * regulariser
        return loss, {"fidelity": fidelity.detach(), "regulariser": regulariser.detach()}


def draw_pairs(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One ordered neighbour pair per 2x2 cell: (2, N, 1, H/2, W/2) with pixel numbers 0..3."""
    count, _, height, width = image.shape
    shape = (count, 1, height // 2, width // 2)
    choice = torch.randint(len(PAIRS), shape, generator=generator, device=image.device)
    return torch.tensor(PAIRS, device=image.device).T[:, choice]


def pick(image: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """The chosen pixel of every 2x2 cell: (N, C, H, W) and (N, 1, H/2, W/2) to (N, C, H/2, W/2)."""
    count, channels, height, width = image.shape
    cells = torch.nn.functional.pixel_unshuffle(image, 2).view(count, channels, 4, height // 2, width // 2)
    index = pixel[:, :, None].expand(count, channels, 1, height // 2, width // 2)
    return cells.gather(2, index).squeeze(2)
