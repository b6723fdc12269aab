"""Racing: stop the evaluation of trials that are clearly worse than the best one, part by part.

    part 1   a trial of each candidate    all evaluated users
             the other trials             a sample of the users first; the best of the former is the leader
    part 2   trials that are left, compared with the leader of part 1
    part 3   trials that are left, compared with the leader of parts 1 and 2

The values of two trials are compared user by user, which removes the variation between users that they have
in common. A user's values of several parts are averaged first. A trial is dropped if its mean is lower than
that of the leader by more than `MAX_Z` standard errors of the mean difference. These have the factor of
`experiments.evaluation.user_intervals` for what all users have in common: without it, near-equal trials were
dropped in one of 100 simulated races instead of one of 300.

The leader of a comparison depends on complete rounds only, not on the order in which workers finish.
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from experiments.evaluation.user_intervals import STANDARD_ERROR_FACTOR
from marquee.array_types import Float32Array, Float64Array, Int32Array

MAX_Z = 3.0
MIN_USERS = 50  # with fewer users, the mean difference is not nearly normal


@dataclass(frozen=True)
class Comparison:
    """How much worse a trial is than the leader, on the same users."""

    difference: float  # mean over users of the leader's value minus the trial's
    z: float  # in standard errors
    n_users: int

    @property
    def is_clear(self) -> bool:
        """True if the trial is clearly worse."""
        return self.n_users >= MIN_USERS and self.z > MAX_Z

    def describe(self, metric: str, leader: str, where: str) -> str:
        """Return the reason for which the trial was dropped."""
        return (
            f"dropped after {where}: {metric} is {self.difference:.4f} lower than that of {leader} "
            f"({self.z:.1f} standard errors)"
        )


NO_DIFFERENCE = Comparison(0.0, 0.0, 0)


def compare_with_leader(leader: Float32Array, values: Float32Array, users: Int32Array) -> Comparison:
    """Compare a trial with the leader.

    Args:
        leader: values of the leader by column, that is by user and part, (n_columns,).
        values: values of the trial; columns without a value (NaN) are left out.
        users: number of the user of each column.

    >>> leader, values = np.array([0.5, 0.5, 0.5], np.float32), np.array([0.5, 0.25, 0.0], np.float32)
    >>> compare_with_leader(leader, values, np.array([0, 1, 1], np.int32)).difference  # mean of 0 and 0.375
    0.1875
    """
    is_known = ~np.isnan(values) & ~np.isnan(leader)
    differences = leader[is_known].astype(np.float64) - values[is_known]
    means = _mean_by_user(differences, users[is_known])
    if len(means) < 2:
        return Comparison(float(means.mean()) if len(means) else 0.0, 0.0, len(means))
    mean = float(means.mean())
    error = STANDARD_ERROR_FACTOR * float(means.std(ddof=1)) / sqrt(len(means))
    if error == 0:
        return Comparison(mean, inf if mean > 0 else 0.0, len(means))
    return Comparison(mean, mean / error, len(means))


def _mean_by_user(values: Float64Array, users: Int32Array) -> Float64Array:
    """Return the mean of the values of each user that has some."""
    _, rows, counts = np.unique(users, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(rows, values, minlength=len(counts)) / counts)
