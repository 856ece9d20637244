"""StructN2V: N2V that hides, around each pixel it is scored on, all pixels whose noise belongs to the same structure.

    y'(p + d) = y(q), q uniform in the window around p without the mask, drawn for each d of the mask;   else y' = y
    loss = mean_p (f(y')(p) - y(p))^2

Noise that is correlated along rows, columns or over a patch can be told from neighbours, so N2V keeps it. The mask
covers what the noise of p can be told from. ``mask`` is rows x columns, odd, joined by + for other shapes: 1x9 for
noise correlated over 4 pixels along rows, 1x5+5x1 for a cross; ``row`` and ``column`` are whole lines, for those that
share an offset. `denoisebench diagnose` measures how far noise is correlated and names the mask. What is put in comes
from at most ``radius`` pixels beyond the mask, never from within it, and not from beyond the edge of the crop.

One p in every box, uniform, per image and channel; the box is N2V's 8x8 for 1.5 %, and larger where the mask is longer
or would fill more than a quarter of it. Where masks overlap, each pixel is filled once. What other channels have at the
same place is still seen, as by N2V. Shapes: y (N, C, H, W), 0..1 scale. Told: nothing (assumes zero-mean noise,
independent beyond the mask, and signal that can be predicted from there). Cost: one pass forward and backward, one to
denoise. The paper fills the mask with random values; those of the surroundings have the right scale by themselves.

After 200 steps on one photograph with noise of sigma 25 that is correlated over 5 pixels along rows, N2V's output still
holds more than half of the noise, this one's less than a quarter (tests/test_structn2v.py).

Source: Broaddus, Krull, Weigert, Schmidt, Myers, Removing Structured Noise with Self-Supervised Blind-Spot Networks,
ISBI 2020.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.plugins.method import Batch, Info, LearnedMethod
from denoisebench.toolbox.hidden import blind_loss, box_of, stratified

# So much of a mask, and something beside it, fits into the smallest crop of 32x32.
_LARGEST = 31
# Of a box, that its mask may fill.
_SHARE = 4


@dataclass(frozen=True)
class StructN2V(LearnedMethod):
    """Masked regression with an extended blind mask.

    Parameters
    ----------
    mask : str
        Rows x columns, as 1x9; row or column for whole lines; other shapes joined by +.
    perc : float
        Pixels that are scored, in per cent, where the mask does not make them fewer.
    radius : int
        How far beyond the mask replacements are taken from, in pixels.
    """

    mask: str = "1x9"
    perc: float = 1.5
    radius: int = 5

    name = "structn2v"
    info = Info(
        label="StructN2V",
        paper="Broaddus et al., Removing Structured Noise with Self-Supervised Blind-Spot Networks, ISBI 2020",
        bibtex=(
            "@inproceedings{broaddus2020structn2v, title={Removing Structured Noise with Self-Supervised Blind-Spot "
            "Networks}, author={Broaddus, Coleman and Krull, Alexander and Weigert, Martin and Schmidt, Uwe and Myers, "
            "Eugene}, booktitle={IEEE International Symposium on Biomedical Imaging}, year={2020}}"
        ),
        licence="written from the paper; the authors' code is BSD-3-Clause and was not used",
        multiple=32,
    )

    def __post_init__(self) -> None:
        if not 0 < self.perc <= 100 or self.radius < 1:
            raise UserError("structn2v: perc must lie in (0, 100] and radius must be at least 1.")
        _sizes(self.mask, 1, 1)

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        noisy = batch.noisy
        offsets = self.offsets(noisy.shape[-2], noisy.shape[-1]).to(noisy.device)
        index, inside = stratified(noisy, self.box(offsets, noisy.shape[-2], noisy.shape[-1]), batch.generator)
        shown = self.hide(noisy, index, inside, offsets, batch.generator)
        return blind_loss(network, noisy, shown, index, inside), {}

    def offsets(self, height: int, width: int) -> torch.Tensor:
        """(M, 2), rows and columns of the mask relative to its pixel, for crops of that size."""
        sizes = _sizes(self.mask, height, width)
        found = {(y - tall // 2, x - wide // 2) for tall, wide in sizes for y in range(tall) for x in range(wide)}
        return torch.tensor(sorted(found))

    def box(self, offsets: torch.Tensor, height: int, width: int) -> tuple[int, int]:
        """Sides of the boxes with one scored pixel each, for crops of that size."""
        side = box_of(self.perc)
        spans = [int(found) + 1 for found in offsets.amax(0) - offsets.amin(0)]
        tall, wide = (min(max(side, span), limit) for span, limit in zip(spans, (height, width), strict=True))
        area = sum(min(rows, height) * min(columns, width) for rows, columns in _sizes(self.mask, height, width))
        while _SHARE * area > tall * wide and (tall < height or wide < width):
            tall, wide = min(tall + 1, height), min(wide + 1, width)
        return tall, wide

    def hide(
        self,
        noisy: torch.Tensor,
        index: torch.Tensor,
        inside: torch.Tensor,
        offsets: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """The image with the masks of the scored pixels (N, C, P), those that are inside, filled from around them."""
        height, width = noisy.shape[-2:]
        flat = noisy.flatten(2)
        hidden, exists = _moved(index, offsets, height, width)
        hidden = hidden.flatten(2)
        values = flat.gather(2, self.sources(index, noisy.shape, offsets, generator).flatten(2))
        # Which of the values a pixel gets: one of a mask that is in use, the last where there are several.
        number = torch.arange(hidden.shape[2], device=noisy.device).expand_as(hidden)
        number = torch.where((exists & inside[..., None]).flatten(2), number, -1)
        chosen = torch.full_like(flat, -1, dtype=torch.long).scatter_reduce(2, hidden, number, "amax")
        return torch.where(chosen < 0, flat, values.gather(2, chosen.clamp(min=0))).view_as(noisy)

    def sources(
        self, index: torch.Tensor, shape: torch.Size, offsets: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Flat indices (N, C, P, M) of the pixels whose values replace those of the masks."""
        height, width = shape[-2:]
        # Along a whole line the window need not be as long as the line.
        reach = offsets.abs().amax(0).clamp(max=_LARGEST) + self.radius
        ways = [torch.arange(-int(r), int(r) + 1, device=index.device) for r in reach]
        around = torch.cartesian_prod(*ways)
        around = around[~(around[:, None] == offsets).all(-1).any(1)]
        places, exists = _moved(index, around, height, width)
        weights = exists.to(torch.float32).flatten(0, 2)
        drawn = torch.multinomial(weights, len(offsets), replacement=True, generator=generator)
        return places.gather(3, drawn.view(*index.shape, -1))


def _moved(index: torch.Tensor, by: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat indices (N, C, P, K) of pixels moved by K offsets (K, 2), and which of them lie in the image."""
    y, x = (index // width)[..., None] + by[:, 0], (index % width)[..., None] + by[:, 1]
    exists = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1), exists


def _sizes(mask: str, height: int, width: int) -> list[tuple[int, int]]:
    """Rows and columns of the parts of a mask, for crops of a size."""
    # A line reaches from any of its pixels to the edge on either side.
    sizes = {"row": (1, 2 * width - 1), "column": (2 * height - 1, 1)}
    for part in mask.split("+"):
        found = re.fullmatch(r"(\d{1,2})x(\d{1,2})", part)
        tall, wide = map(int, found.groups()) if found else sizes.get(part, (0, 0))
        if not (tall % 2 and wide % 2) or (found and max(tall, wide) > _LARGEST):
            raise UserError(
                f"structn2v[mask={mask}]: allowed are row, column, and odd rows x columns up to {_LARGEST} such as "
                "1x9, joined by + for other shapes."
            )
        sizes[part] = (tall, wide)
    return [sizes[part] for part in mask.split("+")]
