"""Truth of lists: what the users of a synthetic data set would make of the lists that a model shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.synthetic.list_quality import LIST_LENGTH, THRESHOLD
from benchmarks.synthetic.statistic_row import StatisticsByName
from marquee.array_types import Float64Array, Int32Array
from marquee.interactions.matrix import InteractionMatrix
from marquee.synthetic import GroundTruth, choice_probabilities

N_CHOICES = LIST_LENGTH  # own choices of a user in the time in which the list is shown
ATTENTION = 3.0  # to an item on the list, relative to one that users come across by themselves

STARS = "true stars"
CHOSEN_AND_LIKED = "chosen and liked"
OWN_CHOICES = "own next choices"
POPULARITY_EXPONENTS = {  # of popularity in the choice from a list
    CHOSEN_AND_LIKED: 1.0,  # as in the log
    f"{CHOSEN_AND_LIKED}, popularity counts half": 0.5,
    f"{CHOSEN_AND_LIKED}, popularity counts nothing": 0.0,
}
TRUTHS = (STARS, *POPULARITY_EXPONENTS, OWN_CHOICES)


@dataclass(frozen=True)
class ListTruth:
    """Value of each item in the list of each user, by the name of the truth: arrays (n_users, n_items).

    The value of a list is the sum of the values of its items. Items rated in training cannot be chosen.
    """

    values: Mapping[str, Float64Array]

    @classmethod
    def from_ground_truth(cls, truth: GroundTruth, matrix: InteractionMatrix) -> "ListTruth":
        """Compute the values for the users and items of a training matrix."""
        users = truth.user_ids.get_indexer(pd.Index(matrix.user_ids))[:, None]
        items = truth.item_ids.get_indexer(pd.Index(matrix.item_ids))[None, :]
        end = np.array(truth.spec.end)
        stars = np.clip(
            truth.expected_ratings_by_index(users, items, end), truth.spec.lowest_rating, truth.spec.high
        )
        likes = truth.like_probabilities_by_index(users, items, end, THRESHOLD)
        interests = _remove_seen(truth.interests_by_index(users, items), matrix)
        popularity = truth.item_popularity[items].astype(np.float64)
        chosen_and_liked = {
            name: choice_probabilities(interests * popularity**exponent, N_CHOICES, ATTENTION) * likes
            for name, exponent in POPULARITY_EXPONENTS.items()
        }
        own = choice_probabilities(interests * popularity, N_CHOICES)
        return cls({STARS: stars / LIST_LENGTH, **chosen_and_liked, OWN_CHOICES: own})

    def value_lists(self, lists: Int32Array) -> StatisticsByName:
        """Return the mean value of the users' lists, shape (n_users, LIST_LENGTH), for each truth."""
        rows = np.arange(len(lists))[:, None]
        return {name: float(values[rows, lists].sum(axis=1).mean()) for name, values in self.values.items()}


def _remove_seen(weights: Float64Array, matrix: InteractionMatrix) -> Float64Array:
    """Return the weights with 0 for the items that each user rated in training."""
    unseen = weights.copy()
    unseen[np.repeat(np.arange(len(weights)), np.diff(matrix.indptr)), matrix.items] = 0
    return unseen
