"""GR2R (Generalized Recorrupted-to-Recorrupted): two independent Poisson images from one, by thinning its counts.

    k = lambda y ~ Poisson(lambda x);   w ~ Binomial(k, alpha), in each pixel
    input y1 = (k - w) / (lambda (1 - alpha)),   target y2 = w / (lambda alpha);   loss = mean (f(y1) - y2)^2

Photons that are sorted at random are two independent Poisson numbers: y1 and y2 both have the mean x, variances
x / (lambda (1 - alpha)) and x / (lambda alpha), and given x they know nothing of each other. So

    E loss = E mean (f(y1) - x)^2 + mean x / (lambda alpha)

exactly, at any lambda, where the two images of `r2r` are only uncorrelated. Denoising averages ``passes`` outputs on y1
of fresh w. Shapes: y (N, C, H, W), 0..1 scale; lambda in counts at white, one for all or one per image. Told: the noise
level. Cost: one pass to train, 5 to denoise.

Refused: Gaussian noise, for which the paper's pair is that of `r2r` with its alpha = sqrt(alpha / (1 - alpha)); clipped
or rounded noise and that of cameras, which are no counts. Values between counts are rounded to the next. alpha = 0.2
gives the variances that R2R's published 0.5 gives. The paper's other noise, gamma, is not among those of the suite; its
loss by likelihood is left out. Source: Monroy, Bacca, Tachella, CVPR 2025 (arXiv 2412.04648).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo
from denoisebench.protocol.noise import Noise


@dataclass(frozen=True)
class GR2R(LearnedMethod):
    """Thinning of Poisson counts.

    Parameters
    ----------
    alpha : float
        Share of the counts that the target gets, between 0 and 1.
    passes : int
        Thinned inputs averaged per image.
    """

    alpha: float = 0.2
    passes: int = 5

    name = "gr2r"
    info = Info(
        label="GR2R",
        paper="Monroy et al., Generalized Recorrupted-to-Recorrupted: Self-Supervised Learning Beyond Gaussian Noise, "
        "CVPR 2025",
        bibtex=(
            "@inproceedings{monroy2025generalized, title={Generalized Recorrupted-to-Recorrupted: Self-Supervised "
            "Learning Beyond {Gaussian} Noise}, author={Monroy, B. and Bacca, J. and Tachella, J.}, "
            "booktitle={CVPR}, year={2025}}"
        ),
        licence="written from the paper",
        needs=frozenset({Need.LEVEL}),
        multiple=32,
    )
    inference_only = frozenset({"passes"})

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or self.passes < 1:
            raise UserError("gr2r: alpha must lie between 0 and 1, and passes be at least 1.")

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """All noise but whole Poisson counts."""
        if noise.family == "gauss":
            return "is for Poisson noise only; on Gaussian noise it would be r2r, which there is"
        if noise.after:
            return f"needs whole Poisson counts, which {noise.id} has no longer; take {replace(noise, after='').id}"
        return super().unsuitable(noise, channels)

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        first, second = self.thinned(batch.noisy, batch.known.level, batch.generator)
        return torch.nn.functional.mse_loss(network(first), second), {}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            total += network(self.thinned(noisy, known.level, generator)[0])
        return total / self.passes

    def outputs(self) -> Mapping[str, GR2R]:
        return {"1 pass": replace(self, passes=1), "4 passes": replace(self, passes=4)}

    def thinned(
        self, noisy: torch.Tensor, level: float | torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The counts of ``noisy`` shared out between input and target, both on its scale; same shapes."""
        counts = (noisy * level).round().clamp(min=0)
        taken = torch.binomial(counts, torch.full_like(counts, self.alpha), generator=generator)
        return (counts - taken) / (level * (1 - self.alpha)), taken / (level * self.alpha)
