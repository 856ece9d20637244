"""Quantiles of Student's t distribution, without the second that scipy takes to be imported.

    P(|T| < t) = sin(x) (1 + 1/2 cos^2 x + 1 3 / (2 4) cos^4 x + ...)                     n even, n / 2 terms
               = 2 / pi (x + sin(x) cos(x) (1 + 2/3 cos^2 x + 2 4 / (3 5) cos^4 x + ...))    n odd, (n - 1) / 2 terms

with tan(x) = t / sqrt(n) and n degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4); solved for x by halving.
"""

from __future__ import annotations

import math
from functools import cache


def _within(angle: float, freedom: int) -> float:
    """P(|T| < sqrt(n) tan(angle))."""
    odd, square = freedom % 2, math.cos(angle) ** 2
    term, total = float(freedom > 1), 0.0
    for number in range(freedom // 2):
        total += term
        term *= (2 * number + 1 + odd) / (2 * number + 2 + odd) * square
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * math.cos(angle) * total)
    return math.sin(angle) * total


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """The value that Student's t stays below with a probability.

    Parameters
    ----------
    probability : float
        From 0.5 to below 1.
    freedom : int
        Degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _within(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)
