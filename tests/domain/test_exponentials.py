"""Exponentials: within one unit in the last place of the C library's."""

import math

import numpy as np

from marquee.exponentials import exp, power


def test_exp_is_within_one_unit_in_the_last_place() -> None:
    values = np.random.default_rng(0).uniform(-50, 50, 20_000)
    expected = np.array([math.exp(value) for value in values])
    assert (np.abs(exp(values) - expected) <= np.spacing(expected)).all()


def test_exp_of_huge_arguments_stays_finite_and_positive() -> None:
    low, high = exp([-1e6, 1e6]).tolist()
    assert 0 < low < 1e-300
    assert 1e300 < high < math.inf


def test_power_equals_that_of_the_c_library() -> None:
    base = np.array([0.5, 1.0, 3.0, 1e6])
    np.testing.assert_allclose(power(base, 0.3), base**0.3, rtol=1e-15)
    assert power(base, 1).tolist() == base.tolist()
    assert power(base, 0).tolist() == [1.0] * 4
