"""Normal distributions over the channels of every pixel, in closed form and for all pixels at once.

A symmetric matrix per pixel is a list of rows, lower triangle and diagonal, of tensors (N, H, W): with one to four
channels, arithmetic on whole images entry by entry is far faster than LAPACK, which takes the pixels one by one. Right
sides are (N, C, H, W).
"""

from __future__ import annotations

from denoisebench.core.lazy import torch

Matrix = list[list["torch.Tensor"]]


def from_upper(numbers: torch.Tensor, channels: int) -> Matrix:
    """U U^T of upper triangular U, whose entries are given row by row, (N, channels (channels + 1) / 2, H, W)."""
    rest = list(numbers.unbind(1))
    zero = torch.zeros_like(rest[0])
    upper = [[zero] * i + [rest.pop(0) for _ in range(i, channels)] for i in range(channels)]
    return [
        [sum((a * b for a, b in zip(upper[i], upper[j], strict=True)), zero) for j in range(i + 1)]
        for i in range(channels)
    ]


def plus_diagonal(matrix: Matrix, diagonal: torch.Tensor) -> Matrix:
    """The matrix plus diag(``diagonal``), the latter (N, C, H, W)."""
    return [[*row[:-1], row[-1] + diagonal[:, i]] for i, row in enumerate(matrix)]


def cholesky(matrix: Matrix) -> Matrix:
    """Lower factor L of L L^T."""
    factor: Matrix = []
    for i, row in enumerate(matrix):
        factor.append([])
        for j, value in enumerate(row):
            rest = value - sum(factor[i][k] * factor[j][k] for k in range(j))
            factor[i].append(torch.sqrt(rest) if i == j else rest / factor[j][j])
    return factor


def log_det(factor: Matrix) -> torch.Tensor:
    """log det L L^T, (N, H, W)."""
    total = torch.zeros_like(factor[0][0])
    for row in factor:
        total = total + torch.log(row[-1])
    return 2 * total


def solve_lower(factor: Matrix, right: torch.Tensor) -> torch.Tensor:
    """L^-1 right, (N, C, H, W)."""
    found: list[torch.Tensor] = []
    for i, row in enumerate(factor):
        rest = right[:, i] - sum(row[k] * found[k] for k in range(i))
        found.append(rest / row[i])
    return torch.stack(found, 1)


def posterior_mean(noisy: torch.Tensor, mean: torch.Tensor, covariance: Matrix, variance: torch.Tensor) -> torch.Tensor:
    """Mean of x given y = x + n, for x ~ N(mean, S) and n ~ N(0, diag(variance)): mu + S (S + N)^-1 (y - mu)."""
    factor = cholesky(plus_diagonal(covariance, variance))
    white = list(solve_lower(factor, noisy - mean).unbind(1))
    count = len(factor)
    weights: list[torch.Tensor] = [torch.empty(0)] * count
    for i in reversed(range(count)):
        rest = white[i] - sum(factor[k][i] * weights[k] for k in range(i + 1, count))
        weights[i] = rest / factor[i][i]
    entry = [[covariance[max(i, j)][min(i, j)] for j in range(count)] for i in range(count)]
    # Types take the sum of tensors for a number, as it starts at 0.
    gain = torch.stack([sum(entry[i][j] * weights[j] for j in range(count)) for i in range(count)], 1)  # type: ignore[misc]
    return mean + gain
