"""Intervals of means over users: literal bounds, and coverage of the true mean."""

import math

import numpy as np

from experiments.evaluation.user_interval import mean_user_interval


def test_bounds_are_1_96_standard_errors_from_the_mean() -> None:
    interval = mean_user_interval(np.array([0.0, 1.0] * 50))
    standard_error = math.sqrt(0.25 * 100 / 99) / 10
    assert interval.mean == 0.5
    assert math.isclose(interval.high - 0.5, 1.959964 * standard_error, rel_tol=1e-6)
    assert math.isclose(0.5 - interval.low, interval.high - 0.5)


def test_single_user_has_no_bounds() -> None:
    interval = mean_user_interval(np.array([0.25]))
    assert interval.mean == 0.25
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_interval_contains_the_true_mean_in_95_percent_of_samples() -> None:
    rng = np.random.default_rng(0)
    intervals = [mean_user_interval(sample) for sample in rng.beta(0.5, 2.0, (2000, 200))]
    share = np.mean([interval.low <= 0.2 <= interval.high for interval in intervals])
    assert 0.935 < share < 0.965
