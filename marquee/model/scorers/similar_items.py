r"""Scorer from the stored similar items, for histories that the recommender itself cannot use.

.. math:: s_i = \sum_{j \in H} \mathrm{sim}(j, i)

where H are the items that the user liked, and :math:`\mathrm{sim}(j, i)` is 0 unless i is one of the stored
similar items of j. Item-based top-N recommendation without weights: Deshpande and Karypis (2004), Item-Based
Top-N Recommendation Algorithms.
"""

import numpy as np

from marquee.array_types import Float32Array, Int32Array
from marquee.model.scorers.history import History, TrainingHistories
from marquee.top_n import PADDING


class SimilarItemsScorer:
    """Sums similarities over the items that a user liked.

    Args:
        similar_items: similar items of each item, padded, (n_items, m).
        similarities: similarity of each of them, (n_items, m).
        training: training histories.
        liked_from: lowest rating or weight of an item that a user liked.
    """

    def __init__(
        self,
        similar_items: Int32Array,
        similarities: Float32Array,
        training: TrainingHistories,
        liked_from: float,
    ) -> None:
        self._items, self._similarities, self._training = similar_items, similarities, training
        self._liked_from = liked_from

    def select_liked(self, history: History) -> History:
        """Return the interactions without a value, such as clicks, and those with a high one."""
        return {item: value for item, value in history.items() if value is None or value >= self._liked_from}

    def can_score(self, history: History) -> bool:
        """Return True if the user liked an item of this history."""
        return bool(self.select_liked(history))

    def score_user(self, user: int, recent: History) -> Float32Array:
        """Return the scores of all items for what a user liked in training and since.

        A recent interaction replaces that of training.
        """
        trained, values = self._training.items_of(user), self._training.values_of(user)
        replaced = np.array(list(recent), dtype=np.int32)
        kept = trained[(values >= self._liked_from) & ~np.isin(trained, replaced)]
        return self._score(np.union1d(kept, np.array(list(self.select_liked(recent)), dtype=np.int32)))

    def score_history(self, history: History) -> Float32Array:
        """Return the scores of all items for what the user liked of this history."""
        return self._score(np.array(list(self.select_liked(history)), dtype=np.int32))

    def _score(self, items: Int32Array) -> Float32Array:
        similar = self._items[items]
        is_item = similar != PADDING
        similarities = self._similarities[items][is_item]
        return np.bincount(similar[is_item], similarities, minlength=len(self._items)).astype(np.float32)
