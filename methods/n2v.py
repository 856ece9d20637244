"""N2V (Noise2Void): overwrite a few pixels with a neighbour's value, score the prediction only there.

    y'(p) = y(q), q uniform in the (2r+1)^2 window around p, for the hidden p;   loss = mean_p (f(y')(p) - y(p))^2

Hidden pixels are stratified: boxes of side round(sqrt(100 / perc)), one uniform point per box (dropped if it
falls outside), drawn per image and channel. The window is clipped to the crop and includes its centre, so a
pixel replaces itself once in (2r+1)^2 times, as in the released code. Shapes: y (N, C, H, W), 0..1 scale.
Told: nothing (assumes zero-mean, pixel-independent noise). Cost: one pass forward and backward, one to denoise.

Constants: perc 1.5 % and r = 5 are the released defaults, boxes of 8x8: 64 pixels of a 64x64 crop, as the paper's text
says. The released recipe for BSD68 hides 0.198 % within radius 2 (``perc=0.198,radius=2``: 9 pixels of such a crop),
too few for a short training. The network is the suite's shared U-Net instead of the CARE U-Net, so that rows differ
by their training alone. Source: Krull, Buchholz, Jug, CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod
from denoisebench.toolbox.hidden import blind_loss, box_of, stratified


@dataclass(frozen=True)
class N2V(LearnedMethod):
    """Masked regression on stratified pixels.

    Parameters
    ----------
    perc : float
        Hidden pixels in per cent.
    radius : int
        Of the replacement window, in pixels.
    """

    perc: float = 1.5
    radius: int = 5

    name = "n2v"
    info = Info(
        label="N2V",
        paper="Krull, Buchholz, Jug, Noise2Void: Learning Denoising from Single Noisy Images, CVPR 2019",
        bibtex=(
            "@inproceedings{krull2019noise2void, title={Noise2Void: Learning Denoising from Single Noisy Images}, "
            "author={Krull, Alexander and Buchholz, Tim-Oliver and Jug, Florian}, booktitle={CVPR}, year={2019}}"
        ),
        licence="written from the paper; the authors' code is BSD-3-Clause and was not used",
        multiple=32,
    )

    def __post_init__(self) -> None:
        if not 0 < self.perc <= 100 or self.radius < 1:
            raise UserError("n2v: perc must lie in (0, 100] and radius must be at least 1.")

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy = batch.noisy
        index, inside = self.hidden(noisy, batch.generator)
        source = self.replacement(index, noisy.shape, batch.generator)
        flat = noisy.flatten(2)
        # A dropped point writes its own value back, which changes nothing.
        values = torch.where(inside, flat.gather(2, source), flat.gather(2, index))
        shown = flat.scatter(2, index, values).view_as(noisy)
        return blind_loss(network, noisy, shown, index, inside), {}

    def hidden(self, noisy: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat indices of the hidden pixels (N, C, P), and which of them lie inside the crop."""
        side = box_of(self.perc)
        return stratified(noisy, (side, side), generator)

    def replacement(self, index: torch.Tensor, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        """Flat indices of the pixels whose values replace the hidden ones."""
        height, width = shape[-2:]
        draws = torch.rand((2, *index.shape), generator=generator, device=index.device)
        y = _uniform_near(index // width, height, self.radius, draws[0])
        x = _uniform_near(index % width, width, self.radius, draws[1])
        return y * width + x


def _uniform_near(position: torch.Tensor, size: int, radius: int, draw: torch.Tensor) -> torch.Tensor:
    low = (position - radius).clamp(min=0)
    high = (position + radius).clamp(max=size - 1)
    return low + (draw * (high - low + 1)).long()
