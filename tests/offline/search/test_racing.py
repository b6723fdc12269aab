"""Racing: comparisons paired by user."""

from math import inf, sqrt

import numpy as np
import pytest
from scipy.stats import ttest_rel

from experiments.evaluation.user_intervals import STANDARD_ERROR_FACTOR
from experiments.search.racing import MIN_USERS, Comparison, compare_with_leader
from marquee.array_types import Int32Array


def number_users(n: int) -> Int32Array:
    return np.arange(n, dtype=np.int32)


def test_difference_and_z_are_those_of_a_paired_test() -> None:
    rng = np.random.default_rng(0)
    leader, other = rng.random((2, 200)).astype(np.float32)
    comparison = compare_with_leader(leader, other, number_users(200))
    paired_z = ttest_rel(leader.astype(float), other.astype(float)).statistic
    assert comparison.z == pytest.approx(paired_z / STANDARD_ERROR_FACTOR)
    assert comparison.difference == pytest.approx((leader.astype(float) - other).mean())
    assert comparison.n_users == 200


def test_values_of_a_user_in_several_parts_are_averaged_first() -> None:
    leader, other = np.array([1, 1, 0, 1], np.float32), np.array([0, 0, 0, 0], np.float32)
    comparison = compare_with_leader(leader, other, np.array([5, 5, 7, 7], np.int32))
    assert (comparison.difference, comparison.n_users) == (0.75, 2)
    assert comparison.z == pytest.approx(0.75 / (STANDARD_ERROR_FACTOR * sqrt(0.125) / sqrt(2)))


def test_columns_without_a_value_are_left_out() -> None:
    leader, other = np.array([1, 0.5, 0.25], np.float32), np.array([np.nan, 0.25, 0.25], np.float32)
    comparison = compare_with_leader(leader, other, number_users(3))
    assert (comparison.n_users, comparison.difference) == (2, 0.125)


def test_equal_trials_do_not_differ_and_a_constant_loss_is_clear() -> None:
    values = np.full(MIN_USERS, 0.5, np.float32)
    assert compare_with_leader(values, values, number_users(MIN_USERS)).z == 0
    comparison = compare_with_leader(values, values - np.float32(0.25), number_users(MIN_USERS))
    assert comparison.z == inf
    assert comparison.is_clear


def test_too_few_users_are_never_clear() -> None:
    values = np.full(MIN_USERS - 1, 0.5, np.float32)
    assert not compare_with_leader(values, values * 0, number_users(MIN_USERS - 1)).is_clear
    nothing = np.full(3, np.nan, np.float32)
    assert compare_with_leader(nothing, nothing, number_users(3)) == Comparison(0.0, 0.0, 0)
