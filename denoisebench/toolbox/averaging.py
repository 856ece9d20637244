"""A running mean of outputs, kept in a network so that a fit which was stopped goes on with it."""

from __future__ import annotations

from collections.abc import Sequence

from denoisebench.core.lazy import torch


def add_mean(network: torch.nn.Module, shape: Sequence[int]) -> None:
    """Give a network the buffers ``mean`` and ``weight``, for outputs of that shape."""
    network.register_buffer("mean", torch.zeros(*shape))
    network.register_buffer("weight", torch.zeros(()))


def update_mean(network: torch.nn.Module, output: torch.Tensor, decay: float) -> None:
    """``a <- decay a + (1 - decay) output``, from the first output on."""
    # Both decay alike, so their quotient is a mean from the first step on.
    network.get_buffer("mean").lerp_(output.detach().float(), 1 - decay)
    network.get_buffer("weight").lerp_(torch.ones_like(network.get_buffer("weight")), 1 - decay)


def mean_of(network: torch.nn.Module) -> torch.Tensor:
    """The running mean so far."""
    return network.get_buffer("mean") / network.get_buffer("weight")
