"""Intervals over folds, against figures worked out by hand."""

from math import inf, isclose, sqrt

import pytest

from experiments.evaluation.confidence_intervals import interval, paired, standard_error


def test_three_folds_by_hand() -> None:
    # mean 2, s = 1, t(0.975, 2) = 4.302653, sqrt(1/3 + 1/2) = 0.912871
    told = interval([1.0, 2.0, 3.0])
    assert told.mean == 2.0
    assert isclose(told.high - 2.0, 4.302653 * 0.912871, rel_tol=1e-5)
    assert isclose(2.0 - told.low, told.high - 2.0)


def test_folds_that_agree_leave_no_doubt() -> None:
    told = interval([0.9, 0.9])
    assert (told.low, told.high) == (0.9, 0.9)


def test_one_fold_tells_nothing() -> None:
    told = interval([0.9])
    assert (told.low, told.high) == (-inf, inf)
    assert not told.excludes_zero
    assert standard_error([0.9]) == 0.0


def test_what_folds_have_in_common_cancels_out() -> None:
    told = paired([1.01, 2.01, 3.01], [1.0, 2.0, 3.0])
    assert isclose(told.mean, 0.01)
    assert told.excludes_zero
    assert not paired([1.01, 1.99, 3.0], [1.0, 2.0, 3.0]).excludes_zero


def test_pairs_are_of_the_same_folds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])


def test_the_standard_error_of_a_mean() -> None:
    assert isclose(standard_error([1.0, 2.0, 3.0]), 1 / sqrt(3))
