"""N2V2: N2V whose hidden pixels take the median of their neighbours, in a U-Net without what makes checkerboards.

    y'(p) = median or mean of y(q), q in the (2r+1)^2 window around p, q != p;   loss = mean_p (f(y')(p) - y(p))^2

N2V often puts back a value that is far from its surroundings, or the pixel itself, and leaves a checkerboard in flat
places. Here the centre never replaces itself, and the network (``unet_n2v2``) has max-blur pooling, no skip connection
at full resolution and no residual. The window is clipped to the crop; a median of an even number is the lower of the
two in the middle. Hidden pixels are N2V's: one uniform pixel of every box, per image and channel. Shapes: y (N, C, H,
W), 0..1 scale. Told: nothing (assumes zero-mean, pixel-independent noise). Cost: one pass forward and backward, one to
denoise; ``fill=mean`` is the paper's other choice.

As for N2V here 1.5 % are hidden instead of 0.198 %, which is too few for a short training, and the U-Net is the
suite's, which never had a residual; its only skip at full resolution was the input. ``network=unet`` is the median
alone, ``n2v[network=unet_n2v2]`` the network alone.

Measured: 25.66 dB, and N2V 24.72 dB, mean of the 16 gray held-out photographs at sigma 25 (20.36 dB) after 600 steps
on bsd400, by ``denoisebench weights train --methods n2v,n2v2 --noise gauss25 --channels 1 --budget 600steps``; one
training each. The paper too finds N2V2 above N2V on BSD68.

Source: Hoeck, Buchholz, Brachmann, Jug, Freytag, ECCV Workshops 2022; pooling: Zhang, ICML 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod
from denoisebench.toolbox.hidden import blind_loss, box_of, stratified, window


@dataclass(frozen=True)
class N2V2(LearnedMethod):
    """Masked regression, hidden pixels filled from around them.

    Parameters
    ----------
    network : str
        The paper's changes of the U-Net are in unet_n2v2.
    perc : float
        Hidden pixels in per cent.
    radius : int
        Of the window, in pixels.
    fill : {'median', 'mean'}
        Of the window without its centre.
    """

    network: str = "unet_n2v2"
    perc: float = 1.5
    radius: int = 2
    fill: Literal["median", "mean"] = "median"

    name = "n2v2"
    info = Info(
        label="N2V2",
        paper="Hoeck et al., N2V2: Fixing Noise2Void Checkerboard Artifacts, ECCV Workshops 2022",
        bibtex=(
            "@inproceedings{hoeck2022n2v2, title={{N2V2}: Fixing {Noise2Void} Checkerboard Artifacts with Modified "
            'Sampling Strategies and a Tweaked Network Architecture}, author={H{\\"o}ck, Eva and Buchholz, Tim-Oliver '
            "and Brachmann, Anselm and Jug, Florian and Freytag, Alexander}, booktitle={ECCV Workshops}, year={2022}}"
        ),
        licence="written from the paper; the authors' code is BSD-3-Clause and was not used",
        multiple=32,
    )

    def __post_init__(self) -> None:
        if not 0 < self.perc <= 100 or self.radius < 1:
            raise UserError("n2v2: perc must lie in (0, 100] and radius must be at least 1.")

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy, flat = batch.noisy, batch.noisy.flatten(2)
        side = box_of(self.perc)
        index, inside = stratified(noisy, (side, side), batch.generator)
        values = torch.where(inside, self.filled(noisy, index), flat.gather(2, index))
        return blind_loss(network, noisy, flat.scatter(2, index, values).view_as(noisy), index, inside), {}

    def filled(self, noisy: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """What the pixels (N, C, P) are replaced with."""
        around, exists = window(index, noisy.shape, self.radius)
        exists = exists & (around != index[..., None])
        values = noisy.flatten(2).gather(2, around.flatten(2)).view_as(around)
        if self.fill == "median":
            return values.masked_fill(~exists, torch.nan).nanmedian(-1).values
        return (values * exists).sum(-1) / exists.sum(-1)
