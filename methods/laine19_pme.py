"""Laine19-pme: a Gaussian prior for every pixel from its surroundings, and Bayes' rule with the pixel itself.

    f(y) = (mu, U) with a blind spot,   S = U U^T,   x ~ N(mu, S),   y = x + n,   n ~ N(0, N)
    loss = mean_p (log det(S + N) + (y - mu)^T (S + N)^-1 (y - mu)) / 2   [- 0.1 std(n) if the level is learned]
    xhat = E[x | y] = mu + S (S + N)^-1 (y - mu)

U is upper triangular over the channels (6 numbers for 3), so colours share information. Gaussian noise: N = sigma^2.
Poisson noise: N = max(mu, 0.001) / lambda, with the predicted mean for the unknown clean value, gradient included.

``level=known``: sigma or lambda is told. ``level=global``: one learned number for all images; ``level=image``: a
second U-Net, its last layer zero at the start, maps each image to its own, as the mean over its pixels; either becomes
softplus(s - 4) + 0.001, the standard deviation (Gaussian) or 1 / lambda (Poisson). Shapes: y (N, C, H, W), 0..1 scale;
the likelihood is computed in float64. Cost: four passes of the U-Net to train and to denoise.

Table 1 of Blind2Unblind does not say which variant it shows. The determinant is taken from a Cholesky factor and the
posterior mean from a linear solve; the released code clamps determinants and adds 1e-6 to three inverses instead.

Source: Laine, Karras, Lehtinen, Aila, High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from denoisebench.errors import UserError
from denoisebench.lazy import torch
from denoisebench.method import Batch, Info, Known, LearnedMethod, Need
from denoisebench.networks import BLIND, build_network

SMALLEST = 1e-3


@dataclass(frozen=True)
class Laine19PME(LearnedMethod):
    """Blind-spot prior and posterior mean.

    Parameters
    ----------
    level : known to the method, or learned as one number for all images or one per image
    """

    network: str = "blindspot"
    level: Literal["known", "global", "image"] = "known"

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
            raise UserError(f"laine19_pme[network={self.network}]: allowed are networks with a blind spot: {BLIND[0]}.")

    def told(self, family: str) -> frozenset[Need]:
        """The noise model, and the level if it is not learned."""
        return self.info.needs if self.level == "known" else frozenset({Need.FAMILY})

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
        log_det = 2 * sum(torch.log(factor[i][i]) for i in range(len(factor)))
        loss = (0.5 * (log_det + white.square().sum(1))).mean()
        if self.level != "known":
            loss = loss - 0.1 * variance.sqrt().mean()
        error = (mean - noisy).square().mean().detach()
        return loss, {"residual": error, "std": variance.sqrt().mean().detach()}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: Known, generator: torch.Generator
    ) -> torch.Tensor:
        mean, covariance = self.prior(network, noisy)
        return posterior_mean(noisy.double(), mean, covariance, self.variance(network, noisy, mean, known))

    def prior(self, network: torch.nn.Module, noisy: torch.Tensor) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """mu (N, C, H, W), and S as rows of (N, H, W), lower triangle and diagonal, float64."""
        channels = noisy.shape[1]
        output = network["prior"](noisy).double()  # type: ignore[index]
        numbers = list(output[:, channels:].unbind(1))
        zero = torch.zeros_like(numbers[0])
        upper = [[zero] * i + [numbers.pop(0) for _ in range(i, channels)] for i in range(channels)]
        covariance = [
            [sum((a * b for a, b in zip(upper[i], upper[j], strict=True)), zero) for j in range(i + 1)]
            for i in range(channels)
        ]
        return output[:, :channels], covariance

    def variance(self, network: torch.nn.Module, noisy: torch.Tensor, mean: torch.Tensor, known: Known) -> torch.Tensor:
        """Noise variance of every pixel and channel (N, C, H, W)."""
        if self.level == "known":
            level = torch.as_tensor(known.level, dtype=torch.float64, device=noisy.device)
            spread = level.clamp(min=SMALLEST) if known.family == "gauss" else 1 / level
        else:
            raw = network.level if self.level == "global" else network["estimator"](noisy).mean((1, 2, 3), True)  # type: ignore[index]
            spread = torch.nn.functional.softplus(torch.as_tensor(raw).double() - 4) + SMALLEST
        if known.family == "gauss":
            return spread.square().expand_as(mean)
        return mean.clamp(min=SMALLEST) * spread


def plus_diagonal(matrix: list[list[torch.Tensor]], diagonal: torch.Tensor) -> list[list[torch.Tensor]]:
    """Lower triangle of a symmetric matrix plus diag(``diagonal``), the latter (N, C, H, W)."""
    return [[*row[:-1], row[-1] + diagonal[:, i]] for i, row in enumerate(matrix)]


def cholesky(matrix: list[list[torch.Tensor]]) -> list[list[torch.Tensor]]:
    """Lower factor L of L L^T, entry by entry, for all pixels at once; LAPACK takes them one by one."""
    factor: list[list[torch.Tensor]] = []
    for i, row in enumerate(matrix):
        factor.append([])
        for j, value in enumerate(row):
            rest = value - sum(factor[i][k] * factor[j][k] for k in range(j))
            factor[i].append(torch.sqrt(rest) if i == j else rest / factor[j][j])
    return factor


def solve_lower(factor: list[list[torch.Tensor]], right: torch.Tensor) -> torch.Tensor:
    """L^-1 right, (N, C, H, W)."""
    found: list[torch.Tensor] = []
    for i, row in enumerate(factor):
        rest = right[:, i] - sum(row[k] * found[k] for k in range(i))
        found.append(rest / row[i])
    return torch.stack(found, 1)


def posterior_mean(
    noisy: torch.Tensor, mean: torch.Tensor, covariance: list[list[torch.Tensor]], variance: torch.Tensor
) -> torch.Tensor:
    """mu + S (S + N)^-1 (y - mu), (N, C, H, W)."""
    factor = cholesky(plus_diagonal(covariance, variance))
    white = list(solve_lower(factor, noisy - mean).unbind(1))
    count = len(factor)
    weights: list[torch.Tensor] = [torch.empty(0)] * count
    for i in reversed(range(count)):
        rest = white[i] - sum(factor[k][i] * weights[k] for k in range(i + 1, count))
        weights[i] = rest / factor[i][i]
    entry = [[covariance[max(i, j)][min(i, j)] for j in range(count)] for i in range(count)]
    gain = torch.stack([sum(entry[i][j] * weights[j] for j in range(count)) for i in range(count)], 1)  # type: ignore[misc]
    return mean + gain
