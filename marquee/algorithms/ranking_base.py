"""Base class of ranking models, which order items and do not predict ratings.

    Ranker                     weighs interactions; scores pairs by scoring all items for blocks of users
    ├── Popularity                 popularity.py
    ├── ProductRanker              scores are a product of matrices: product_ranker.py
    │   ├── LinearItemModel        a user's history times item-to-item weights
    │   │   ├── EASE, EDLAE        ease.py, edlae.py
    │   │   └── ItemKNN, RP3beta, SLIM   item_knn.py, rp3beta.py, slim.py
    │   └── UserKNN                user_knn.py
    ├── FactorRanker               scores by dot products of factors: factor_ranker.py
    │   ├── IALS, BPR              ials.py, bpr.py
    │   └── ImplicitALS, ImplicitBPR   implicit_feedback.py
    └── Blend                      standardized scores of several of these: blend.py

Scores have no scale: only their order for one user is meaningful.
"""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse

from marquee.algorithms.base import Algorithm, Estimates, mark_unknown_ids
from marquee.algorithms.parameter_checks import check_choice_attribute, check_number_attributes
from marquee.algorithms.threads import run_blocks
from marquee.algorithms.weighting import WEIGHTINGS, Weighting
from marquee.array_types import Float64Array, Int32Array
from marquee.csr_rows import locate_rows
from marquee.errors import DataError
from marquee.interactions.matrix import InteractionMatrix, SparseRows
from marquee.model.history_weighting import HistoryWeighting

USERS_PER_BLOCK = 256  # users whose items `score_pairs` scores at a time


class Ranker(Algorithm):
    """Algorithm that learns from weighted interactions which items a user would choose next.

    `Weighting` computes the weights from the ratings or implicit weights of the training set. An interaction
    with a weight above 0 is a positive. `score_pairs` and `score_all_items` return ranking scores. Ratings
    cannot be predicted: `predict` and `test` mark every pair as impossible and return the global mean, as for
    any impossible prediction.

    An unknown user has no history and no factors, so only the part of a score that is the same for all users
    remains: the counts of Popularity, the item biases of BPR, and 0 for the others. The score of an
    unknown item is 0.
    """

    is_ranker: ClassVar[bool] = True
    weighting: str = "binary"
    threshold: float | None = None
    neutral: float | None = None

    def score_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Float64Array:
        """Return the ranking scores of pairs of inner ids, shape (n,), as `score_all_items` computes them."""
        users = mark_unknown_ids(users, self.trainset.n_users)
        items = mark_unknown_ids(items, self.trainset.n_items)
        scores = np.zeros(len(users))
        known = np.flatnonzero(items >= 0)
        known = known[np.argsort(users[known], kind="stable")]
        distinct, rows = np.unique(users[known], return_inverse=True)

        def score_block(start: int, stop: int) -> None:
            first, last = np.searchsorted(rows, (start, stop))
            pairs = known[first:last]
            block = self.score_all_items(distinct[start:stop])
            scores[pairs] = block[rows[first:last] - start, items[pairs]]

        run_blocks(score_block, len(distinct), USERS_PER_BLOCK)
        return scores

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the ranking scores of every item for each of these users, (len(users), n_items)."""
        raise NotImplementedError

    def build_weighting(self) -> Weighting:
        """Return the function from ratings or implicit weights to the weights that the model learns from."""
        return Weighting(self.weighting, self.threshold, self.neutral)

    def build_history_weighting(self) -> HistoryWeighting:
        """Return the function from values to weights that was applied to the training interactions."""
        matrix = self.training_matrix
        return self.build_weighting().resolve(matrix.feedback, matrix.scale)

    def _estimate_pairs(self, users: Int32Array, items: Int32Array) -> Estimates:  # noqa: ARG002  all impossible
        return Estimates(np.zeros(len(users)), np.ones(len(users), dtype=np.bool_))

    def _explain_impossible(self, user: int, item: int) -> str:  # noqa: ARG002  the same for every pair
        return f"{type(self).__name__} ranks items and does not predict ratings."

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice_attribute(self, "weighting", WEIGHTINGS)
        for name in ("threshold", "neutral"):
            if getattr(self, name) is not None:
                check_number_attributes(self, name, minimum=-np.inf)

    def _weigh_matrix(self, matrix: InteractionMatrix, dtype: str) -> scipy.sparse.csr_array:
        """Return the weights of all interactions, (n_users, n_items); items of a user in ascending order.

        Raises:
            DataError: no weight is above 0.
        """
        weights = self._weigh(matrix.by_user, dtype)
        if not (weights.data > 0).any():
            kind = "weight" if matrix.feedback == "implicit" else "rating"
            name, value = self.build_weighting().find_bound(matrix.feedback, matrix.scale)
            raise DataError(
                f"{type(self).__name__}: no {kind} counts as a positive with {name}={value:g} "
                f"(the highest {kind} is {matrix.values.max():g}); lower {name}"
            )
        return weights

    def _weigh(self, rows: SparseRows, dtype: str) -> scipy.sparse.csr_array:
        """Return the weights of rows of ratings or implicit weights as a sparse matrix, without zeros.

        If an item occurs several times in a row, its largest weight counts.
        """
        return self._collect(rows, self.build_history_weighting().weigh(rows.values), dtype)

    def _collect(self, rows: SparseRows, weights: Float64Array, dtype: str) -> scipy.sparse.csr_array:
        """Return given weights of rows as `_weigh` does."""
        indptr, items = rows.indptr, rows.indices
        if not weights.all():
            is_counted = weights != 0
            indptr = np.concatenate([[0], np.cumsum(is_counted)])[indptr]
            items, weights = items[is_counted], weights[is_counted]
        index_type = np.int32 if len(items) <= np.iinfo(np.int32).max else np.int64
        with np.errstate(over="ignore"):  # an infinite weight is reported as divergence
            arrays = weights.astype(dtype), items.astype(index_type), indptr.astype(index_type)
        weighted = scipy.sparse.csr_array(arrays, shape=(len(indptr) - 1, self.trainset.n_items))
        weighted.sort_indices()
        return weighted if weighted.has_canonical_format else _drop_repeats(weighted)

    def _select_histories(self, users: npt.ArrayLike) -> SparseRows:
        """Return the training interactions of these users; the row of an `UNKNOWN` user is empty."""
        matrix = self.training_matrix
        indptr, positions = locate_rows(matrix.indptr, mark_unknown_ids(users, matrix.n_users))
        return SparseRows(indptr, matrix.items[positions], matrix.values[positions])


def _drop_repeats(rows: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Keep the largest of several values of an item in a row; the items of a row must be in order."""
    row_numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    is_new = (np.diff(row_numbers, prepend=-1) != 0) | (np.diff(rows.indices, prepend=-1) != 0)
    first = np.flatnonzero(is_new)
    indptr = np.searchsorted(first, rows.indptr).astype(rows.indptr.dtype)
    arrays = np.maximum.reduceat(rows.data, first), rows.indices[first], indptr
    return scipy.sparse.csr_array(arrays, shape=rows.shape)
