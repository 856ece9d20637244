"""N2N (Noise2Noise): regress a second, independent noisy copy of the same scene.

    loss = mean (f(y1) - y2)^2,   E[y2 | y1] = E[x | y1] because the second noise has zero mean

Shapes: y1, y2 (N, C, H, W), 0..1 scale; the copies are never clipped, which would bias their mean. With ranged
noise each copy has a level of its own, as in the released code. Told: a second noisy copy. Cost: as N2C.
Source: Lehtinen et al., ICML 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need


@dataclass(frozen=True)
class N2N(LearnedMethod):
    """Mean squared error to the second noisy copy."""

    name = "n2n"
    info = Info(
        label="N2N",
        paper="Lehtinen et al., Noise2Noise: Learning Image Restoration without Clean Data, ICML 2018",
        bibtex=(
            "@inproceedings{lehtinen2018noise2noise, title={Noise2Noise: Learning Image Restoration without "
            "Clean Data}, author={Lehtinen, Jaakko and others}, booktitle={ICML}, year={2018}}"
        ),
        licence="written from the formula; the authors' code is CC BY-NC 4.0 and was not used",
        needs=frozenset({Need.SECOND}),
        multiple=32,
    )

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = torch.nn.functional.mse_loss(network(batch.noisy), batch.second)
        return loss, {}
