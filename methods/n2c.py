"""N2C: supervised regression of the clean image, the upper reference of every table.

    loss = mean (f(y) - x)^2

Shapes: y, x (N, C, H, W), 0..1 scale. Told: clean images. Cost: one pass forward and backward to train, one
pass to denoise. Source: the paper's "Baseline, N2C" row; network of Laine et al., NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need


@dataclass(frozen=True)
class N2C(LearnedMethod):
    """Mean squared error to the clean crop."""

    name = "n2c"
    info = Info(
        label="N2C",
        paper="Lehtinen et al., Noise2Noise, ICML 2018 (clean-target baseline)",
        licence="written from the formula; no code used",
        needs=frozenset({Need.CLEAN}),
        multiple=32,
    )

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = torch.nn.functional.mse_loss(network(batch.noisy), batch.clean)
        return loss, {}
