"""Laine19-pme: a Gaussian prior for every pixel from its surroundings, and Bayes' rule with the pixel itself.

    f(y) = (mu, U) with a blind spot,   S = U U^T,   x ~ N(mu, S),   y = x + n,   n ~ N(0, N)
    loss = mean_p (log det(S + N) + (y - mu)^T (S + N)^-1 (y - mu)) / 2   [- w std(n) if the level is learned]
    xhat = E[x | y] = mu + S (S + N)^-1 (y - mu)

U is upper triangular over the channels (6 numbers for 3), so colours share information. Gaussian noise: N = sigma^2.
Poisson noise: N = max(mu, 0.001) / lambda, with the predicted mean for the unknown clean value, gradient included.

``level=known``: sigma or lambda is told. ``level=global``: one learned number for all images; ``level=image``: a
second U-Net, its last layer zero at the start, maps each image to its own, as the mean over its pixels; either becomes
softplus(s - 4) + 0.001, the standard deviation (Gaussian) or 1 / lambda (Poisson). Of real noise the model is unknown
as well: ``assume`` one, and have the level learned. ``output=mean`` is mu alone. Shapes: y (N, C, H, W), 0..1 scale;
the likelihood is computed in float64. Cost: four passes of the U-Net to train and to denoise.

w = 0.1 for colour and 0.05 for one channel: the released loss has 0.1 in both, but leaves the 1/2 out for one channel.

Table 1 of Blind2Unblind does not say which variant it shows. The determinant is taken from a Cholesky factor and the
posterior mean from a linear solve; the released code clamps determinants and adds 1e-6 to three inverses instead.

Two things are ours: the network predicts mu - 1/2, and gradients are cut to norm 10, the size they have once training
is under way. Where S starts nearly singular and mu near 0, Poisson's N is 0.001 / lambda and the first gradients are
10^5; Adam follows them to mu = 100 and, its second moment being full of them, stays there.

Source: Laine, Karras, Lehtinen, Aila, High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import BLIND, build_network, part
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo
from denoisebench.protocol.noise import Noise
from denoisebench.toolbox.covariance import (
    Matrix,
    cholesky,
    from_upper,
    log_det,
    plus_diagonal,
    posterior_mean,
    solve_lower,
)

SMALLEST = 1e-3
GRAY = 0.5


@dataclass(frozen=True)
class Laine19PME(LearnedMethod):
    """Blind-spot prior and posterior mean.

    Parameters
    ----------
    level : {'known', 'global', 'image'}
        Known to the method, or learned as one number for all images or one per image.
    assume : {'told', 'gauss', 'poisson'}
        The noise model that is told, or this one.
    output : {'posterior', 'mean'}
        Posterior mean, or the mean of the prior, which is blind to the pixel itself.
    """

    network: str = "blindspot"
    level: Literal["known", "global", "image"] = "known"
    assume: Literal["told", "gauss", "poisson"] = "told"
    output: Literal["posterior", "mean"] = "posterior"

    inference_only = frozenset({"output"})

    gradient_norm = 10.0

    name = "laine19_pme"
    info = Info(
        label="Laine19-pme",
        paper="Laine et al., High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019",
        bibtex=(
            "@inproceedings{laine2019high, title={High-Quality Self-Supervised Deep Image Denoising}, "
            "author={Laine, Samuli and Karras, Tero and Lehtinen, Jaakko and Aila, Timo}, "
            "booktitle={NeurIPS}, year={2019}}"
        ),
        licence="written from the paper; the authors' code is CC BY-NC 4.0 and was not used",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        multiple=32,
    )

    def __post_init__(self) -> None:
        if self.network not in BLIND:
            allowed = ", ".join(BLIND)
            raise UserError(f"laine19_pme[network={self.network}]: allowed are networks with a blind spot: {allowed}.")

    def told(self, family: str) -> frozenset[Need]:
        """The noise model unless one is assumed, and the level unless it is learned."""
        untold = {Need.FAMILY} if self.assume != "told" else set()
        return self.info.needs - untold - ({Need.LEVEL} if self.level != "known" else set())

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """Real noise, unless a model is assumed and its level learned; the level of another model than assumed."""
        if noise.real and (self.assume == "told" or self.level == "known"):
            return "needs a noise model; laine19_pme[assume=poisson,level=image] assumes one and learns its level"
        if self.level == "known" and self.assume not in ("told", noise.family):
            return f"assumes {self.assume} noise, of which {noise.id} tells no level; add level=image"
        return super().unsuitable(noise, channels)

    def build(self, channels: int) -> torch.nn.Module:
        parts: dict[str, Any] = {
            "prior": build_network(self.network, channels, channels + channels * (channels + 1) // 2)
        }
        if self.level == "image":
            parts["estimator"] = build_network("unet", channels, 1)
            torch.nn.init.zeros_(parts["estimator"].last.weight)
            torch.nn.init.zeros_(parts["estimator"].last.bias)
        module = torch.nn.ModuleDict(parts)
        if self.level == "global":
            module.register_parameter("level", torch.nn.Parameter(torch.zeros(())))
        return module

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy = batch.noisy.double()
        mean, covariance = self.prior(network, batch.noisy)
        variance = self.variance(network, batch.noisy, mean, batch.known)
        factor = cholesky(plus_diagonal(covariance, variance))
        white = solve_lower(factor, noisy - mean)
        loss = (0.5 * (log_det(factor) + white.square().sum(1))).mean()
        if self.level != "known":
            loss = loss - (0.1 if noisy.shape[1] > 1 else 0.05) * variance.sqrt().mean()
        error = (mean - noisy).square().mean().detach()
        return loss, {"residual": error, "std": variance.sqrt().mean().detach()}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        mean, covariance = self.prior(network, noisy)
        if self.output == "mean":
            return mean
        return posterior_mean(noisy.double(), mean, covariance, self.variance(network, noisy, mean, known))

    def prior(self, network: torch.nn.Module, noisy: torch.Tensor) -> tuple[torch.Tensor, Matrix]:
        """mu (N, C, H, W), and S as rows of (N, H, W), lower triangle and diagonal, float64."""
        channels = noisy.shape[1]
        output = part(network, "prior")(noisy).double()
        return GRAY + output[:, :channels], from_upper(output[:, channels:], channels)

    def variance(
        self, network: torch.nn.Module, noisy: torch.Tensor, mean: torch.Tensor, known: NoiseInfo
    ) -> torch.Tensor:
        """Noise variance of every pixel and channel (N, C, H, W)."""
        family = known.family if self.assume == "told" else self.assume
        if self.level == "known":
            level = torch.as_tensor(known.level, dtype=torch.float64, device=noisy.device)
            spread = level.clamp(min=SMALLEST) if family == "gauss" else 1 / level
        else:
            raw = network.level if self.level == "global" else part(network, "estimator")(noisy).mean((1, 2, 3), True)
            spread = torch.nn.functional.softplus(torch.as_tensor(raw).double() - 4) + SMALLEST
        if family == "gauss":
            return spread.square().expand_as(mean)
        return mean.clamp(min=SMALLEST) * spread
