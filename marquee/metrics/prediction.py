"""Prediction error of ratings, in stars: lower is better."""

import numpy as np

from marquee.array_types import Float64Array


def rmse(actual: Float64Array, predicted: Float64Array) -> float:
    """Return the root mean squared error.

    >>> rmse(np.array([3.0, 5.0]), np.array([4.0, 4.0]))
    1.0
    """
    return float(np.sqrt(np.mean(np.square(actual - predicted))))


def mae(actual: Float64Array, predicted: Float64Array) -> float:
    """Return the mean absolute error.

    >>> mae(np.array([3.0, 5.0]), np.array([4.0, 3.0]))
    1.5
    """
    return float(np.mean(np.abs(actual - predicted)))
