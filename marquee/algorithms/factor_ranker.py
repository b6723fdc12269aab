"""Base class of rankers with user and item factors, trained by epochs."""

import numpy as np
import numpy.typing as npt

from marquee.algorithms.base import EpochAlgorithm, mark_unknown_ids
from marquee.algorithms.parameter_checks import (
    DTYPES,
    RandomState,
    check_choice_attribute,
    check_integer_attributes,
)
from marquee.algorithms.ranking_base import USERS_PER_BLOCK, Ranker
from marquee.algorithms.reproducible_linear_algebra import multiply_packed, pack_panels
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray


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
