"""PN2V (Probabilistic Noise2Void): the prior of every pixel as K samples, and Bayes' rule with the pixel itself.

    f(y') = s_1 .. s_K,   loss = -mean_p log((1/K) sum_k p(y(p) | s_k(p)))   over the hidden pixels p of y'
    xhat = sum_k p(y | s_k) s_k / sum_k p(y | s_k)   (output=posterior),   or   mean_k s_k   (output=mean)

Hidden: one uniform pixel of every 4x8 box (1/32 of them), drawn per image and channel; it takes the value of a uniform
pixel of the 5x5 window around it, clipped to the crop, that is not hidden itself. To denoise, f sees y as it is. Noise
model, the level told. Gaussian and gamma: the density. Poisson: the probability of n = lambda y photons, exp(n log m
- m) / n! with m = lambda s, and gamma for the factorial where clipping made n no whole number; a Gaussian of variance
s / lambda is unbounded at y = s = 0 and puts dark pixels too low. Means of Poisson and gamma noise must be positive:
samples below e = 0.001 become e^2 / (2 e - s), which keeps value and slope. Shapes: y (N, C, H, W), 0..1 scale.

Any network of the suite gives 96 features; a linear layer turns them into samples, in training those of hidden pixels
only, and to denoise block by block: all at once would be 3.8 GB for 512x768x3 and K = 800. At the start the K biases
are spread evenly over 0..1 and the weights of a channel are equal: some sample is near any y, and all move together.
With weights drawn for each, those far from y get no gradient and stay behind. K = 128 rather than the paper's 800: for
Gaussian and Laplace priors of width 0.1 the posterior mean of so many quantiles loses at most 0.05 dB at sigma 25, and
up to 0.8 dB at sigma 5 (800: 0.1 dB). Told: noise model and level. Cost: one pass to train and to denoise; the linear
layer adds 96 C K multiply-adds per scored pixel, for C = 3 13 % of the U-Net's (K = 800: 81 %).

Paper and code are for gray images. Here each channel has its own samples and is hidden by itself, so f sees the other
channels of a hidden pixel: a posterior of one channel given the rest, not a joint one of colours. Differs further from
the released code: its boxes are 6x6; its fillers may be hidden pixels, whose values so leak to a neighbour, and near
the upper and left border it leaves out the wrong pixel of the window; its noise model is measured, a histogram or
mixture; it standardises its input, and its outputs are x10 in units of the data's standard deviation.

Source: Krull, Vicar, Prakash, Lalit, Jug, Probabilistic Noise2Void, Frontiers in Computer Science 2, 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import build_network, part
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo

# Sides divide those of every crop, so no box is cut.
BOX = (4, 8)
RADIUS = 2
FEATURES = 96
# Samples that exist at once when denoising.
BLOCK = 2**21
SMALLEST = 1e-3


@dataclass(frozen=True)
class PN2V(LearnedMethod):
    """Sampled prior and posterior mean.

    Parameters
    ----------
    samples : int
        K, of every pixel and channel.
    output : {'posterior', 'mean'}
        Posterior mean, or mean of the prior.
    """

    samples: int = 128
    output: Literal["posterior", "mean"] = "posterior"

    name = "pn2v"
    info = Info(
        label="PN2V",
        paper="Krull et al., Probabilistic Noise2Void: Unsupervised Content-Aware Denoising, Front. Comput. Sci. 2020",
        bibtex=(
            "@article{krull2020probabilistic, title={Probabilistic Noise2Void: Unsupervised Content-Aware Denoising}, "
            "author={Krull, Alexander and Vi{\\v{c}}ar, Tom{\\'a}{\\v{s}} and Prakash, Mangal and Lalit, Manan and "
            "Jug, Florian}, journal={Frontiers in Computer Science}, volume={2}, year={2020}}"
        ),
        licence="written from the paper; the authors' code is BSD-3-Clause and was not copied",
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        multiple=32,
    )
    families = frozenset({"gauss", "poisson", "gamma"})
    inference_only = frozenset({"output"})

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"pn2v[samples={self.samples}]: at least 1 sample is needed.")

    def build(self, channels: int) -> torch.nn.Module:
        last = torch.nn.Linear(FEATURES, channels * self.samples)
        with torch.no_grad():
            weight = last.weight.view(channels, self.samples, FEATURES)
            weight.copy_(weight[:, :1].clone().expand_as(weight))
            last.bias.copy_(((torch.arange(self.samples) + 0.5) / self.samples).repeat(channels))
        return torch.nn.ModuleDict({"features": build_network(self.network, channels, FEATURES), "last": last})

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy, flat = batch.noisy, batch.noisy.flatten(2)
        index = hidden(noisy.shape, batch.generator)
        source = fillers(index, noisy.shape, batch.generator)
        masked = flat.scatter(2, index, flat.gather(2, source)).view_as(noisy)
        target = flat.gather(2, index)
        features = self.features(network, masked)
        places = index.flatten(1)[..., None].expand(-1, -1, FEATURES)
        chosen = features.gather(1, places).view(*index.shape, FEATURES)
        samples = self.prior(network, chosen, batch.known)
        log_likelihood = log_density(target[..., None], samples, batch.known)
        loss = math.log(self.samples) - torch.logsumexp(log_likelihood, -1).mean()
        return loss, {"residual": (samples.mean(-1) - target).square().mean().detach()}

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        features, flat = self.features(network, noisy)[:, None], noisy.flatten(2)
        block = max(1, BLOCK // (noisy.shape[0] * noisy.shape[1] * self.samples))
        parts = []
        for start in range(0, flat.shape[2], block):
            samples = self.prior(network, features[:, :, start : start + block], known)
            if self.output == "mean":
                parts.append(samples.mean(-1))
            else:
                y = flat[:, :, start : start + block, None]
                weights = torch.softmax(log_density(y, samples, known), -1)
                parts.append((weights * samples).sum(-1))
        return torch.cat(parts, 2).view_as(noisy)

    def features(self, network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        """What the samples are linear in, (N, H W, 96)."""
        output = part(network, "features")(image)
        return torch.nn.functional.leaky_relu(output, 0.1).permute(0, 2, 3, 1).flatten(1, 2)

    def prior(self, network: torch.nn.Module, features: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        """Samples (N, C, P, K) of P pixels, from features (N, C or 1, P, 96)."""
        last = part(network, "last")
        weight = last.weight.unflatten(0, (-1, self.samples)).mT
        samples = (features @ weight).to(weight.dtype) + last.bias.unflatten(0, (-1, 1, self.samples))
        return samples if known.family == "gauss" else positive(samples)


def hidden(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Flat indices of the hidden pixels (N, C, H W / 32), one of each box."""
    rows, columns = shape[2] // BOX[0], shape[3] // BOX[1]
    device = generator.device
    draw = torch.randint(BOX[0] * BOX[1], (*shape[:2], rows, columns), generator=generator, device=device)
    y = BOX[0] * torch.arange(rows, device=device)[:, None] + draw // BOX[1]
    x = BOX[1] * torch.arange(columns, device=device) + draw % BOX[1]
    return (y * shape[3] + x).flatten(2)


