"""Logarithms: within one unit in the last place of the C library's, and exact for powers of two."""

import math

import numpy as np

from marquee.logarithms import log, log2


def test_log_is_within_one_unit_in_the_last_place() -> None:
    values = np.random.default_rng(0).random(20_000)
    expected = np.array([math.log(value) for value in values])
    assert (np.abs(log(values) - expected) <= np.spacing(np.abs(expected))).all()


def test_log_is_accurate_for_large_and_small_numbers() -> None:
    values = np.array([2.3e-308, 1e-100, 0.7, 0.71, 1.0, 1.41, 1.42, math.e, 1e300])
    expected = [math.log(value) for value in values]
    np.testing.assert_allclose(log(values), expected, rtol=3e-16)


def test_log2_is_accurate_for_integers() -> None:
    values = np.arange(1, 5000)
    expected = [math.log2(value) for value in values.tolist()]
    np.testing.assert_allclose(log2(values), expected, rtol=3e-16)


def test_log2_of_powers_of_two_is_exact() -> None:
    powers = np.arange(-1022, 1024)
    assert (log2(2.0**powers) == powers).all()
