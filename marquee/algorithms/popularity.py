"""Popularity: the items that most users chose, the floor that every ranking model must beat."""

import numpy as np

from marquee.algorithms.ranking_base import Ranker
from marquee.arrays import Floats, Indices, Integers
from marquee.interactions.matrix import RatingMatrix


class Popularity(Ranker):
    r"""How many users have the item among their positives, the same for every user, known or not.

    .. math:: s_{ui} = |U_i|

    Items with equal counts rank in the order of their inner ids: the one that comes first in the
    training set is first (`marquee.top_n` keeps that order).

    Args:
        threshold: the lowest rating that counts as a positive; None: every rating does.

    Attributes: `counts` (n_items,).
    """

    counts: Indices

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.threshold = threshold

    def score_all(self, users: Integers) -> Floats:
        """The counts, for each of these users, shape (len(users), n_items)."""
        return np.tile(self.counts.astype(np.float64), (len(users), 1))

    def _learn(self, matrix: RatingMatrix) -> None:
        positives = self._positives(matrix, "float32")
        self.counts = np.bincount(positives.indices, minlength=matrix.n_items)
