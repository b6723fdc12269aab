"""Popularity: the same most chosen items for every user, the reference that every ranking model must beat."""

import numpy as np
import numpy.typing as npt

from marquee.algorithms.ranking_base import Ranker
from marquee.array_types import Float64Array
from marquee.interactions.matrix import InteractionMatrix


class Popularity(Ranker):
    r"""Ranks items by the number of users who have them among their positives.

    .. math:: s_{ui} = \sum_v X_{vi}

    where X holds the weights of the interactions (`Weighting`): with binary weighting, 1 for each positive.
    Scores are the same for all users, known or not, so histories are not used. Many items have equal counts;
    their order in a list is decided where the list is built (`marquee.top_n`).

    Args:
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.

    Attributes:
        counts: sum of the weights of each item (n_items,).
    """

    counts: Float64Array

    def __init__(
        self, threshold: float | None = None, weighting: str = "binary", neutral: float | None = None
    ) -> None:
        super().__init__()
        self.threshold, self.weighting, self.neutral = threshold, weighting, neutral

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the counts, repeated for each user, (len(users), n_items)."""
        return np.tile(self.counts, (np.size(users), 1))

    def _fit(self, matrix: InteractionMatrix) -> None:
        X = self._weigh_matrix(matrix, "float64")
        counts = np.bincount(X.indices, weights=X.data, minlength=matrix.n_items)
        self.counts = counts.astype(np.float64, copy=False)
