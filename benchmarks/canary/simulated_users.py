"""Simulated users with known preferences, and models with a known error.

A model's score of an item is the user's expected rating plus a random error. Its list contains the items
with the highest scores. The better the items of a list, the more likely a click. A user's mood, which is the
same for all lists of an attribution window, clusters the clicks.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from marquee.array_types import Float64Array, Int64Array
from marquee.synthetic import SyntheticSpec, draw_ground_truth

N_USERS, N_ITEMS, LIST_LENGTH = 2000, 400, 10
SPEC = SyntheticSpec(
    n_ratings=200_000,
    n_users=N_USERS,
    n_items=N_ITEMS,
    mean_rating=3.09,
    taste_std=0.6,
    user_bias_std=0.45,
    item_bias_std=0.58,
    taste_drift=0.35,
    popularity_bias_correlation=0.65,
)  # explicit: the click-through rates below, and the measured rollouts, depend on these values
TRUTH_SEED, ERROR_SEED, CLICK_SEED = 7, 8, 9
CLICK_MIDPOINT, CLICK_SLOPE = 5.0, 1.5  # stars at which half of the items are clicked; log-odds per star
MOOD_STD = 0.8  # standard deviation of a user's mood, in log-odds
LISTS_PARETO_SHAPE = 1.5  # most users request one list, some request a hundred
MAX_LISTS = 200


@dataclass(frozen=True)
class UserOutcomes:
    """Outcomes of users in order of arrival."""

    click_through: Float64Array  # share of the user's lists with a click
    n_lists: Int64Array
    n_clicked_lists: Int64Array


@cache
def compute_click_log_odds(error: float) -> Float64Array:
    """Return, for each user, the log-odds of a click on a list of a model with this error (in stars)."""
    truth = draw_ground_truth(SPEC, TRUTH_SEED)
    users, items = np.broadcast_arrays(np.arange(N_USERS)[:, None], np.arange(N_ITEMS)[None, :])
    expected = truth.expected_ratings_by_index(users, items, np.array(SPEC.end))
    scores = expected + error * np.random.default_rng(ERROR_SEED).standard_normal(expected.shape)
    top_items = np.argpartition(-scores, LIST_LENGTH, axis=1)[:, :LIST_LENGTH]
    ratings = np.take_along_axis(expected, top_items, axis=1)
    clicked = (1 / (1 + np.exp(-CLICK_SLOPE * (ratings - CLICK_MIDPOINT)))).mean(axis=1)
    log_odds: Float64Array = np.log(clicked / (1 - clicked))
    return log_odds


def simulate_outcomes(users: Int64Array, error: float, rng: np.random.Generator) -> UserOutcomes:
    """Simulate the attribution windows of users who get the lists of a model with this error (in stars)."""
    n_lists = np.minimum(1 + rng.pareto(LISTS_PARETO_SHAPE, len(users)), MAX_LISTS).astype(np.int64)
    log_odds = compute_click_log_odds(error)[users] + MOOD_STD * rng.standard_normal(len(users))
    n_clicked_lists = rng.binomial(n_lists, 1 / (1 + np.exp(-log_odds)))
    return UserOutcomes(n_clicked_lists / n_lists, n_lists, n_clicked_lists)


def estimate_mean_click_through(error: float) -> float:
    """Estimate the mean click-through of users who get the lists of a model with this error (in stars)."""
    rng = np.random.default_rng(CLICK_SEED)
    users = rng.integers(0, N_USERS, 200_000)
    return float(simulate_outcomes(users, error, rng).click_through.mean())