def fillers(index: torch.Tensor, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Flat indices of the pixels whose values replace the hidden ones (N, C, P); none of them is hidden."""
    height, width = shape[2:]
    offset = torch.arange(-RADIUS, RADIUS + 1, device=index.device)
    y = (index // width)[..., None, None] + offset[:, None]
    x = (index % width)[..., None, None] + offset
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    near = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(3)
    taken = torch.zeros(*index.shape[:2], height * width, dtype=torch.bool, device=index.device)
    taken.scatter_(2, index, True)
    allowed = inside.flatten(3) & ~taken.gather(2, near.flatten(2)).view_as(near)
    draw = torch.rand(near.shape, generator=generator, device=index.device)
    choice = draw.masked_fill(~allowed, -1).argmax(-1, keepdim=True)
    return near.gather(3, choice)[..., 0]


def positive(samples: torch.Tensor) -> torch.Tensor:
    """The identity from 0.001 on; below it a hyperbola with the same value and slope, which no sample can underflow."""
    return torch.where(samples < SMALLEST, SMALLEST**2 / (2 * SMALLEST - samples.clamp(max=SMALLEST)), samples)


def log_density(y: torch.Tensor, x: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
    """log p(y | x), the probability of lambda y photons for Poisson noise; the level broadcasts over both.

    A gamma density is unbounded at y = 0, where a black pixel stays: there that of the smallest y counts.
    """
    level = torch.as_tensor(known.level, dtype=x.dtype, device=x.device)
    if known.family == "gauss":
        level = level.clamp(min=SMALLEST)
        return -0.5 * ((y - x) / level).square() - torch.log(level) - 0.5 * math.log(2 * math.pi)
    if known.family == "gamma":
        y = y.clamp(min=SMALLEST)
        return torch.xlogy(level, level * y / x) - torch.log(y) - level * y / x - torch.lgamma(level)
    count, mean = level * y, level * x
    return torch.xlogy(count, mean) - mean - torch.lgamma(count + 1)
