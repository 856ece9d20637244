"""Noisier2Noise: learn to take added noise away, then extrapolate to the noise that was there before.

    z = y + alpha n, n of the law of the noise in y, independent;   loss = mean (f(z) - y)^2
    E[y | z] = (E[x | z] alpha^2 + z) / (1 + alpha^2), so   xhat = ((1 + alpha^2) f(z) - z) / alpha^2

Given z, the added and the original noise are exchangeable but for their scale, which is what the second line uses; it
holds for Gaussian noise of a known level. Denoising draws z from y as in training (feeding y itself is wrong) and
averages ``passes`` results. Shapes: y (N, C, H, W), 0..1 scale. Told: the noise level. Cost: one pass to train,
``passes`` to denoise. For other noise the identity fails, and it is refused.

The network stands for xhat, f(z) = (alpha^2 network(z) + z) / (1 + alpha^2): the same loss and the same optimum.
``output=noisy`` lets it stand for f(z), as in the paper. Then an error of the network is (1 + alpha^2) / alpha^2 times
as large in xhat (twice, for alpha = 1), and a network that does not pass z on yet leaves -z / alpha^2 in it; that part
of f needs no learning, so by default it is not learned. After 400 steps at sigma 25 (held-out photographs, 20.46 dB)
the default has 27.42 dB, ``output=noisy`` 27.16 dB and ``alpha=0.5`` 27.78 dB, one training each; the records come from

    denoisebench weights train --noise gauss25 --budget 400steps --train-data bsd400_color --out trained --methods
        "noisier2noise,noisier2noise[output=noisy],noisier2noise[alpha=0.5]"

alpha = 1 as in the paper's experiments. Trained by the suite's common recipe and network. No official code is known.

Source: Moran, Schmidt, Zhong, Coady, Noisier2Noise, CVPR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo
from denoisebench.protocol.noise import Noise


@dataclass(frozen=True)
class Noisier2Noise(LearnedMethod):
    """Removal of added Gaussian noise, extrapolated.

    Parameters
    ----------
    alpha : float
        Scale of the added noise.
    passes : int
        Noisier images averaged per image.
    output : {'clean', 'noisy'}
        What the network's output stands for, the clean or the noisy image.
    """

    alpha: float = 1.0
    passes: int = 4
    output: Literal["clean", "noisy"] = "clean"

    name = "noisier2noise"
    info = Info(
        label="Noisier2Noise",
        paper="Moran et al., Noisier2Noise: Learning to Denoise From Unpaired Noisy Data, CVPR 2020",
        bibtex=(
            "@inproceedings{moran2020noisier2noise, title={Noisier2Noise: Learning to Denoise From Unpaired Noisy "
            "Data}, author={Moran, Nick and Schmidt, Dan and Zhong, Yu and Coady, Patrick}, "
            "booktitle={CVPR}, year={2020}}"
        ),
        licence="written from the paper; no official code is known",
        needs=frozenset({Need.LEVEL}),
        multiple=32,
    )
    inference_only = frozenset({"passes"})

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.passes < 1:
            raise UserError("noisier2noise: alpha must be above 0 and passes at least 1.")

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        if noise.family != "gauss":
            return "needs Gaussian noise: for any other its correction does not hold"
        return super().unsuitable(noise, channels)

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisier = self.noisier(batch.noisy, batch.known, batch.generator)
        return torch.nn.functional.mse_loss(self.prediction(network, noisier), batch.noisy), {}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            noisier = self.noisier(noisy, known, generator)
            total += self.corrected(self.prediction(network, noisier), noisier)
        return total / self.passes

    def noisier(self, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator) -> torch.Tensor:
        """y + alpha n, same shape."""
        normal = torch.randn(noisy.shape, generator=generator, device=noisy.device, dtype=noisy.dtype)
        return noisy + self.alpha * known.level * normal

    def prediction(self, network: torch.nn.Module, noisier: torch.Tensor) -> torch.Tensor:
        """f(z), the estimate of E[y | z]."""
        output: torch.Tensor = network(noisier)
        square = self.alpha**2
        return output if self.output == "noisy" else (square * output + noisier) / (1 + square)

    def corrected(self, prediction: torch.Tensor, noisier: torch.Tensor) -> torch.Tensor:
        """E[x | z] from E[y | z] and z."""
        square = self.alpha**2
        return ((1 + square) * prediction - noisier) / square
