"""The two optimisers of training: Adam as the papers use it, and Muon with Adam for what is no matrix.

Muon keeps one momentum M per weight and steps along the nearest orthogonal matrix to it, so that all directions of
a layer learn at one pace. A convolution's weight (O, I, h, w) counts as the matrix (O, I h w):

    M <- 0.95 M + 0.05 g,   G = 0.05 g + 0.95 M (Nesterov),   X_0 = G / |G|_F
    X <- a X + b (X X^T) X + c (X X^T)^2 X, five times,  (a, b, c) = (3.4445, -4.7750, 2.0315)
    W <- W - rate 0.2 sqrt(max(rows, columns)) X

The factor 0.2 sqrt(max side) gives an update the size that Adam's has, so that one rate serves both. What it is worth
``denoisebench weights train --methods n2c --budget 1500steps`` says in its learning curve beside that of the same with
``--recipe "laptop[optimiser=adam]"``.

Sources: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024; Liu et al., Muon is scalable
for LLM training, arXiv:2502.16982, 2025 (the factor); Kingma, Ba, Adam, ICLR 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MOMENTUM = 0.95
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


def build_optimiser(name: str, network: torch.nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser of a recipe.

    Parameters
    ----------
    name : str
        'adam', or 'muon' with Adam for biases and for the first and the last weight of the network.
    network : torch.nn.Module
        Its parameters are what is optimised.
    rate : float
        Learning rate.
    weight_decay : float
        Coupled L2 weight decay: added to the gradient, as in Adam.
    """
    if name == "adam":
        return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=weight_decay)
    weights = [p for p in network.parameters() if p.ndim >= 2]
    # The first and the last layer look at pixels, not at features: few rows or columns, and of their own scale.
    matrices = {id(p) for p in weights[1:-1]}
    chosen = [p for p in network.parameters() if id(p) in matrices]
    others = [p for p in network.parameters() if id(p) not in matrices]
    groups = [{"params": part, "orthogonal": kind} for kind, part in ((False, others), (True, chosen)) if part]
    return Muon(groups, rate, weight_decay)


class Muon(torch.optim.Optimizer):
    """Muon for groups with ``orthogonal=True``, Adam for the others."""

    def __init__(self, groups: list[dict[str, Any]], rate: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": rate, "weight_decay": weight_decay})

    # PyTorch's returns the loss of the closure; none is given here.
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that are there."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            update = self._orthogonal if group["orthogonal"] else self._adam
            update(parameters, group["lr"], group["weight_decay"])

    def _gradient(self, parameter: torch.Tensor, weight_decay: float) -> torch.Tensor:
        assert parameter.grad is not None
        return parameter.grad.add(parameter, alpha=weight_decay) if weight_decay else parameter.grad

    def _adam(self, parameters: list[torch.Tensor], rate: float, weight_decay: float) -> None:
        for parameter in parameters:
            gradient, state = self._gradient(parameter, weight_decay), self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] += 1
            done = int(state["step"])
            state["mean"].lerp_(gradient, 1 - _BETAS[0])
            state["square"].mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
            scale = (state["square"] / (1 - _BETAS[1] ** done)).sqrt_().add_(_EPSILON)
            parameter.addcdiv_(state["mean"], scale, value=-rate / (1 - _BETAS[0] ** done))

    def _orthogonal(self, parameters: list[torch.Tensor], rate: float, weight_decay: float) -> None:
        # Weights of one shape go through the iteration together: a few large products instead of many small ones.
        alike: dict[tuple[int, ...], list[torch.Tensor]] = {}
        for parameter in parameters:
            alike.setdefault(tuple(parameter.shape), []).append(parameter)
        for same in alike.values():
            directions = []
            for parameter in same:
                gradient, state = self._gradient(parameter, weight_decay), self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
                directions.append(gradient.lerp(state["momentum"], _MOMENTUM).flatten(1))
            updates = orthogonalised(torch.stack(directions))
            size = 0.2 * max(updates.shape[1:]) ** 0.5
            for parameter, update in zip(same, updates, strict=True):
                parameter.add_(update.view(parameter.shape), alpha=-rate * size)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Roughly the nearest matrices with singular values of 1: five Newton-Schulz steps.

    The iteration runs on the small Gram matrix alone: every step multiplies X by a polynomial P of X X^T from the
    left, all such polynomials commute, and so the next Gram matrix is P^2 X X^T. One product with X at the end
    replaces five, a third of the multiply-adds for 96x864.

    Parameters
    ----------
    matrices : torch.Tensor
        (N, rows, columns).

    Returns
    -------
    torch.Tensor
        (N, rows, columns), singular values between about 0.7 and 1.2; tiny ones stay below.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    wide = wide / wide.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1)
    a, b, c = _COEFFICIENTS
    one = torch.eye(wide.shape[1], dtype=wide.dtype, device=wide.device)
    gram, product = wide @ wide.mT, one.expand(len(wide), -1, -1)
    for _ in range(_ITERATIONS):
        step = a * one + b * gram + c * (gram @ gram)
        product = step @ product
        gram = step @ (step @ gram)
    result = product @ wide
    back: torch.Tensor = result if matrices.shape[1] <= matrices.shape[2] else result.mT
    return back
