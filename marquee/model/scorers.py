"""Scorers: item scores for known users and visitors, computed from the arrays of a fitted model.

FactorScorer            scores of known users from their factors
├── RatingScorer        folds in ratings
└── ConfidenceScorer    folds in weighted interactions (implicit ALS)
ItemWeightScorer        scores from the history of known users and visitors (EASE)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from marquee.array_types import Float32Array, Float64Array, Int32Array, Int64Array
from marquee.model.factor_scoring import FactorSpace
from marquee.model.history_weighting import WEIGHT_WITHOUT_VALUE, HistoryWeighting
from marquee.model.item_weights import ItemWeights

# Rating or weight of each item, by inner id; None for an interaction without a value, such as a click.
History: TypeAlias = Mapping[int, float | None]


class Scorer(Protocol):
    """Scores all items for a user."""

    def can_score(self, history: History) -> bool:
        """Return True if a user who is not in the training data can be scored by this history."""

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for a known user, given their history since training, (n_items,)."""

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a history for which `can_score` is True, (n_items,)."""


@dataclass(frozen=True)
class Confidences:
    """Constants of a model of confidences: confidence 1 + alpha * |weight| in each weighted interaction."""

    alpha: float
    weighting: HistoryWeighting


class FactorScorer:
    """Scores known users by their factors; their history since training is not used."""

    def __init__(self, space: FactorSpace) -> None:
        self._space = space

    def can_score(self, history: History) -> bool:  # noqa: ARG002  subclasses use it
        """Return False: factors of other users are unknown."""
        return False

    def score_user(self, user: int, recent: History) -> Float32Array:  # noqa: ARG002  as in `Scorer`
        """Return the scores of all items for a known user."""
        return self._space.score_items(self._space.trained_user_factors(user))

    def score_history(self, history: History) -> Float32Array:
        """Raise NotImplementedError: `can_score` is always False."""
        raise NotImplementedError


class RatingScorer(FactorScorer):
    """Scorer of a model of ratings: ratings are folded in, interactions without a rating are ignored."""

    def can_score(self, history: History) -> bool:
        """Return True if the history has a rating."""
        return any(rating is not None for rating in history.values())

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a user with these ratings."""
        ratings = {item: rating for item, rating in history.items() if rating is not None}
        items, values = np.array(list(ratings), dtype=np.int32), np.array(list(ratings.values()))
        return self._space.score_items(self._space.fold_in(items, values))


class ConfidenceScorer(FactorScorer):
    r"""Scorer of weighted matrix factorization: the equation of a user is solved for any history.

    .. math:: p = (Q^T C Q + \lambda I)^{-1} Q^T C x

    where an item outside the history has confidence 1 and preference 0; Hu, Koren and Volinsky (2008),
    equation 4. It is the fold-in of `FactorSpace` with covariance :math:`(Q^T Q + \lambda I)^{-1}`, precision
    :math:`c - 1` and rating :math:`c / (c - 1)` for a preference of 1, or 0 for a preference of 0.
    """

    def __init__(self, space: FactorSpace, confidences: Confidences) -> None:
        super().__init__(space)
        self._confidences = confidences

    def can_score(self, history: History) -> bool:
        """Return True if an interaction in the history has a weight."""
        return bool(len(_weigh(history, self._confidences.weighting)[0]))

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for a user with this history."""
        items, weights = _weigh(history, self._confidences.weighting)
        precisions = self._confidences.alpha * np.abs(weights)
        ratings = np.where(weights > 0, (1 + precisions) / precisions, 0.0)
        return self._space.score_items(self._space.fold_in(items, ratings, precisions))


class ItemWeightScorer:
    """Scorer of an item-item model: sums item weights over the whole history."""

    def __init__(self, weights: ItemWeights, seen_indptr: Int64Array, seen_items: Int32Array) -> None:
        """Create a scorer.

        Args:
            weights: item weights, and weights of the training interactions.
            seen_indptr: user u interacted with `seen_items[seen_indptr[u]:seen_indptr[u + 1]]` in training.
            seen_items: inner ids.
        """
        self._weights = weights
        self._indptr, self._items = seen_indptr, seen_items

    def can_score(self, history: History) -> bool:
        """Return True if an interaction in the history has a weight."""
        return bool(len(_weigh(history, self._weights.weighting)[0]))

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for the training history of a user together with recent items."""
        start, stop = self._indptr[user : user + 2]
        trained = self._items[start:stop]
        items, weights = _weigh(recent, self._weights.weighting)
        is_replaced = np.isin(trained, items)
        return self._weights.score_items(
            np.concatenate([trained[~is_replaced], items]),
            np.concatenate([self._weights.seen_weights[start:stop][~is_replaced], weights]),
        )

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for this history."""
        return self._weights.score_items(*_weigh(history, self._weights.weighting))


def _weigh(history: History, weighting: HistoryWeighting) -> tuple[Int32Array, Float64Array]:
    """Return the items whose weight is not 0, and these weights."""
    items = np.array(list(history), dtype=np.int32)
    has_value = np.array([value is not None for value in history.values()], dtype=bool)
    values = np.array([0.0 if value is None else value for value in history.values()])
    weights = np.where(has_value, weighting.weigh(values), WEIGHT_WITHOUT_VALUE)
    return items[weights != 0], weights[weights != 0]
