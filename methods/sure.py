"""SURE and UNSURE: Stein's estimate of the squared error as the loss, for noise of known or of unknown level.

    y = x + n,  n ~ N(0, sigma^2 I);   E |f(y) - x|^2 / d = E [ |f(y) - y|^2 / d + 2 sigma^2 div f(y) / d ] - sigma^2
    div f(y) / d ~ mean b (f(y + e b) - f(y)) / e,   b ~ N(0, I)

``level=known``: the right side with sigma told, a loss whose minimum is that of training with clean images.
``level=learned`` is UNSURE: sigma is not told. In its place stands the Lagrange multiplier of the constraint that the
divergence is 0 in the mean,

    min_f max_eta  E |f(y) - y|^2 / d + 2 eta E div f(y) / d,

f by descent and eta = s^2 by ascent, one number for all images, kept in the network. The f it finds does not change
with its own pixel in the mean, and eta is the noise that is left given all others, at least sigma^2.

Shapes: y (N, C, H, W), 0..1 scale; sigma and s on that scale, e = 0.01. Told: the noise level, or nothing. Cost: two
passes to train, both in full precision whatever the recipe says, one to denoise. Poisson and gamma noise are refused:
their divergence terms are others. The network is the suite's, s begins at 0.1 and is trained by the optimiser of the
network, where the paper takes a rate of its own with momentum. It was tried on toys with known answers only: no
training of length has been compared with the papers' figures.

Sources: C. Stein, Annals of Statistics 1981; S. Ramani, T. Blu, M. Unser, Monte-Carlo SURE, IEEE TIP 2008; C. Metzler
et al., Unsupervised Learning with Stein's Unbiased Risk Estimator, 2018; J. Tachella, M. Davies, L. Jacques, UNSURE,
ICLR 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from denoisebench.core.lazy import torch
from denoisebench.networks import build_network, part
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo
from denoisebench.protocol.noise import Noise

STEP = 0.01
START = 0.1


@dataclass(frozen=True)
class SURE(LearnedMethod):
    """Stein's estimate of the error as the loss.

    Parameters
    ----------
    level : {'known', 'learned'}
        Told, or found as a Lagrange multiplier (UNSURE).
    """

    level: Literal["known", "learned"] = "known"

    name = "sure"
    info = Info(
        label="SURE",
        paper="Tachella et al., UNSURE: Self-supervised learning with Unknown Noise level and Stein's Unbiased Risk "
        "Estimate, ICLR 2025",
        bibtex=(
            "@inproceedings{tachella2025unsure, title={{UNSURE}: self-supervised learning with Unknown Noise level "
            "and Stein's Unbiased Risk Estimate}, author={Tachella, J. and Davies, M. and Jacques, L.}, "
            "booktitle={ICLR}, year={2025}}"
        ),
        licence="written from the papers",
        needs=frozenset({Need.LEVEL}),
        multiple=32,
    )

    def told(self, family: str) -> frozenset[Need]:
        """Nothing where the level is learned."""
        return self.info.needs if self.level == "known" else frozenset()

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """All drawn noise but Gaussian; real noise, unless the level is learned."""
        if noise.family not in ("gauss", "real"):
            return "is for Gaussian noise only"
        if noise.real and self.level == "known":
            return "needs the noise level; sure[level=learned] finds it"
        return super().unsuitable(noise, channels)

    def build(self, channels: int) -> torch.nn.Module:
        network = build_network(self.network, channels, channels)
        if self.level == "known":
            return network
        module = torch.nn.ModuleDict({"denoiser": network})
        module.register_parameter("sigma", torch.nn.Parameter(torch.tensor(START)))
        return module

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy, denoiser = batch.noisy, self.denoiser(network)
        direction = torch.randn(noisy.shape, generator=batch.generator, device=noisy.device, dtype=noisy.dtype)
        # In half precision the difference of two results, and of their gradients, would be rounding.
        with torch.autocast(noisy.device.type, enabled=False):
            result = denoiser(noisy)
            change = (denoiser(noisy + STEP * direction) - result) / STEP
        # By image, for levels may differ.
        fidelity, divergence = (one.mean((1, 2, 3)) for one in ((result - noisy).square(), direction * change))
        if self.level == "known":
            variance = torch.as_tensor(batch.known.level, dtype=noisy.dtype, device=noisy.device).square().reshape(-1)
            loss = (fidelity + 2 * variance * divergence - variance).mean()
            return loss, {"residual": fidelity.mean().detach(), "divergence": divergence.mean().detach()}
        variance = torch.as_tensor(network.sigma).square()
        mean = divergence.mean()
        # The last term is 0; its gradient makes the descent of the optimiser an ascent in sigma.
        loss = fidelity.mean() + 2 * variance.detach() * mean + 2 * (variance.detach() - variance) * mean.detach()
        return loss, {"divergence": mean.detach(), "std": variance.sqrt().detach()}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        denoised: torch.Tensor = self.denoiser(network)(noisy)
        return denoised

    def denoiser(self, network: torch.nn.Module) -> torch.nn.Module:
        """The part of the network that denoises."""
        return network if self.level == "known" else part(network, "denoiser")
