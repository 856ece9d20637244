"""NAC (Noisy-As-Clean): a network fitted on one image to remove noise that was added to it, then applied to it.

    min over theta of |f_theta(y + n_s) - y|^2 / (C H W),   n_s new in every step, with the law of the noise of y
    xhat = mean over the 8 flips and quarter turns T of T^-1 f(T y)

Right to the extent that the noise is weak: f learns to map noisier to noisy. Gaussian noise: n_s = sigma n; Poisson:
y + n_s = Poisson(lambda max(y, 0)) / lambda; gamma: y + n_s = y g, g ~ Gamma(L, 1/L). f: 3x3 convolution to 64
channels, 10 residual blocks of two, one back, batch normalisation of the image at hand, sigmoid. Adam 1e-3, halved
every 15 % of the steps; each step takes the whole image in one of 8 orientations. The released script has 1000 steps,
each with the summed gradients of all 8, which are 8000 passes; so the paper's steps count as 8000 here. Shapes: y
(1, C, H, W), 0..1 scale. Told: noise model and level. Cost: one pass forward and backward per step, 8 to denoise.

The released script adds one and the same noise array twice (x + 2n -> x + n), which gives the true noise away, and
prints the best PSNR of all steps. Here the added noise is independent and the last step counts: expect less.

Source: Xu, Huang, Cheng, Liu, Zhu, Xu, Shao, Noisy-As-Clean, IEEE TIP 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Info, Need, NoiseInfo, PerImageMethod
from denoisebench.protocol.noise import speckle


@dataclass(frozen=True)
class NoisyAsClean(PerImageMethod):
    """Noisier to noisy, on one image.

    Parameters
    ----------
    lr : float
        First learning rate of Adam.
    blocks : int
        Residual blocks.
    """

    lr: float = 1e-3
    blocks: int = 10

    name = "noisy_as_clean"
    info = Info(
        label="Noisy-As-Clean",
        paper="Xu, Huang, Cheng, Liu, Zhu, Xu, Shao, Noisy-As-Clean: Learning Self-Supervised Denoising From Corrupted "
        "Image, IEEE TIP 2020",
        bibtex=(
            "@article{xu2020noisy, title={Noisy-As-Clean: Learning Self-Supervised Denoising From Corrupted Image}, "
            "author={Xu, Jun and Huang, Yuan and Cheng, Ming-Ming and Liu, Li and Zhu, Fan and Xu, Zhou and "
            "Shao, Ling}, journal={IEEE Transactions on Image Processing}, year={2020}}"
        ),
        licence="written from the paper; the authors' code carries no licence and was not used",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
    )
    families = frozenset({"gauss", "poisson", "gamma"})
    steps, paper_steps = 200, 8000

    def __post_init__(self) -> None:
        if not 0 < self.lr < 1 or self.blocks < 1:
            raise UserError("noisy_as_clean: lr must lie between 0 and 1, blocks be at least 1.")

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        from denoisebench.networks.resnet import ResNet

        return ResNet(noisy.shape[1], noisy.shape[1], self.blocks)

    def rate(self, progress: float) -> float:
        return float(self.lr * 0.5 ** int(progress / 0.15 - 1e-9))

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        target = turned(noisy, int(torch.randint(8, ())))
        return torch.nn.functional.mse_loss(network(noisier(target, known)), target)

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        # Types take the sum of tensors for a number, as it starts at 0.
        return sum(turned(network(turned(noisy, way)), way, back=True) for way in range(8)) / 8  # type: ignore[return-value]


def noisier(image: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
    """Once more noise of the law that the image carries."""
    level = float(known.level)
    if known.family == "gauss":
        return image + level * torch.randn_like(image)
    if known.family == "gamma":
        return image * speckle(torch.full_like(image, level))
    return torch.poisson(level * image.clamp(min=0)) / level


def turned(image: torch.Tensor, way: int, back: bool = False) -> torch.Tensor:
    """One of the 8 orientations of (N, C, H, W): quarter turns of the image, or of its mirror image."""
    if back:
        image = torch.rot90(image, -(way % 4), (2, 3))
        return image.flip(3) if way >= 4 else image
    return torch.rot90(image.flip(3) if way >= 4 else image, way % 4, (2, 3))
