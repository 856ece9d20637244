"""Which pixels a masked training hides, where replacements may come from, and the error at what was hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence

from denoisebench.core.lazy import torch


def box_of(perc: float) -> int:
    """Side of the square boxes of which one pixel each makes ``perc`` per cent of all."""
    return max(1, round(math.sqrt(100 / perc)))


def stratified(
    noisy: torch.Tensor, box: tuple[int, int], generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One uniform pixel of every box, per image and channel.

    Parameters
    ----------
    noisy : torch.Tensor
        (N, C, H, W), of which only shape and device count.
    box : tuple of int
        Height and width; the last box of a row or column may reach over the edge.
    generator : torch.Generator
        Of the draws.

    Returns
    -------
    index : torch.Tensor
        (N, C, P), flat indices of the pixels.
    inside : torch.Tensor
        (N, C, P), false where the pixel would have fallen over the edge; it is then the first of its box.
    """
    count, channels, height, width = noisy.shape
    tall, wide = box
    rows, columns = -(-height // tall), -(-width // wide)
    draws = torch.rand((2, count, channels, rows, columns), generator=generator, device=noisy.device)
    tops = tall * torch.arange(rows, device=noisy.device)[:, None]
    lefts = wide * torch.arange(columns, device=noisy.device)
    y, x = (draws[0] * tall).long() + tops, (draws[1] * wide).long() + lefts
    inside = (y < height) & (x < width)
    # Outside points are parked on a pixel of their own box, which no other box can hide.
    y, x = torch.where(inside, y, tops), torch.where(inside, x, lefts)
    return (y * width + x).flatten(2), inside.flatten(2)


def window(index: torch.Tensor, shape: Sequence[int], radius: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels around some pixels.

    Parameters
    ----------
    index : torch.Tensor
        (N, C, P), flat indices.
    shape : sequence of int
        Of the image, (N, C, H, W).
    radius : int
        The window has 2 radius + 1 pixels on a side.

    Returns
    -------
    around : torch.Tensor
        (N, C, P, K), flat indices row by row, moved onto the edge where they would lie beyond.
    exists : torch.Tensor
        (N, C, P, K), whether such a pixel lies in the image.
    """
    height, width = shape[-2:]
    steps = torch.arange(-radius, radius + 1, device=index.device)
    y = (index // width)[..., None] + steps.repeat_interleave(len(steps))
    x = (index % width)[..., None] + steps.repeat(len(steps))
    exists = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1), exists


def blind_loss(
    network: torch.nn.Module, noisy: torch.Tensor, shown: torch.Tensor, index: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Mean squared error at the hidden pixels of a network that is shown others in their place.

    Parameters
    ----------
    network : torch.nn.Module
        Of (N, C, H, W).
    noisy, shown : torch.Tensor
        (N, C, H, W): the target, and what the network sees.
    index, inside : torch.Tensor
        Of the hidden pixels, see `stratified`; those that are not inside count for nothing.
    """
    prediction = network(shown).flatten(2).gather(2, index)
    squared = (prediction - noisy.flatten(2).gather(2, index)).square() * inside
    mean: torch.Tensor = squared.sum() / inside.sum().clamp(min=1)
    return mean
