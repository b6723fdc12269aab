"""Popularity: the same most chosen items for every user, the reference that every ranking model must beat."""

import numpy as np
import numpy.typing as npt

from marquee.algorithms.parameter_checks import check_number_attributes
from marquee.algorithms.ranking_base import Ranker
from marquee.array_types import Float64Array
from marquee.errors import DataError, ParameterError
from marquee.exponentials import exp
from marquee.interactions.matrix import InteractionMatrix
from marquee.logarithms import log

SECONDS_PER_DAY = 86_400.0


class Popularity(Ranker):
    r"""Ranks items by the number of users who have them among their positives; recent ones may count more.

    .. math:: s_{ui} = \sum_v X_{vi} 2^{-(t - t_{vi}) / h}

    where X holds the weights of the interactions (`Weighting`): with binary weighting, 1 for each positive.
    t is the time of the latest interaction, and h the half-life; without a half-life, all weights stay as
    they are. Scores are the same for all users, known or not, so histories are not used. Many items have
    equal counts; their order in a list is decided where the list is built (`marquee.top_n`).

    Args:
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
        half_life: days in which the weight of an interaction halves; requires timestamps. None: no decay.

    Attributes:
        counts: sum of the weights of each item (n_items,).
    """

    counts: Float64Array

    def __init__(
        self,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
        half_life: float | None = None,
    ) -> None:
        super().__init__()
        self.threshold, self.weighting, self.neutral = threshold, weighting, neutral
        self.half_life = half_life

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the counts, repeated for each user, (len(users), n_items)."""
        return np.tile(self.counts, (np.size(users), 1))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.half_life is None:
            return
        check_number_attributes(self, "half_life")
        if self.half_life == 0:
            raise ParameterError("Popularity: half_life must be greater than 0 days, or None (got 0)")

    def _fit(self, matrix: InteractionMatrix) -> None:
        X = self._weigh_matrix(matrix, "float64")
        if self.half_life is not None:
            weights = self.build_history_weighting().weigh(matrix.values)
            X = self._collect(matrix.by_user, weights * _decay(matrix, self.half_life), "float64")
        counts = np.bincount(X.indices, weights=X.data, minlength=matrix.n_items)
        self.counts = counts.astype(np.float64, copy=False)


def _decay(matrix: InteractionMatrix, half_life: float) -> Float64Array:
    """Return the factor of each interaction: 1 for the latest ones, halved with every `half_life` days.

    Raises:
        DataError: the interactions have no timestamps.
    """
    if matrix.times is None:
        raise DataError(
            "Popularity: half_life requires timestamps, which the interactions do not have; set it to null"
        )
    ages = (matrix.times.max() - matrix.times) / (SECONDS_PER_DAY * half_life)
    return exp(-ages * log(2.0))
