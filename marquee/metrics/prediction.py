"""How good predictions are. Errors are in stars: lower is better."""

import numpy as np

from marquee.arrays import Floats


def rmse(actual: Floats, predicted: Floats) -> float:
    """Root of the mean squared error, in stars."""
    return float(np.sqrt(np.mean(np.square(actual - predicted))))


def mae(actual: Floats, predicted: Floats) -> float:
    """Mean absolute error, in stars."""
    return float(np.mean(np.abs(actual - predicted)))
