"""GR2R (Generalized Recorrupted-to-Recorrupted): two independent images from one with Poisson or gamma noise.

    Poisson:  k = lambda y ~ Poisson(lambda x),   w ~ Binomial(k, alpha)
              input y1 = (k - w) / (lambda (1 - alpha)),   target y2 = w / (lambda alpha)
    gamma:    y = x g,  g ~ Gamma(L, 1/L),        w ~ Beta(L alpha, L (1 - alpha))
              input y1 = y (1 - w) / (1 - alpha),          target y2 = y w / alpha
    loss = mean (f(y1) - y2)^2

w is drawn in each pixel. Photons that are sorted at random are two independent Poisson numbers; and a gamma variable of
shape L, shared out by an independent beta one, is two independent gamma variables of shapes L (1 - alpha) and L alpha
(Lukacs 1955). So y1 and y2 both have the mean x and noise of the family of y, with 1 - alpha and alpha times its lambda
or looks, and given x they know nothing of each other:

    E loss = E mean (f(y1) - x)^2 + mean Var(y2),   Var(y2) = x / (lambda alpha) or x^2 / (L alpha)

exactly, at any level, where the two images of `r2r` are only uncorrelated. Denoising averages ``passes`` outputs on y1
of fresh w. Shapes: y (N, C, H, W), 0..1 scale; lambda in counts at white, L in looks, one for all or one per image.
Told: noise model and level. Cost: one pass to train, 5 to denoise.

Refused: Gaussian noise, for which the paper's pair is that of `r2r` with its alpha = sqrt(alpha / (1 - alpha)); clipped
or rounded noise and that of cameras, which follow neither law. Values between counts are rounded to the next. alpha =
0.2 gives the variances that R2R's published 0.5 gives. The paper's loss by likelihood is left out. Source: Monroy,
Bacca, Tachella, CVPR 2025 (arXiv 2412.04648).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo
from denoisebench.protocol.noise import Noise, speckle


@dataclass(frozen=True)
class GR2R(LearnedMethod):
    """Thinning of Poisson counts, or of gamma noise.

    Parameters
    ----------
    alpha : float
        Share of the counts or looks that the target gets, between 0 and 1.
    passes : int
        Inputs averaged per image.
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
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        multiple=32,
    )
    families = frozenset({"poisson", "gamma"})
    inference_only = frozenset({"passes"})

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or self.passes < 1:
            raise UserError("gr2r: alpha must lie between 0 and 1, and passes be at least 1.")

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """All noise but Poisson and gamma as they were drawn."""
        if noise.family == "gauss":
            return "is for Poisson and gamma noise; on Gaussian noise it would be r2r, which there is"
        if noise.after:
            law = "whole Poisson counts" if noise.family == "poisson" else "gamma noise"
            return f"needs {law}, which {noise.id} has no longer; take {replace(noise, after='').id}"
        return super().unsuitable(noise, channels)

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        first, second = self.pair(batch.noisy, batch.known, batch.generator)
        return torch.nn.functional.mse_loss(network(first), second), {}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            total += network(self.pair(noisy, known, generator)[0])
        return total / self.passes

    def outputs(self) -> Mapping[str, GR2R]:
        return {"1 pass": replace(self, passes=1), "4 passes": replace(self, passes=4)}

    def pair(
        self, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Input and target from ``noisy``, both on its scale; same shapes."""
        split = self.shared_out if known.family == "gamma" else self.thinned
        return split(noisy, known.level, generator)

    def shared_out(
        self, noisy: torch.Tensor, looks: float | torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gamma noise shared out between input and target by a beta variable; same shapes."""
        # Beta(a, b) is a gamma variable of shape a among two, of shapes a and b.
        full = torch.as_tensor(looks, dtype=noisy.dtype, device=noisy.device).expand_as(noisy)
        first, second = (speckle(full * share, generator) for share in (1 - self.alpha, self.alpha))
        whole = (1 - self.alpha) * first + self.alpha * second
        return noisy * first / whole, noisy * second / whole

    def thinned(
        self, noisy: torch.Tensor, level: float | torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The counts of ``noisy`` shared out between input and target, both on its scale; same shapes."""
        counts = (noisy * level).round().clamp(min=0)
        taken = torch.binomial(counts, torch.full_like(counts, self.alpha), generator=generator)
        return (counts - taken) / (level * (1 - self.alpha)), taken / (level * self.alpha)
