"""Laine19-mu: regression on the noisy image itself, by a network that cannot see the pixel it predicts.

    loss = mean (f(y) - y)^2,   df(y)(p) / dy(p) = 0 by construction

With noise that is zero-mean and independent from pixel to pixel the best f(y) is the mean of x given the surroundings.
What the pixel itself says of x is not used; see laine19_pme. Shapes: y (N, C, H, W), 0..1 scale. Told: nothing. Cost:
four passes of the U-Net (one per rotation) to train and to denoise.

Trained by the suite's common recipe. Source: Laine, Karras, Lehtinen, Aila, NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import BLIND
from denoisebench.plugins.method import Batch, Info, LearnedMethod


@dataclass(frozen=True)
class Laine19Mu(LearnedMethod):
    """Blind-spot regression."""

    network: str = "blindspot"

    name = "laine19_mu"
    info = Info(
        label="Laine19-mu",
        paper="Laine et al., High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019",
        bibtex=(
            "@inproceedings{laine2019high, title={High-Quality Self-Supervised Deep Image Denoising}, "
            "author={Laine, Samuli and Karras, Tero and Lehtinen, Jaakko and Aila, Timo}, "
            "booktitle={NeurIPS}, year={2019}}"
        ),
        licence="written from the paper; the authors' code is CC BY-NC 4.0 and was not used",
        multiple=32,
    )

    def __post_init__(self) -> None:
        if self.network not in BLIND:
            raise UserError(f"laine19_mu[network={self.network}]: allowed are networks with a blind spot: {BLIND[0]}.")

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return torch.nn.functional.mse_loss(network(batch.noisy), batch.noisy), {}
