r"""Confidence intervals of ranking metrics by user: of a model's mean, and of the difference of two models.

A model has a value :math:`x_{up}` for each user u who is evaluated on validation part p.

.. math:: m = \frac{1}{P} \sum_p m_p, \qquad m_p = \frac{1}{n_p} \sum_u x_{up}, \qquad
    s^2 = f^2 \frac{n}{n - 1} \sum_u \Big( \sum_p \frac{x_{up} - m_p}{P n_p} \Big)^2

The interval is :math:`m \pm t_{n-1} s`, clipped to the range of the metric; n is the number of users. For the
difference of two models, x is the difference of their values, which removes the variation between users that
both have in common.

The parts of one user are added up before squaring, because they are not independent; users are. If every user
is evaluated on every part, s / f is the standard error of n numbers: each user's value averaged over the
parts. Source: the cluster-robust variance of a mean, Liang and Zeger (1986), with users as clusters; Cameron
and Miller (2015), A Practitioner's Guide to Cluster-Robust Inference, section II.

Few users with equal values say nothing about the spread: if s is 0 with fewer than `MIN_USERS` users, the
interval is the whole range of the metric, except for two models without any difference.

The factor f covers what users have in common: the same fitted models, which another sample of users and
another seed would change. It is estimated by simulation (`STANDARD_ERROR_FACTOR`).
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf, nan, sqrt

import numpy as np
from scipy.special import stdtrit  # imported ten times faster than scipy.stats

from experiments.evaluation.fold_intervals import LEVEL
from marquee.array_types import BoolArray, Float64Array, FloatArray, Int8Array, Int32Array, Int64Array
from marquee.errors import DataError

# Actual divided by estimated standard error of differences; `python -m benchmarks.protocol --only coverage`.
STANDARD_ERROR_FACTOR = 1.1
MIN_USERS = 200  # with fewer evaluated users, any difference may be chance
METRIC_RANGE, DIFFERENCE_RANGE = (0.0, 1.0), (-1.0, 1.0)


@dataclass(frozen=True)
class UserInterval:
    """Mean of a metric or of a difference, and its 95% confidence interval."""

    mean: float
    low: float
    high: float
    standard_error: float
    n_users: int

    @property
    def has_enough_users(self) -> bool:
        """False if there are so few evaluated users that any difference may be chance."""
        return self.n_users >= MIN_USERS

    @property
    def excludes_zero(self) -> bool:
        """True if there are enough users and both bounds are on the same side of zero."""
        return self.has_enough_users and (self.low > 0 or self.high < 0)

    def upper_bound(self) -> float:
        """Return the one-sided bound: with a confidence of 95%, the true mean is at most this."""
        return self.mean + _quantile(LEVEL, self.n_users) * self.standard_error


@dataclass(frozen=True)
class UserValues:
    """Values of one metric for several models, by evaluated user and validation part.

    Attributes:
        values: value of each model in each column, (n_models, n_columns); NaN where a model has none.
        parts: number of the validation part of each column, (n_columns,).
        users: number of the user of each column, (n_columns,); the same user has the same number in every
            part.

    >>> values = np.array([[0.5, 1.0, 0.0], [0.5, 0.5, 0.5]], dtype=np.float32)
    >>> table = UserValues(values, np.array([0, 0, 1], np.int8), np.array([7, 8, 7], np.int32))
    >>> table.mean(0), table.difference(0, 1).mean, table.difference(0, 1).n_users
    (0.375, -0.125, 2)
    """

    values: FloatArray
    parts: Int8Array
    users: Int32Array

    def __post_init__(self) -> None:
        n_columns = self.values.shape[-1]
        if self.values.ndim != 2 or not len(self.parts) == len(self.users) == n_columns:
            raise DataError(
                f"user values of shape {self.values.shape} need one part and one user per column "
                f"(got {len(self.parts)} parts and {len(self.users)} users)"
            )

    @classmethod
    def from_one_part(cls, values: FloatArray) -> "UserValues":
        """Return the values of several models for the users of one part, such as the test part.

        Args:
            values: value of each model for each evaluated user, (n_models, n_users).
        """
        n_users = values.shape[1]
        return cls(values, np.zeros(n_users, dtype=np.int8), np.arange(n_users, dtype=np.int32))

    @property
    def n_models(self) -> int:
        """Number of models."""
        return len(self.values)

    @cached_property
    def is_complete(self) -> BoolArray:
        """True for each model that has a value in every column in which some model has one, (n_models,)."""
        is_known = ~np.isnan(self.values)
        is_used = is_known.any(axis=0)
        return np.asarray(is_known[:, is_used].all(axis=1) & is_used.any())

    def mean(self, model: int) -> float:
        """Return the mean over the parts of a model's mean over users; NaN without any value."""
        return self.interval(model).mean

    def interval(self, model: int) -> UserInterval:
        """Return the mean of a model with its interval, clipped to 0 and 1."""
        return self._summarize(self.values[model].astype(np.float64), METRIC_RANGE)

    def difference(self, model: int, reference: int) -> UserInterval:
        """Return the mean difference `model - reference` with its interval, paired by user.

        Columns in which one of the two has no value are left out.
        """
        values = self.values[model].astype(np.float64) - self.values[reference]
        return self._summarize(values, DIFFERENCE_RANGE)

    @cached_property
    def _part_rows(self) -> Int64Array:
        return np.asarray(np.unique(self.parts, return_inverse=True)[1])

    @cached_property
    def _user_rows(self) -> Int64Array:
        return np.asarray(np.unique(self.users, return_inverse=True)[1])

    def _summarize(self, values: Float64Array, limits: tuple[float, float]) -> UserInterval:
        is_known = ~np.isnan(values)
        values, parts, users = values[is_known], self._part_rows[is_known], self._user_rows[is_known]
        if not len(values):
            return UserInterval(nan, *limits, inf, 0)
        n_users_of_part = np.bincount(parts)
        n_parts = np.count_nonzero(n_users_of_part)
        part_means = np.bincount(parts, values) / np.maximum(n_users_of_part, 1)
        mean = float(part_means.sum() / n_parts)
        deviations = (values - part_means[parts]) / (n_parts * n_users_of_part[parts])
        is_evaluated = np.bincount(users) > 0
        n_users = int(np.count_nonzero(is_evaluated))
        contributions = np.bincount(users, deviations)[is_evaluated]
        error = _standard_error(np.asarray(contributions, dtype=np.float64))
        is_same_model = mean == 0 and limits == DIFFERENCE_RANGE
        if error == 0 and n_users < MIN_USERS and not is_same_model:
            error = inf
        margin = _quantile((1 + LEVEL) / 2, n_users) * error
        low, high = np.clip([mean - margin, mean + margin], *limits).tolist()
        return UserInterval(mean, low, high, error, n_users)


def _standard_error(contributions: Float64Array) -> float:
    """Return the standard error of the sum of one contribution per user, with the factor."""
    n = len(contributions)
    if n < 2:
        return inf
    return STANDARD_ERROR_FACTOR * sqrt(n / (n - 1) * float((contributions**2).sum()))


def _quantile(probability: float, n_users: int) -> float:
    """Return the quantile of Student's t distribution for this number of users."""
    return float(stdtrit(n_users - 1, probability)) if n_users > 1 else inf
