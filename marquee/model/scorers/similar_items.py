r"""Scorer from the stored similar items, for histories that the recommender itself cannot use.

.. math:: s_i = \sum_{j \in H} \mathrm{sim}(j, i)

where :math:`\mathrm{sim}(j, i)` is 0 unless i is one of the stored similar items of j. Item-based top-N
recommendation without weights: Deshpande and Karypis (2004), Item-Based Top-N Recommendation Algorithms.
Ratings have no influence, so it needs nothing but the items of a history.
"""

import numpy as np

from marquee.array_types import Float32Array, Int32Array
from marquee.model.scorers.history import History, TrainingHistories
from marquee.top_n import PADDING


class SimilarItemsScorer:
    """Sums similarities over the whole history of a user.

    Args:
        similar_items: similar items of each item, padded, (n_items, m).
        similarities: similarity of each of them, (n_items, m).
        training: training histories.
    """

    def __init__(
        self, similar_items: Int32Array, similarities: Float32Array, training: TrainingHistories
    ) -> None:
        self._items, self._similarities, self._training = similar_items, similarities, training

    def can_score(self, history: History) -> bool:
        """Return True if the history is not empty."""
        return bool(history)

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for the training history of a user together with recent items."""
        recent_items = np.array(list(recent), dtype=np.int32)
        return self._score(np.union1d(self._training.items_of(user), recent_items))

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for this history."""
        return self._score(np.array(list(history), dtype=np.int32))

    def _score(self, items: Int32Array) -> Float32Array:
        similar = self._items[items]
        is_item = similar != PADDING
        similarities = self._similarities[items][is_item]
        return np.bincount(similar[is_item], similarities, minlength=len(self._items)).astype(np.float32)
