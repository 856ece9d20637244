"""DIP (Deep Image Prior): an untrained network fits an image before it fits its noise.

    min over theta of |f_theta(z + e) - y|^2 / (C H W),   z ~ U(0, 0.1) fixed, 32 channels;   e ~ N(0, 1/30^2) each step
    xhat = running mean of f_theta(z + e) over the steps, a <- 0.99 a + 0.01 f

The prior is the architecture (`denoisebench.networks.hourglass`) and the stop: too few steps blur, too many bring the
noise back. The number of steps is fixed beforehand, never chosen by the clean image. Adam, 0.01. Shapes: y
(1, C, H, W), 0..1 scale. Told: nothing. Cost: one pass forward and backward per step, none to denoise.

The released demo clips y to 0..1, which shifts dark and bright pixels, takes 1/20 for sigma 50 (``jitter=0.05``) and
goes back to earlier weights when the fit jumps by 5 dB; here y is as for every method, and there is no way back.

Source: Ulyanov, Vedaldi, Lempitsky, Deep Image Prior, CVPR 2018; 3000 steps is its denoising demo at sigma 25.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Info, NoiseInfo, PerImageMethod
from denoisebench.toolbox.averaging import add_mean, mean_of, update_mean

INPUTS, INPUT_SCALE = 32, 0.1


@dataclass(frozen=True)
class DIP(PerImageMethod):
    """Deep Image Prior with early stopping.

    Parameters
    ----------
    lr : float
        Learning rate of Adam.
    jitter : float
        Standard deviation of the noise that is added to the input in every step.
    decay : float
        Of the running mean of outputs.
    """

    lr: float = 0.01
    jitter: float = 1 / 30
    decay: float = 0.99

    name = "dip"
    info = Info(
        label="DIP",
        paper="Ulyanov, Vedaldi, Lempitsky, Deep Image Prior, CVPR 2018",
        bibtex=(
            "@inproceedings{ulyanov2018deep, title={Deep Image Prior}, author={Ulyanov, Dmitry and Vedaldi, Andrea and "
            "Lempitsky, Victor}, booktitle={CVPR}, year={2018}}"
        ),
        licence="written from the paper; the authors' code (Apache-2.0) was not used",
        multiple=64,
    )
    steps, paper_steps = 600, 3000

    def __post_init__(self) -> None:
        if not (0 < self.lr < 1 and self.jitter >= 0 and 0 <= self.decay < 1):
            raise UserError("dip: lr and decay must lie between 0 and 1, jitter be 0 or more.")

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        from denoisebench.networks.hourglass import Hourglass

        _, channels, height, width = noisy.shape
        network = Hourglass(INPUTS, channels)
        network.register_buffer("given", INPUT_SCALE * torch.rand(1, INPUTS, height, width))
        add_mean(network, noisy.shape)
        return network

    def rate(self, progress: float) -> float:
        return self.lr

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        given = network.get_buffer("given")
        output = network(given + self.jitter * torch.randn_like(given))
        update_mean(network, output, self.decay)
        return torch.nn.functional.mse_loss(output, noisy)

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        return mean_of(network)
