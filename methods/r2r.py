"""R2R (Recorrupted-to-Recorrupted): two images with independent noises from one, by adding known noise.

    z ~ N(0, S), S the noise covariance;  input y + alpha z,  target y - z / alpha;   loss = mean (f(input) - target)^2

Given x, cov(input, target) = S - S = 0, so the target is as good as a second copy; its noise has standard
deviation sigma sqrt(1 + 1/alpha^2). Denoising averages ``passes`` outputs on y + alpha z_k. Shapes: y
(N, C, H, W), 0..1 scale. Told: noise model and level. Cost: one pass to train, 50 to denoise.

Gaussian: S = sigma^2. Poisson: the paper has no recipe; S = max(y, 0) / lambda per pixel, with y standing in for
x. Given x the two images stay uncorrelated, but not independent: E[target | input] is not x, it is off by some 0.05 at
the ends of the range of inputs (lambda 30), which is why such rows fall behind. The released loss is a sum over half
the batch; Adam makes the mean equivalent. Source: Pang, Zheng, Quan, Ji, CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo


@dataclass(frozen=True)
class R2R(LearnedMethod):
    """Recorruption with known noise.

    Parameters
    ----------
    alpha : float
        Scale of the noise added to the input.
    passes : int
        Recorrupted inputs averaged per image.
    """

    alpha: float = 0.5
    passes: int = 50

    name = "r2r"
    info = Info(
        label="R2R",
        paper="Pang et al., Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising, CVPR 2021",
        bibtex=(
            "@inproceedings{pang2021recorrupted, title={Recorrupted-to-Recorrupted: Unsupervised Deep Learning for "
            "Image Denoising}, author={Pang, Tongyao and Zheng, Huan and Quan, Yuhui and Ji, Hui}, "
            "booktitle={CVPR}, year={2021}}"
        ),
        licence="written from the paper; the authors' repository states no licence and was not used",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        multiple=32,
    )
    inference_only = frozenset({"passes"})

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.passes < 1:
            raise UserError("r2r: alpha must be above 0 and passes at least 1.")

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        z = self.recorruption(batch.noisy, batch.known, batch.generator)
        prediction = network(batch.noisy + self.alpha * z)
        loss = torch.nn.functional.mse_loss(prediction, batch.noisy - z / self.alpha)
        return loss, {}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            total += network(noisy + self.alpha * self.recorruption(noisy, known, generator))
        return total / self.passes

    def outputs(self) -> Mapping[str, R2R]:
        return {"1 pass": replace(self, passes=1), "4 passes": replace(self, passes=4)}

    def recorruption(self, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator) -> torch.Tensor:
        """Noise z with the covariance of the noise in ``noisy``; same shape."""
        normal = torch.randn(noisy.shape, generator=generator, device=noisy.device, dtype=noisy.dtype)
        if known.family == "gauss":
            return normal * known.level
        return normal * (noisy.clamp(min=0) / known.level).sqrt()
