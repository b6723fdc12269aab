"""Choice of items: how strongly each item draws each user, and the probability that a user chooses it."""

import numpy as np

from marquee.array_types import Float32Array, Float64Array, Int64Array
from marquee.errors import DataError

INTEREST_POWER = 8  # (1 + x / 8)^8 is close to exp(x) in all but the tails
MIN_INTEREST_ROOT = 0.1  # lower bound before the power is taken
MAX_NEWTON_STEPS = 100
TOLERANCE = 1e-9  # of the number of choices, relative


def compute_interest(attraction: Float32Array, selectivity: float) -> Float32Array:
    """Replace <t, q> by (1 + selectivity * <t, q> / 8)^8, in place, and return it.

    The power is three squarings: correctly rounded operations, so every processor gets the same bytes.
    """
    attraction *= np.float32(selectivity / INTEREST_POWER)
    attraction += np.float32(1)
    np.maximum(attraction, np.float32(MIN_INTEREST_ROOT), out=attraction)
    for _ in range(INTEREST_POWER.bit_length() - 1):
        attraction *= attraction
    return attraction


def choice_probabilities(weights: Float64Array, n_choices: float, attention: float = 1.0) -> Float64Array:
    r"""Return the probability that each item is among the next choices of each user.

    Each item waits for an exponential time with rate :math:`w_i`; users choose items as their times come.
    In the time :math:`t` in which a user makes `n_choices` choices on average,

    .. math:: P_i = 1 - e^{-a w_i t}, \qquad \sum_i \big(1 - e^{-w_i t}\big) = n

    The attention a is 1 for what users come across by themselves. Items on a list that users look at get a
    higher value, and are chosen as if their weight were a times as high.

    Args:
        weights: rate of each item, shape (n_users, n_items); 0 for items that cannot be chosen.
        n_choices: number n of choices per user.
        attention: a, at least 0.

    Raises:
        DataError: a user has too few items with a weight to make this number of choices.

    >>> choice_probabilities(np.array([[1.0, 1.0, 0.0]]), n_choices=1).round(6).tolist()
    [[0.5, 0.5, 0.0]]
    >>> choice_probabilities(np.array([[1.0, 1.0, 0.0]]), n_choices=1, attention=2).round(6).tolist()
    [[0.75, 0.75, 0.0]]
    """
    _check_number_of_choices((weights > 0).sum(axis=1), n_choices)
    times = _time_of_choices(weights, n_choices)
    probabilities: Float64Array = -np.expm1(-attention * weights * times[:, None])
    return probabilities


def _time_of_choices(weights: Float64Array, n_choices: float) -> Float64Array:
    """Return the time in which each user makes `n_choices` choices on average, by Newton's method.

    The number of choices is a concave function of time: steps from below never overshoot.
    """
    times: Float64Array = n_choices / weights.sum(axis=1)
    for _ in range(MAX_NEWTON_STEPS):
        waiting = np.exp(-weights * times[:, None])
        missing = n_choices - (1 - waiting).sum(axis=1)
        if (missing <= TOLERANCE * n_choices).all():
            break
        times += missing / (weights * waiting).sum(axis=1)
    return times


def _check_number_of_choices(n_available: Int64Array, n_choices: float) -> None:
    fewest = n_available.min(initial=np.iinfo(np.int64).max)
    if not 0 < n_choices < fewest:
        raise DataError(
            f"n_choices must be between 0 and the smallest number of items that a user can choose, "
            f"{fewest} (got {n_choices})"
        )
