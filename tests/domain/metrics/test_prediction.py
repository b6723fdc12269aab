"""Prediction errors, with values computed by hand."""

import numpy as np
import pytest

from marquee.metrics.prediction import mae, rmse


def test_rmse_is_root_of_mean_squared_error() -> None:
    assert rmse(np.array([3.0, 5.0]), np.array([4.0, 3.0])) == pytest.approx(np.sqrt((1 + 4) / 2))


def test_mae_is_mean_absolute_error() -> None:
    assert mae(np.array([3.0, 5.0]), np.array([4.0, 3.0])) == pytest.approx((1 + 2) / 2)


def test_perfect_prediction_has_no_error() -> None:
    assert rmse(np.array([3.0]), np.array([3.0])) == 0.0
    assert mae(np.array([3.0]), np.array([3.0])) == 0.0
