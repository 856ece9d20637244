"""Noise2Fast: a small network that learns one half of a checkerboard from the other, and stops by itself.

    even, odd: the pixels with i + j even or odd, moved together to the left (H, W / 2), or upwards (H / 2, W)
    loss = mean of -(t log f(s) + (1 - t) log(1 - f(s))),   (s, t) one of: even, odd; odd, even; left or upwards
    stop: 100 steps without a new least mean (f(y) - y)^2;   xhat = running mean of f(y), a <- 0.99 a + 0.01 f(y)

Two neighbours have the same signal, nearly, and independent noise, so this is Noise2Noise within one image; four pairs,
one drawn for each step. The whole image is never trained on: its error first falls, as f learns the image, and rises
when f learns the noise of the pairs. y is brought to 0..1 by its least and largest value, f ends in a sigmoid, and
means are what cross-entropy makes f predict. Eight 3x3 convolutions of 64 channels with ReLU, one of 1x1; Adam, 0.001.
Shapes: y (H, W, C), H and W even. Told: nothing (assumes zero-mean, pixel-independent noise). Cost per step: half a
pass forward and backward and one forward, of 0.26 million multiply-adds per pixel; a few hundred steps.

The paper gives no number of steps; here the budget is the most that is taken, 1000 unless given. Its output is the mean
of the last 100 f(y): the running mean has the same weight and needs the memory of one.

Source: Lequyer, Philip, Sharma, Hsu, Pelletier, Noise2Fast: A Fast Blind Zero-Shot Denoiser, Nature Machine
Intelligence 4, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Info, NoiseInfo, PerImageMethod
from denoisebench.toolbox.averaging import add_mean, mean_of, update_mean


@dataclass(frozen=True)
class Noise2Fast(PerImageMethod):
    """A network per image, with early stopping.

    Parameters
    ----------
    lr : float
        Learning rate of Adam.
    patience : int
        Steps without a better validation after which it stops, and over which outputs are averaged.
    """

    lr: float = 1e-3
    patience: int = 100

    name = "noise2fast"
    info = Info(
        label="Noise2Fast",
        paper="Lequyer et al., A Fast Blind Zero-Shot Denoiser, Nature Machine Intelligence 2022",
        bibtex=(
            "@article{lequyer2022noise2fast, title={A Fast Blind Zero-Shot Denoiser}, author={Lequyer, Jason and "
            "Philip, Reuben and Sharma, Amit and Hsu, Wen-Hsin and Pelletier, Laurence}, journal={Nature Machine "
            "Intelligence}, volume={4}, pages={953--963}, year={2022}}"
        ),
        licence="written from the paper; the authors' code was not used",
        multiple=2,
    )
    steps, paper_steps = 1000, 1000

    def __post_init__(self) -> None:
        if not 0 < self.lr < 1 or self.patience < 1:
            raise UserError("noise2fast: lr must lie between 0 and 1, and patience be at least 1.")

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        from denoisebench.networks.noise2fast import FastNet

        network = FastNet(noisy.shape[1])
        add_mean(network, noisy.shape)
        network.register_buffer("least", torch.tensor(torch.inf))
        network.register_buffer("since", torch.zeros((), dtype=torch.long))
        return network

    def rate(self, progress: float) -> float:
        return self.lr

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        scaled, _, _ = normalised(noisy)
        self.validate(network, scaled)
        sources, targets = pairs(scaled)[int(torch.randint(2, ()))]
        chosen = int(torch.randint(2, ()))
        logits = network(sources[chosen : chosen + 1])
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[chosen : chosen + 1])

    def validate(self, network: torch.nn.Module, scaled: torch.Tensor) -> None:
        """Note the error on the whole image, and its output."""
        with torch.no_grad():
            output = torch.sigmoid(network(scaled)).float()
        update_mean(network, output, 1 - 1 / self.patience)
        error = (output - scaled).square().mean()
        least, since = network.get_buffer("least"), network.get_buffer("since")
        since.copy_(torch.where(error < least, 0, since + 1))
        least.copy_(torch.minimum(error, least))

    def finished(self, network: torch.nn.Module) -> bool:
        return int(network.get_buffer("since")) >= self.patience

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        _, low, span = normalised(noisy)
        return low + span * mean_of(network)


def normalised(noisy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The image from 0 to 1, its least value, and the span of its values."""
    low = noisy.amin()
    span = (noisy.amax() - low).clamp(min=1e-6)
    return (noisy - low) / span, low, span


def pairs(image: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of (1, C, H, W): even and odd (2, C, H, W / 2), and odd and even; then the same of (2, C, H / 2, W)."""
    found = []
    for turned in (False, True):
        lines = image.mT if turned else image
        first, second = lines[..., ::2], lines[..., 1::2]
        rows = torch.arange(lines.shape[-2], device=image.device)[:, None] % 2 == 0
        halves = torch.cat([torch.where(rows, first, second), torch.where(rows, second, first)])
        halves = halves.mT if turned else halves
        found.append((halves, halves.flip(0)))
    return found
