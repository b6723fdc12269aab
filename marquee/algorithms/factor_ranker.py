"""Base classes of rankers with user and item factors, trained by epochs.

FactorRanker                  dot products: iALS, Implicit ALS
└── BiasedFactorRanker        and item biases: BPR, Implicit BPR
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from marquee.algorithms.base import EpochAlgorithm, mark_unknown_ids
from marquee.algorithms.history_map import fit_history_map, sum_histories
from marquee.algorithms.parameter_checks import (
    DTYPES,
    RandomState,
    check_choice_attribute,
    check_integer_attributes,
)
from marquee.algorithms.ranking_base import USERS_PER_BLOCK, Ranker
from marquee.algorithms.reproducible_linear_algebra import multiply_matrices, multiply_packed, pack_panels
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array
from marquee.interactions.matrix import SparseRows
from marquee.model.scorers.mapped_factors import MappedFactors


class FactorRanker(Ranker, EpochAlgorithm):
    r"""Ranker that scores by dot products, :math:`s_{ui} = p_u^T q_i`.

    Attributes:
        pu: user factors (n_users, n_factors).
        qi: item factors (n_items, n_factors).
    """

    n_factors: int
    random_state: RandomState
    dtype: str
    pu: FloatArray
    qi: FloatArray

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the dot products of each user's factors with those of every item, (len(users), n_items)."""
        rows = mark_unknown_ids(users, self.trainset.n_users)
        return self._score_factors(np.where((rows >= 0)[:, None], self.pu[rows], self.pu.dtype.type(0)))

    def _score_factors(self, factors: FloatArray) -> Float64Array:
        """Return the dot products of factors (n, n_factors) with those of every item, (n, n_items)."""
        panels = pack_panels(self.qi.T.astype(factors.dtype))
        scores = np.empty((len(factors), len(self.qi)), factors.dtype)

        def score_block(start: int, stop: int) -> None:
            multiply_packed(factors[start:stop], panels, scores[start:stop])

        run_blocks(score_block, len(factors), USERS_PER_BLOCK)
        return scores.astype(np.float64, copy=False)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer_attributes(self, "n_factors", minimum=1)
        check_choice_attribute(self, "dtype", DTYPES)


class BiasedFactorRanker(FactorRanker):
    r"""Ranker that scores by dot products and item biases, :math:`s_{ui} = b_i + p_u^T q_i`.

    An unknown user has the factors

    .. math:: p = W^T |H|^{-1/2} \sum_{j \in H} q_j

    where H are the positives of the user, and W is the ridge regression of the trained user factors on the
    same sums over their training histories (`fit_history_map`).

    Attributes:
        bi: item biases (n_items,).
    """

    uses_histories: ClassVar[bool] = True
    step_parameters: ClassVar[tuple[str, ...]] = ("lr_all", "reg_all")
    learned_attributes: ClassVar[tuple[str, ...]] = ("pu", "qi", "bi")

    bi: FloatArray

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the dot products of factors plus the item biases, (len(users), n_items)."""
        scores = super().score_all_items(users)
        scores += self.bi
        return scores

    def build_stored_scorer(self, noise: float | None) -> MappedFactors:  # noqa: ARG002  part of the interface
        """Return factors, item biases and the history map; see the base class."""
        item_factors, item_biases, user_factors = (
            array.astype(np.float32) for array in (self.qi, self.bi, self.pu)
        )
        weighting = self.build_history_weighting()
        return MappedFactors(item_factors, item_biases, user_factors, self.fit_history_map(), weighting)

    def fit_history_map(self) -> Float64Array:
        """Return W, the map from sums of item factors to user factors, (n_factors, n_factors)."""
        return fit_history_map(*self._select_positives(self.training_matrix.by_user), self.qi, self.pu)

    def _build_history_scorer(self) -> Callable[[SparseRows], Float64Array]:
        history_map = self.fit_history_map()

        def score(histories: SparseRows) -> Float64Array:
            sums = sum_histories(*self._select_positives(histories), self.qi).astype(np.float64)
            factors = np.asarray(multiply_matrices(sums, history_map), np.float64)
            scores = self._score_factors(factors)
            scores += self.bi
            return scores

        return score

    def _select_positives(self, rows: SparseRows) -> tuple[Int64Array, Int32Array]:
        """Return the positives of each row: indptr and items."""
        positives = self._weigh(rows, self.dtype)
        return positives.indptr.astype(np.int64), positives.indices.astype(np.int32, copy=False)
