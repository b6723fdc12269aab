"""Exponentials and powers: accuracy against the C library."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marquee.powers import exp, power


@given(st.floats(-700, 700))
def test_exponential_is_within_one_unit_in_the_last_place(x: float) -> None:
    expected = math.exp(x)
    assert abs(float(exp(x)) - expected) <= math.ulp(expected)


@given(st.floats(1e-9, 1e9), st.floats(-3, 3))
def test_power_is_accurate(base: float, exponent: float) -> None:
    assert math.isclose(float(power(base, exponent)), base**exponent, rel_tol=1e-13)


def test_exponents_zero_and_one_are_exact() -> None:
    base = np.array([0.0, 0.1, 3.0])
    assert power(base, 1.0).tolist() == base.tolist()
    assert power(base, 0.0).tolist() == [1.0, 1.0, 1.0]
