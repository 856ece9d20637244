"""Variance stabilisation against measured values, statistics and limits."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoisebench.toolbox.vst import (
    SMALLEST,
    anscombe,
    generalised_anscombe,
    inverse_anscombe,
    inverse_anscombe_algebraic,
    inverse_anscombe_asymptotic,
    inverse_anscombe_closed,
    inverse_generalised_anscombe,
)

# mean count, E[2 sqrt(Z + 3/8)], closed form, asymptotic, algebraic inverse of it
MEASURED = [
    (0.5, 1.74159, 0.5007, 0.6333, 0.3833),
    (2.0, 2.92843, 1.9936, 2.0189, 1.7689),
    (10.0, 6.36389, 10.0169, 9.9998, 9.7498),
    (30.0, 10.97725, 30.017, 30.000, 29.750),
]


def one(value: float) -> npt.NDArray[np.float64]:
    return np.array([value])


def expectation(mean: float) -> float:
    """E[2 sqrt(Z + 3/8)] summed with recursive pmf terms, independent of the tabulation."""
    probability, total = math.exp(-mean), 0.0
    for count in range(int(mean + 15 * math.sqrt(mean) + 40)):
        total += probability * 2 * math.sqrt(count + 0.375)
        probability *= mean / (count + 1)
    return total


@pytest.mark.parametrize(("mean", "forward", "closed", "asymptotic", "algebraic"), MEASURED)
def test_measured_table(mean: float, forward: float, closed: float, asymptotic: float, algebraic: float) -> None:
    assert expectation(mean) == pytest.approx(forward, abs=6e-6)
    value = expectation(mean)
    assert inverse_anscombe(one(value))[0] == pytest.approx(mean, abs=1e-5)
    assert inverse_anscombe_closed(one(value))[0] == pytest.approx(closed, abs=6e-4)
    assert inverse_anscombe_asymptotic(one(value))[0] == pytest.approx(asymptotic, abs=6e-4)
    assert inverse_anscombe_algebraic(one(value))[0] == pytest.approx(algebraic, abs=6e-4)


@given(st.floats(1e-4, 400.0))
def test_exact_inverse_undoes_the_expectation(mean: float) -> None:
    assert inverse_anscombe(one(expectation(mean)))[0] == pytest.approx(mean, rel=1e-4, abs=1e-6)


@given(st.floats(0.0, 400.0))
def test_closed_form_is_within_its_stated_error(mean: float) -> None:
    assert abs(inverse_anscombe_closed(one(expectation(mean)))[0] - mean) < 0.02


@pytest.mark.parametrize("mean", [0.5, 2.0, 5.0, 30.0, 300.0])
def test_averaged_counts_come_back_unbiased(mean: float) -> None:
    counts = np.random.default_rng(1).poisson(mean, 400_000)
    average = anscombe(counts.astype(np.float64)).mean()
    assert inverse_anscombe(one(average))[0] == pytest.approx(mean, rel=0.01)


@pytest.mark.parametrize("mean", [10.0, 30.0, 300.0])
def test_algebraic_inverse_is_a_quarter_count_low_and_ours_is_not(mean: float) -> None:
    value = expectation(mean)
    assert value**2 / 4 - 3 / 8 - mean == pytest.approx(-0.25, abs=1e-3)
    assert inverse_anscombe(one(value))[0] - mean == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("mean", [10.0, 30.0, 300.0])
def test_variance_is_stabilised(mean: float) -> None:
    counts = np.random.default_rng(2).poisson(mean, 400_000)
    assert anscombe(counts.astype(np.float64)).var() == pytest.approx(1.0, abs=0.02)


def test_limits_of_the_exact_inverse() -> None:
    below = inverse_anscombe(np.array([-1.0, 0.0, SMALLEST - 1e-9, SMALLEST]))
    np.testing.assert_allclose(below, 0.0, atol=1e-12)
    large = np.array([40.0, 100.0, 1000.0])
    np.testing.assert_allclose(inverse_anscombe(large), large**2 / 4 - 1 / 8, rtol=1e-12)
    # No step and no turn where the table ends.
    around = np.linspace(28.0, 28.6, 2001)
    assert np.all(np.diff(inverse_anscombe(around)) > 0)
    assert np.diff(inverse_anscombe(around)).max() < 2 * np.diff(inverse_anscombe(around)).min()
    assert inverse_anscombe(np.zeros((2, 3, 1), np.float32)).shape == (2, 3, 1)


def test_closed_form_is_zero_at_and_below_the_transform_of_zero() -> None:
    np.testing.assert_allclose(inverse_anscombe_closed(np.array([-2.0, 0.0, 1.0, SMALLEST])), 0.0, atol=1e-12)


def test_asymptotic_inverse_is_never_negative() -> None:
    found = inverse_anscombe_asymptotic(np.array([-2.0, 0.0, SMALLEST, 20.0]))
    np.testing.assert_allclose(found, [0.0, 0.0, 0.25, 99.875])


def test_forward_never_takes_a_root_of_a_negative_number() -> None:
    assert np.array_equal(anscombe(np.array([-5.0, -0.375])), [0.0, 0.0])


@pytest.mark.parametrize(("gain", "sigma", "value"), [(0.05, 0.02, 0.5), (2.0, 3.0, 40.0), (1.0, 0.0, 20.0)])
def test_generalised_form_stabilises_and_inverts_without_bias(gain: float, sigma: float, value: float) -> None:
    rng = np.random.default_rng(3)
    noisy = gain * rng.poisson(value / gain, 400_000) + sigma * rng.standard_normal(400_000)
    stabilised = generalised_anscombe(noisy, gain, sigma)
    assert stabilised.var() == pytest.approx(1.0, abs=0.02)
    inverted = inverse_generalised_anscombe(one(stabilised.mean()), gain, sigma)[0]
    assert inverted == pytest.approx(value, rel=0.01)


def test_generalised_form_contains_the_plain_one() -> None:
    counts = np.array([0.0, 1.0, 7.0, 100.0])
    np.testing.assert_allclose(generalised_anscombe(counts, 1.0, 0.0), anscombe(counts))
    values = anscombe(counts)
    np.testing.assert_allclose(inverse_generalised_anscombe(values, 1.0, 0.0), inverse_anscombe_closed(values))


@pytest.mark.parametrize(("gain", "sigma"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (math.nan, 1.0)])
def test_impossible_parameters_are_refused(gain: float, sigma: float) -> None:
    with pytest.raises(ValueError, match="gain must be above 0"):
        generalised_anscombe(one(1.0), gain, sigma)
    with pytest.raises(ValueError, match="gain must be above 0"):
        inverse_generalised_anscombe(one(1.0), gain, sigma)
