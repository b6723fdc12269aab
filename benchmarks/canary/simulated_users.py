"""Users whose taste is known, and models that know it more or less well.

A list holds the items that a model scores highest: what a user truly expects, plus the error of the model. A
user clicks what they like, in a mood that lasts: their clicks are clustered.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from marquee.arrays import Floats, Indices
from marquee.synthetic import SyntheticSpec, plant

USERS, ITEMS, LISTED = 2000, 400, 10
SPEC = SyntheticSpec(n_ratings=200_000, n_users=USERS, n_items=ITEMS)
CLICKS_AT, STEEP = 5.0, 1.5  # stars at which half of the items are clicked, and how much a star matters
MOOD = 0.8  # standard deviation of the logarithm of a user's odds, for the whole rollout
LISTS_TAIL = 1.5  # Pareto: most users ask once, some a hundred times
MOST_LISTS = 200


@dataclass(frozen=True)
class Outcomes:
    """Of users that arrive, in their order."""

    clicked: Floats  # share of the lists with a click
    lists: Indices
    clicks: Indices  # lists with a click


@cache
def odds(error: float) -> Floats:
    """By user, the logarithm of the odds of a click on a list of a model with that error, in stars."""
    truth = plant(SPEC, 7)
    everything = np.arange(USERS)[:, None], np.arange(ITEMS)[None, :]
    expected = truth.expected_of(*np.broadcast_arrays(*everything), np.array(SPEC.end))
    seen = expected + error * np.random.default_rng(8).standard_normal(expected.shape)
    best = np.argpartition(-seen, LISTED, axis=1)[:, :LISTED]
    pleasing = np.take_along_axis(expected, best, axis=1)
    share = (1 / (1 + np.exp(-STEEP * (pleasing - CLICKS_AT)))).mean(axis=1)
    found: Floats = np.log(share / (1 - share))
    return found


def visit(users: Indices, error: float, rng: np.random.Generator) -> Outcomes:
    """What users do within their window under a model with that error."""
    lists = np.minimum(1 + rng.pareto(LISTS_TAIL, len(users)), MOST_LISTS).astype(np.int64)
    logit = odds(error)[users] + MOOD * rng.standard_normal(len(users))
    clicks = rng.binomial(lists, 1 / (1 + np.exp(-logit)))
    return Outcomes(clicks / lists, lists, clicks)


def click_rate(error: float) -> float:
    """Mean outcome of a user under a model with that error."""
    rng = np.random.default_rng(9)
    return float(visit(rng.integers(0, USERS, 200_000), error, rng).clicked.mean())
