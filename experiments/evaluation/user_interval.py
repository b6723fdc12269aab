"""Confidence intervals of means over users."""

from math import nan, sqrt
from statistics import NormalDist

import numpy as np

from experiments.evaluation.fold_intervals import LEVEL, MeanInterval
from marquee.array_types import FloatArray


def mean_user_interval(values: FloatArray) -> MeanInterval:
    """Return the 95% interval of the mean of one value per user, (n_users,), by the normal approximation.

    The bounds are NaN for a single user.

    >>> interval = mean_user_interval(np.array([0.2, 0.4, 0.2, 0.4]))
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.187, 0.413)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return MeanInterval(mean, nan, nan)
    quantile = NormalDist().inv_cdf((1 + LEVEL) / 2)
    half_width = quantile * float(np.std(values, ddof=1)) / sqrt(len(values))
    return MeanInterval(mean, mean - half_width, mean + half_width)
