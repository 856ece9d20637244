"""Muon: the orthogonal step against its definition, what it applies to, and Adam for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from denoisebench.networks import build_network, placed
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.training.optimiser import Muon, build_optimiser, orthogonalised


def by_definition(matrix: torch.Tensor) -> torch.Tensor:
    """Five Newton-Schulz steps on the matrix itself, in double precision."""
    x: torch.Tensor = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(96, 864), (48, 432), (96, 96), (20, 7)])
def test_the_iteration_on_the_gram_matrix_is_that_on_the_matrix(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(3, *shape, generator=generator)
    # Singular values over four decades.
    matrices *= torch.logspace(0, -4, shape[0])[:, None]
    for ours, matrix in zip(orthogonalised(matrices), matrices, strict=True):
        expected = by_definition(matrix if shape[0] <= shape[1] else matrix.T)
        torch.testing.assert_close(ours.double(), expected if shape[0] <= shape[1] else expected.T, rtol=0, atol=1e-4)


def test_singular_values_come_near_one() -> None:
    matrix = torch.randn(1, 48, 432, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalised(matrix)[0])
    assert 0.6 < values.min() < values.max() < 1.3


def test_a_gradient_of_zeros_moves_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(2, 8, 8)), torch.zeros(2, 8, 8))


def test_matrices_are_all_weights_but_the_first_and_the_last() -> None:
    network = build_network("unet", 3, 3)
    groups = {group["orthogonal"]: group["params"] for group in build_optimiser("muon", network, 1e-3, 0).param_groups}
    matrices = {id(p) for p in groups[True]}
    expected = {name for name, p in network.named_parameters() if id(p) in matrices}
    weights = {name for name, p in network.named_parameters() if p.ndim == 4}
    assert weights - expected == {"encoder.0.weight", "last.weight"}
    assert expected < weights
    assert len(groups[True]) + len(groups[False]) == len(list(network.parameters()))


def test_one_step_of_muon_against_the_formula() -> None:
    torch.manual_seed(0)
    middle = nn.Conv2d(4, 6, 3)
    network = placed(nn.Sequential(nn.Conv2d(1, 4, 3), middle, nn.Conv2d(6, 1, 3)), "cpu")
    weight = middle.weight
    optimiser, momentum = build_optimiser("muon", network, 0.01, 0.1), torch.zeros(6, 36)
    for _ in range(3):
        before = weight.detach().clone()
        for p in network.parameters():
            p.grad = torch.randn_like(p)
        assert weight.grad is not None
        gradient = (weight.grad + 0.1 * before).reshape(6, 36)
        momentum = 0.95 * momentum + 0.05 * gradient
        step = by_definition(0.05 * gradient + 0.95 * momentum).float().reshape(6, 4, 3, 3)
        optimiser.step()
        torch.testing.assert_close(weight.detach(), before - 0.01 * 0.2 * 6 * step, rtol=0, atol=1e-5)


def test_the_others_follow_adam_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Conv2d(2, 3, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimiser = Muon([{"params": list(ours.parameters()), "orthogonal": False}], 1e-2, 1e-3)
    reference = torch.optim.Adam(theirs.parameters(), lr=1e-2, weight_decay=1e-3)
    for _ in range(5):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        optimiser.step()
        reference.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_blind2unblind_decays_its_weights_and_the_optimiser_knows() -> None:
    method = parse_method("b2u")
    assert isinstance(method, LearnedMethod)
    assert method.weight_decay == 1e-8
    for name in ("adam", "muon"):
        optimiser = build_optimiser(name, nn.Conv2d(1, 1, 3), 1e-3, method.weight_decay)
        assert {group["weight_decay"] for group in optimiser.param_groups} == {1e-8}
        assert {group["lr"] for group in optimiser.param_groups} == {1e-3}
