"""Popularity: the same most chosen items for every user, the reference that every ranking model must beat."""

import numpy as np
import numpy.typing as npt

from marquee.algorithms.ranking_base import Ranker
from marquee.array_types import Float64Array, Int64Array
from marquee.interactions.matrix import InteractionMatrix


class Popularity(Ranker):
    r"""Ranks items by the number of users who have them among their positives.

    .. math:: s_{ui} = |U_i|

    Scores are the same for all users, known or not. Items with equal counts rank by inner id, that is, in
    order of first appearance in the training set (`marquee.top_n` keeps this order).

    Args:
        threshold: lowest rating that counts as a positive; None: every rating does.

    Attributes:
        counts: number of positives of each item (n_items,).
    """

    counts: Int64Array

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.threshold = threshold

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the counts, repeated for each user, (len(users), n_items)."""
        return np.tile(self.counts.astype(np.float64), (np.size(users), 1))

    def _fit(self, matrix: InteractionMatrix) -> None:
        positives = self._positives(matrix, "float32")
        self.counts = np.bincount(positives.indices, minlength=matrix.n_items)
