"""Confidence intervals by user, compared with values computed by hand."""

from math import inf, isnan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from experiments.evaluation.user_intervals import MIN_USERS, STANDARD_ERROR_FACTOR, UserValues
from marquee.errors import DataError


def make_values(values: list[list[float]], parts: list[int], users: list[int]) -> UserValues:
    return UserValues(np.array(values, np.float32), np.array(parts, np.int8), np.array(users, np.int32))


def make_complete_values(values: np.ndarray) -> UserValues:
    """Return a table for values of shape (n_models, n_parts, n_users): every user is in every part."""
    n_models, n_parts, n_users = values.shape
    parts, users = np.repeat(np.arange(n_parts), n_users), np.tile(np.arange(n_users), n_parts)
    return UserValues(
        values.reshape(n_models, -1).astype(np.float32), parts.astype(np.int8), users.astype(np.int32)
    )


def draw_values(n_models: int, n_parts: int, n_users: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n_models, n_parts, n_users))


def test_mean_is_that_of_the_part_means() -> None:
    # parts: (0.2 + 0.4) / 2 = 0.3 and 0.9; a mean of the three columns would be 0.5
    table = make_values([[0.2, 0.4, 0.9]], parts=[0, 0, 1], users=[5, 6, 6])
    assert table.mean(0) == pytest.approx(0.6)
    assert table.interval(0).n_users == 2


def test_complete_table_gives_the_standard_error_of_averaged_users() -> None:
    values = draw_values(1, 3, 300)
    table, averages = make_complete_values(values), values[0].astype(np.float32).mean(axis=0)
    interval = table.interval(0)
    error = STANDARD_ERROR_FACTOR * averages.std(ddof=1) / sqrt(300)
    assert interval.standard_error == pytest.approx(error, rel=1e-5)
    assert interval.mean == pytest.approx(averages.mean(), rel=1e-6)
    assert interval.high - interval.mean == pytest.approx(student_t.ppf(0.975, 299) * error, rel=1e-5)
    assert interval.mean - interval.low == pytest.approx(interval.high - interval.mean)


def test_incomplete_table_matches_hand_computation() -> None:
    # part 0: users 1, 2 with 0.2, 0.4 (mean 0.3); part 1: users 2, 3 with 0.6, 1.0 (mean 0.8)
    # contributions, each divided by 2 parts x 2 users: user 1: -0.1, user 2: 0.1 - 0.2, user 3: 0.2
    table = make_values([[0.2, 0.4, 0.6, 1.0]], parts=[0, 0, 1, 1], users=[1, 2, 2, 3])
    squares = sum((number / 4) ** 2 for number in (-0.1, -0.1, 0.2))
    assert table.interval(0).standard_error == pytest.approx(
        STANDARD_ERROR_FACTOR * sqrt(3 / 2 * squares), rel=1e-5
    )


def test_values_of_one_user_in_several_parts_are_not_independent() -> None:
    values = draw_values(1, 1, 300)
    once, thrice = make_complete_values(values), make_complete_values(np.repeat(values, 3, axis=1))
    assert thrice.interval(0).standard_error == pytest.approx(once.interval(0).standard_error, rel=1e-5)


def test_difference_is_paired_by_user() -> None:
    users = draw_values(1, 1, 300)[0]
    table = make_complete_values(np.stack([users * 0.9 + 0.01, users * 0.9]))
    difference = table.difference(0, 1)
    assert difference.mean == pytest.approx(0.01, rel=1e-4)
    assert difference.standard_error < 1e-8
    assert table.interval(0).standard_error > 0.01
    assert difference.excludes_zero


def test_difference_leaves_out_columns_that_one_model_lacks() -> None:
    nan = float("nan")
    table = make_values([[0.5, 0.7, 0.1], [0.4, nan, 0.3]], parts=[0, 0, 1], users=[0, 1, 0])
    assert table.difference(0, 1).mean == pytest.approx((0.1 - 0.2) / 2)
    assert table.difference(0, 1).n_users == 1
    assert table.is_complete.tolist() == [True, False]


def test_model_without_any_value_has_no_mean() -> None:
    table = make_values([[float("nan")] * 2, [0.1, 0.2]], parts=[0, 0], users=[0, 1])
    assert isnan(table.mean(0))
    assert (table.interval(0).low, table.interval(0).high) == (0.0, 1.0)
    assert table.is_complete.tolist() == [False, True]


