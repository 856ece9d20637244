"""DBSN: a dilated blind-spot network for the mean, 1x1 networks for two variances, and Bayes' rule between them.

    f(y) = (mu, features) with a blind spot,   S = U U^T, U = g(features),   y = x + n,   n ~ N(0, N), N = diag(s^2)
    s = softplus(h(.) - 4) + 0.001:   mean over pixels of h(y) (Gaussian), h(mu) (any other)
    loss = mean_p ((y - mu)^T (S + N)^-1 (y - mu) + log det(S + N)) / 2
    xhat = mu + S (S + N)^-1 (y - mu)

The likelihood knows S + N; what is S and what N shows only where mu is exact. The paper's loss has log det N +
tr(N^-1 S) instead of log det(S + N), an upper bound, equal at S = 0, that leaves what is in doubt to the noise.
``objective``: the ``bound``; the ``likelihood``, as most released scripts; or ``staged``, the bound while mu is fixed
and then the likelihood, as released for correlated noise. The bound alone ends with N too large; the likelihood alone,
if N starts small, with N too small and xhat close to y.

Stages: to 0.4 of the training mu alone, by mean squares; to 0.6 the variances, mu fixed; then all (the paper's 100, 50
and 100 epochs; released gray scripts have the last alone). Resting parts get a gradient of zero. The common schedule,
by then at 1/8 of the first learning rate, stands for the paper's step from 3e-4 to 3e-5. ``student``: a network learns
y -> xhat in the second half, after the stages; denoising is its one pass. The paper's also learns from unpaired clean
images with noise of the learned model; here are noisy images alone.

Test-time ``gamma`` multiplies N^-1 with ``gamma_of=precision`` (released colour code; 0.9 in one script), N with
``variance`` (gray); 1 is Bayes' rule. ``covariance=full``: 6 numbers of U for 3 channels; ``diagonal``: 3, as released
(but for correlated noise). g has 3 layers and h 5, 32 wide (released: 16 for gray Gaussian noise, unknown here when
networks are built); U starts at a tenth of He's scale, or S begins far above N. Not kept: determinants clamped at 1e-6
(of three channels at sigma 25 that of N alone is sigma^6 = 8.9e-7, so the clamp cuts its gradient), 1e-6 added to
inverses, the loss set to zero (but not its gradient) above 1e7, training on test images.

A range of levels is skipped: the released code for it is never reached, so nothing tells how the published rows were
made. ``ranged=true`` runs it; h sees one image at a time, so nothing else changes. Shapes: y (N, C, H, W), 0..1 scale;
likelihood in float64. Told: the noise model, not the level. Cost: one pass of 23 U-Nets to train and to denoise.

Source: Wu, Liu, Cao, Ren, Zuo, Unpaired Learning of Deep Image Denoising, ECCV 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import build_network, check_network, part
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

WIDTH = 32
# Ends of the first two stages, and of all three where a student follows.
MEAN, VARIANCES, TEACHER = 0.4, 0.6, 0.5
# What is trained in each stage.
STAGES = {
    "mean": ["mean"],
    "variances": ["prior", "noise"],
    "joint": ["mean", "prior", "noise"],
    "student": ["student"],
}


@dataclass(frozen=True)
class DBSN(LearnedMethod):
    """Blind-spot mean, learned variances, posterior mean.

    Parameters
    ----------
    objective, covariance : {'staged', 'bound', 'likelihood'} or {'full', 'diagonal'}
        Of the variances.
    gamma, gamma_of : float or {'precision', 'variance'}
        Factor on the noise's precision or variance when denoising.
    student : str
        Network to distil into, or none.
    ranged : bool
        Run on ranges of levels too.
    """

    network: str = "dbsn"
    objective: Literal["staged", "bound", "likelihood"] = "staged"
    covariance: Literal["full", "diagonal"] = "full"
    gamma: float = 1.0
    gamma_of: Literal["precision", "variance"] = "precision"
    student: str = "none"
    ranged: bool = False

    name = "dbsn"
    info = Info(
        label="DBSN",
        paper="Wu et al., Unpaired Learning of Deep Image Denoising, ECCV 2020",
        bibtex=(
            "@inproceedings{wu2020unpaired, title={Unpaired Learning of Deep Image Denoising}, author={Wu, Xiaohe and "
            "Liu, Ming and Cao, Yue and Ren, Dongwei and Zuo, Wangmeng}, booktitle={ECCV}, year={2020}}"
        ),
        licence="written from the paper; the authors' repository states no licence and no code was taken from it",
        needs=frozenset({Need.FAMILY}),
    )
    families = frozenset({"gauss", "poisson", "gamma"})
    inference_only = frozenset({"gamma", "gamma_of", "ranged"})

    def __post_init__(self) -> None:
        if self.network != "dbsn":
            raise UserError(f"dbsn[network={self.network}]: allowed is dbsn; only it gives features to the variances.")
        if self.gamma <= 0:
            raise UserError(f"dbsn[gamma={self.gamma:g}]: gamma must be above 0.")
        if self.student != "none":
            check_network(self.student)
            # The network itself takes any size; most students do not.
            object.__setattr__(self, "info", replace(self.info, multiple=32))

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """Ranges of levels, unless asked for."""
        if noise.ranged and not (noise.real or self.ranged):
            return "made for a single noise level; dbsn[ranged=true] estimates one per image"
        return super().unsuitable(noise, channels)

    def build(self, channels: int) -> torch.nn.Module:
        from denoisebench.networks.dbsn import pointwise

        mean: Any = build_network(self.network, channels, channels)
        numbers = channels * (channels + 1) // 2 if self.covariance == "full" else channels
        parts: dict[str, Any] = {
            "mean": mean,
            "prior": pointwise(mean.width, WIDTH, numbers, 3, start=0.1),
            "noise": pointwise(channels, WIDTH, channels, 5),
        }
        if self.student != "none":
            parts["student"] = build_network(self.student, channels, channels)
        return torch.nn.ModuleDict(parts)

    def stage(self, progress: float) -> str:
        """The stage at this progress."""
        if self.student != "none":
            if progress > TEACHER:
                return "student"
            progress /= TEACHER
        return "mean" if progress <= MEAN else "variances" if progress <= VARIANCES else "joint"

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        stage, noisy = self.stage(progress), batch.noisy
        trained = STAGES[stage]
        with torch.set_grad_enabled("mean" in trained):
            mean, features = part(network, "mean").with_features(noisy)
        with torch.set_grad_enabled("noise" in trained):
            covariance, variance = self.spreads(network, noisy, mean, features, batch.known)
        if stage == "mean":
            loss = torch.nn.functional.mse_loss(mean, noisy)
        elif stage == "student":
            target = posterior_mean(noisy.double(), mean.double(), covariance, variance)
            loss = torch.nn.functional.mse_loss(part(network, "student")(noisy), target.to(noisy.dtype))
        else:
            bound = self.objective == "bound" or (self.objective == "staged" and stage == "variances")
            loss = misfit(noisy.double() - mean.double(), covariance, variance, bound)
        idle = [p for name, p in network.named_parameters() if name.partition(".")[0] not in trained]
        monitors = {"residual": (mean - noisy).square().mean().detach(), "std": variance.sqrt().mean().detach()}
        return loss + 0.0 * sum(p.sum() for p in idle), monitors

    def spreads(
        self,
        network: torch.nn.Module,
        noisy: torch.Tensor,
        mean: torch.Tensor,
        features: torch.Tensor,
        known: NoiseInfo,
    ) -> tuple[Matrix, torch.Tensor]:
        """S, as rows of (N, H, W), and the noise variance (N, C, H, W), in float64."""
        channels = noisy.shape[1]
        numbers = part(network, "prior")(features).double()
        if self.covariance == "full":
            covariance = from_upper(numbers, channels)
        else:
            zero = torch.zeros_like(numbers[:, 0])
            covariance = [[*[zero] * i, numbers[:, i].square()] for i in range(channels)]
        gauss = known.family == "gauss"
        raw = part(network, "noise")(noisy if gauss else mean).double()
        if gauss:
            raw = raw.mean((2, 3), keepdim=True).expand_as(noisy)
        return covariance, (torch.nn.functional.softplus(raw - 4) + 1e-3).square()

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        if self.student != "none":
            return part(network, "student")(noisy)
        mean, features = part(network, "mean").with_features(noisy)
        covariance, variance = self.spreads(network, noisy, mean, features, known)
        factor = self.gamma if self.gamma_of == "variance" else 1 / self.gamma
        return posterior_mean(noisy.double(), mean.double(), covariance, factor * variance)


def misfit(error: torch.Tensor, covariance: Matrix, variance: torch.Tensor, bound: bool) -> torch.Tensor:
    """Negative log-likelihood of y - mu, constants dropped, or its bound; mean over pixels."""
    factor = cholesky(plus_diagonal(covariance, variance))
    if bound:
        volume = variance.log().sum(1)
        for i, row in enumerate(covariance):
            volume = volume + row[i] / variance[:, i]
    else:
        volume = log_det(factor)
    return 0.5 * (solve_lower(factor, error).square().sum(1) + volume).mean()
