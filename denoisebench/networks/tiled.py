"""A network that computes a large image in tiles, each with as much around it as an output can see.

A network tells by ``reach`` how many pixels away an input may lie and still change an output. Tiles begin on a grid of
32 pixels, so pooling falls on the same pixels as in the whole image, and a tile at the border ends there, so padding
does too: the output equals that of one pass but for rounding. Everything else of a method, its draws, its masks, a mean
over the image, sees the whole image as before, because only calls of the network are cut up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from denoisebench.networks import forward_at

GRID = 32
Window = tuple[slice, slice]


def is_tileable(network: nn.Module) -> bool:
    """Whether `in_tiles` would change how this network computes: it, or a part of it, declares its reach."""
    parts = network.children() if isinstance(network, nn.ModuleDict) else [network]
    return any(isinstance(getattr(part, "reach", None), int) for part in parts)


def in_tiles(network: nn.Module, side: int) -> nn.Module:
    """The network, or those of its parts that declare a reach, in tiles of ``side`` pixels; the rest is left alone.

    Parameters
    ----------
    side : int
        A multiple of `GRID`.
    """
    if isinstance(getattr(network, "reach", None), int):
        return Tiled(network, side)
    if not isinstance(network, nn.ModuleDict):
        return network
    parts = nn.ModuleDict({name: in_tiles(part, side) for name, part in network.items()})
    for name, parameter in network.named_parameters(recurse=False):
        parts.register_parameter(name, parameter)
    return parts.train(network.training)


class Tiled(nn.Module):
    """A network in tiles; what it is asked for beyond its outputs, the network itself answers."""

    network: Any
    halo: int

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side
        self.halo = -(-int(self.network.reach) // GRID) * GRID
        self.train(network.training)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H, W), H and W as the network wants them."""
        return self._joined(x, lambda window: [self.network(window)], 1)[0]

    def with_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Output and features, of a network that has them."""
        return self._joined(x, self.network.with_features, 1)

    def forward_at(self, x: torch.Tensor, offsets: Sequence[tuple[int, int]], stride: int) -> list[torch.Tensor]:
        """See `denoisebench.networks.forward_at`; the grid of tiles is a multiple of every stride."""
        return self._joined(x, lambda window: forward_at(self.network, window, offsets, stride), stride)

    def _joined(
        self, x: torch.Tensor, compute: Callable[[torch.Tensor], Sequence[torch.Tensor]], stride: int
    ) -> list[torch.Tensor]:
        height, width = x.shape[-2:]
        wholes: list[torch.Tensor] = []
        for rows, columns in windows(height, width, self.side):
            above, beside = self._seen(rows, height), self._seen(columns, width)
            parts = compute(x[..., above, beside])
            if not wholes:
                wholes = [part.new_empty(*part.shape[:2], height // stride, width // stride) for part in parts]
            for whole, part in zip(wholes, parts, strict=True):
                inside = part[..., _cut(rows, above.start, stride), _cut(columns, beside.start, stride)]
                whole[..., _cut(rows, 0, stride), _cut(columns, 0, stride)] = inside
        return wholes

    def _seen(self, own: slice, size: int) -> slice:
        return slice(max(0, own.start - self.halo), min(size, own.stop + self.halo))


def _cut(own: slice, start: int, stride: int) -> slice:
    """A tile's pixels in an array that begins at ``start`` and keeps every ``stride``-th."""
    return slice((own.start - start) // stride, (own.stop - start) // stride)


def windows(height: int, width: int, side: int) -> Iterator[Window]:
    """The tiles of an image, row by row; the last of a row or column may be smaller."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how torch says that there is not enough memory, on a GPU or on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