@pytest.mark.parametrize(("n_users", "excludes_zero"), [(MIN_USERS - 1, False), (MIN_USERS, True)])
def test_sign_of_a_difference_needs_enough_users(n_users: int, excludes_zero: bool) -> None:
    values = np.stack([np.full((1, n_users), 0.5), np.full((1, n_users), 0.25)])
    assert make_complete_values(values).difference(0, 1).excludes_zero is excludes_zero


def test_single_user_has_an_interval_over_the_whole_range() -> None:
    table = make_values([[0.3], [0.2]], parts=[0], users=[0])
    interval, difference = table.interval(0), table.difference(0, 1)
    assert (interval.low, interval.high, interval.standard_error) == (0.0, 1.0, inf)
    assert (difference.low, difference.high) == (-1.0, 1.0)
    assert difference.upper_bound() == inf


def test_upper_bound_is_one_sided() -> None:
    interval = make_complete_values(draw_values(1, 3, 300)).interval(0)
    quantile = (interval.upper_bound() - interval.mean) / interval.standard_error
    assert quantile == pytest.approx(student_t.ppf(0.95, 299))
    assert interval.upper_bound() < interval.high


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.floats(0, 1, width=32)),
        min_size=1, max_size=20, unique_by=lambda column: column[:2],
    )
)  # fmt: skip
def test_intervals_stay_within_the_range_of_the_metric(columns: list[tuple[int, int, float]]) -> None:
    parts, users, values = zip(*columns, strict=True)
    table = make_values([list(values), [0.0] * len(values)], list(parts), list(users))
    interval, difference = table.interval(0), table.difference(1, 0)
    assert 0 <= interval.low <= interval.high <= 1
    assert interval.low - 1e-12 <= interval.mean <= interval.high + 1e-12
    assert -1 <= difference.low <= difference.high <= 1
    assert difference.mean == pytest.approx(-interval.mean)


@given(st.permutations(range(5)), st.integers(0, 100))
def test_order_of_models_changes_no_bit(order: list[int], seed: int) -> None:
    values = draw_values(5, 3, 40, seed)
    table, permuted = make_complete_values(values), make_complete_values(values[order])
    position = order.index(0), order.index(1)
    assert permuted.interval(position[0]) == table.interval(0)
    assert permuted.difference(*position) == table.difference(0, 1)


def test_columns_without_part_or_user_are_an_error() -> None:
    with pytest.raises(DataError, match="need one part and one user per column"):
        make_values([[0.1, 0.2]], parts=[0], users=[0, 1])


@pytest.mark.slow
def test_intervals_cover_the_true_difference() -> None:
    """Users and parts are drawn independently; without the factor, 95% of the intervals contain the truth."""
    rng, n_covered, n_draws = np.random.default_rng(0), 0, 1000
    for _ in range(n_draws):
        tastes = rng.normal(0, 0.1, (1, 1, 250))
        values = 0.5 + tastes + rng.normal(0, 0.1, (2, 3, 250)) + np.array([0.01, 0])[:, None, None]
        difference = make_complete_values(values).difference(0, 1)
        half_width = (difference.high - difference.mean) / STANDARD_ERROR_FACTOR
        n_covered += abs(difference.mean - 0.01) <= half_width
    assert 0.93 <= n_covered / n_draws <= 0.97


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_few_users_with_equal_values_leave_the_mean_unknown(value: float) -> None:
    few, enough = (
        UserValues.from_one_part(np.full((1, n_users), value, np.float32)).interval(0)
        for n_users in (MIN_USERS - 1, MIN_USERS)
    )
    assert (few.mean, few.low, few.high, few.standard_error) == (value, 0.0, 1.0, inf)
    assert (enough.low, enough.high) == (value, value)


def test_parts_of_one_user_each_leave_the_mean_unknown() -> None:
    interval = make_values([[0.2, 0.6]], parts=[0, 1], users=[1, 2]).interval(0)
    assert interval.mean == pytest.approx(0.4)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_few_equal_differences_leave_the_difference_unknown_unless_all_are_zero() -> None:
    table = UserValues.from_one_part(np.array([[0.5, 0.5], [0.25, 0.25], [0.5, 0.5]], np.float32))
    other, same = table.difference(0, 1), table.difference(0, 2)
    assert (other.mean, other.low, other.high) == (0.25, -1.0, 1.0)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
