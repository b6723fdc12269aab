"""Confidence intervals over folds, compared with values computed by hand."""

from math import inf, isclose, sqrt

import pytest

from experiments.evaluation.fold_intervals import mean_interval, paired_fold_difference, standard_error


def test_interval_of_three_folds_matches_hand_computation() -> None:
    # mean 2, s = 1, t(0.975, 2) = 4.302653, sqrt(1/3 + 1/2) = 0.912871
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert isclose(interval.high - 2.0, 4.302653 * 0.912871, rel_tol=1e-5)
    assert isclose(2.0 - interval.low, interval.high - 2.0)


def test_equal_folds_give_an_interval_of_width_zero() -> None:
    interval = mean_interval([0.9, 0.9])
    assert (interval.low, interval.high) == (0.9, 0.9)


def test_single_fold_gives_an_infinite_interval() -> None:
    interval = mean_interval([0.9])
    assert (interval.low, interval.high) == (-inf, inf)
    assert not interval.excludes_zero
    assert standard_error([0.9]) == 0.0


def test_paired_difference_removes_variation_common_to_folds() -> None:
    interval = paired_fold_difference([1.01, 2.01, 3.01], [1.0, 2.0, 3.0])
    assert isclose(interval.mean, 0.01)
    assert interval.excludes_zero
    assert not paired_fold_difference([1.01, 1.99, 3.0], [1.0, 2.0, 3.0]).excludes_zero


def test_paired_difference_needs_equal_numbers_of_folds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_fold_difference([1.0, 2.0], [1.0])


def test_standard_error_of_three_folds_matches_hand_computation() -> None:
    assert isclose(standard_error([1.0, 2.0, 3.0]), 1 / sqrt(3))


def test_interval_of_an_error_is_clipped_at_zero() -> None:
    values = [0.0, 0.0, 0.3]
    assert mean_interval(values).low < 0
    assert mean_interval(values, lowest=0.0).low == 0
    assert mean_interval(values, lowest=0.0).high == mean_interval(values).high
