"""Quantiles of Student's t beside scipy's."""

from __future__ import annotations

import math

import pytest
from scipy.stats import t

from denoisebench.core.student import t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 11, 12, 23, 99, 299])
@pytest.mark.parametrize("probability", [0.75, 0.95, 0.975, 0.995])
def test_the_quantile_is_students(freedom: int, probability: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(float(t.ppf(probability, freedom)), rel=1e-11)


def test_the_median_is_zero() -> None:
    assert math.isclose(t_quantile(0.5, 7), 0.0, abs_tol=1e-12)
