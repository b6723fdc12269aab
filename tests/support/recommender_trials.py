"""Trials of a recommender with made-up values by user."""

from collections.abc import Sequence

import numpy as np

from experiments.evaluation.user_intervals import UserValues
from experiments.selection.recommender_rule import Budget, RecommenderTrials
from marquee.array_types import Float64Array

N_PARTS, N_USERS = 3, 300


def make_user_values(means: Sequence[float], *, spread: float = 0.0, n_users: int = N_USERS) -> UserValues:
    """Return values around each trial's mean, with this standard deviation of a user in a part.

    The mean over the users of a part is exact.
    """
    noise = np.random.default_rng(0).standard_normal((len(means), N_PARTS, n_users)) * spread
    noise -= noise.mean(axis=2, keepdims=True)
    return to_user_values(np.asarray(means)[:, None, None] + noise)


def to_user_values(values: Float64Array) -> UserValues:
    """Return a table for values of shape (n_trials, n_parts, n_users)."""
    n_trials, n_parts, n_users = values.shape
    return UserValues(
        values.reshape(n_trials, -1).astype(np.float32),
        np.repeat(np.arange(n_parts), n_users).astype(np.int8),
        np.tile(np.arange(n_users), n_parts).astype(np.int32),
    )


def make_trials(
    means: Sequence[float],
    *,
    algorithms: Sequence[str] | None = None,
    rated: Sequence[float] | None = None,
    costs: Sequence[float] | None = None,
    spread: float = 0.0,
    n_users: int = N_USERS,
    budgets: Sequence[Budget] = (),
) -> RecommenderTrials:
    """Return trials with these means; algorithms, rated values and costs are equal unless they are given."""
    n = len(means)
    return RecommenderTrials(
        [f"trial {number}" for number in range(n)],
        algorithms or ["ease"] * n,
        make_user_values(means, spread=spread, n_users=n_users),
        rated or [0.8] * n,
        costs or [1.0] * n,
        budgets,
    )
