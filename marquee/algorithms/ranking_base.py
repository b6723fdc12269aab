"""Base class of ranking models, which order items and do not predict ratings.

    Ranker                     selects positives; scores pairs by scoring all items for blocks of users
    ├── Popularity                 popularity.py
    ├── LinearItemModel            scores by a user's history times item-to-item weights
    │   └── EASE                   ease.py
    └── ImplicitALS, ImplicitBPR   implicit_feedback.py; also train by epochs

Scores have no scale: only their order for one user is meaningful.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse

from marquee.algorithms.base import Algorithm, Estimates, replace_unknown_ids
from marquee.algorithms.parameter_checks import check_number_attributes
from marquee.array_types import BoolArray, Float64Array, FloatArray, Int32Array
from marquee.errors import DataError
from marquee.interactions.matrix import InteractionMatrix

USERS_PER_BLOCK = 256  # users whose items `score_pairs` scores at a time


class Ranker(Algorithm):
    """Algorithm that learns from positives which items a user would choose next.

    Every rating of at least `threshold` is a positive, regardless of its value. `score_pairs` and
    `score_all_items` return ranking scores. Ratings cannot be predicted: `predict` and `test` mark every pair
    as impossible and return the global mean, as for any impossible prediction.

    An unknown user has no history and no factors, so only the part of a score that is the same for all users
    remains: the counts of Popularity, the item biases of ImplicitBPR, and 0 for the others. The score of an
    unknown item is 0.
    """

    is_ranker: ClassVar[bool] = True
    threshold: float | None = None

    def score_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Float64Array:
        """Return the ranking scores of pairs of inner ids, shape (n,), as `score_all_items` computes them."""
        users = replace_unknown_ids(users, self.trainset.n_users)
        items = replace_unknown_ids(items, self.trainset.n_items)
        scores = np.zeros(len(users))
        known = np.flatnonzero(items >= 0)
        known = known[np.argsort(users[known], kind="stable")]
        distinct, rows = np.unique(users[known], return_inverse=True)
        for start in range(0, len(distinct), USERS_PER_BLOCK):
            first, last = np.searchsorted(rows, (start, start + USERS_PER_BLOCK))
            pairs = known[first:last]
            block = self.score_all_items(distinct[start : start + USERS_PER_BLOCK])
            scores[pairs] = block[rows[first:last] - start, items[pairs]]
        return scores

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the ranking scores of every item for each of these users, (len(users), n_items)."""
        raise NotImplementedError

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:  # noqa: ARG002  all impossible
        return Estimates(np.zeros(len(users)), np.ones(len(users), dtype=np.bool_))

    def _explain_impossible(self, user: int, item: int) -> str:  # noqa: ARG002  the same for every pair
        return f"{type(self).__name__} ranks items and does not predict ratings."

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.threshold is not None:
            check_number_attributes(self, "threshold", minimum=-np.inf)

    def _positives(self, matrix: InteractionMatrix, dtype: str) -> scipy.sparse.csr_array:
        """Return the positives of all users as ones, (n_users, n_items); items of a user in ascending order.

        Raises:
            DataError: no rating reaches the threshold.
        """
        positives = self._user_positives(matrix, np.arange(matrix.n_users, dtype=np.int32), dtype)
        if not positives.nnz:
            raise DataError(
                f"{type(self).__name__}: no rating reaches threshold={self.threshold!r} "
                f"(the highest rating is {matrix.values.max():g}); lower the threshold"
            )
        return positives

    def _user_positives(
        self, matrix: InteractionMatrix, users: Int32Array, dtype: str
    ) -> scipy.sparse.csr_array:
        """Return the rows of `_positives` for these users; the row of an `UNKNOWN` user is empty."""
        starts = matrix.indptr[users]
        counts = np.where(users >= 0, matrix.indptr[users + 1] - starts, 0)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        positions = np.repeat(starts - indptr[:-1], counts) + np.arange(indptr[-1])
        if self.threshold is not None:
            is_positive: BoolArray = matrix.values[positions] >= self.threshold
            indptr = np.concatenate([[0], np.cumsum(is_positive)])[indptr]
            positions = positions[is_positive]
        ones = np.ones(len(positions), dtype=dtype)
        index_type = np.int32 if len(positions) <= np.iinfo(np.int32).max else np.int64
        items = matrix.items[positions].astype(index_type, copy=False)
        arrays = ones, items, indptr.astype(index_type, copy=False)
        positives = scipy.sparse.csr_array(arrays, shape=(len(users), matrix.n_items))
        positives.sum_duplicates()  # an item that a user rated twice is one positive
        positives.data[:] = 1
        return positives


class LinearItemModel(Ranker):
    r"""Base class of rankers that score an item by a weighted sum over the user's history.

    .. math:: s_{ui} = \sum_{j} x_{uj} B_{ji}

    Attributes:
        weights: B (n_items, n_items).
    """

    weights: FloatArray

    def build_histories(self, users: npt.ArrayLike) -> scipy.sparse.csr_array:
        """Return the histories x of these users, (len(users), n_items), in the dtype of the weights.

        The row of an unknown user is empty.
        """
        raise NotImplementedError

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the sums of weights for each of these users, (len(users), n_items)."""
        return np.asarray(self.build_histories(users) @ self.weights, dtype=np.float64)
