"""Rankers whose scores are a product of two matrices, and those among them with item-to-item weights."""

from copy import copy
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from marquee.algorithms.kernels.item_weights import keep_largest, sum_sparse_rows, sum_weighted_rows
from marquee.algorithms.kernels.top_n_heaps import PADDING
from marquee.algorithms.ranking_base import USERS_PER_BLOCK, Ranker
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array, FloatArray, Int32Array
from marquee.errors import DivergedError
from marquee.interactions.matrix import SparseRows
from marquee.model.scorers.item_weights import ItemWeights
from marquee.model.scorers.sparse_item_weights import SparseItemWeights

# Weights stored in each row of a dense B. On MovieLens 1M, 500 of 3,700 keep 99.5% of the NDCG@10 of EASE.
N_ITEM_WEIGHTS = 500
ROWS_PER_BLOCK = 64  # rows of B whose largest weights a thread selects at a time


class ProductRanker(Ranker):
    r"""Base class of rankers whose scores are a product of a sparse row of each user with a fixed matrix.

    .. math:: s_u = a_u B

    Attributes:
        weights: B (n_rows, n_items), or the stored elements of a sparse B, row by row (n_stored,).
        weight_items: column of each stored element (n_stored,), ascending in each row; None: B is dense.
        weight_indptr: row r is `weights[weight_indptr[r]:weight_indptr[r + 1]]`, (n_rows + 1,); None: B is
            dense.
    """

    uses_histories = True
    weights: FloatArray
    weight_items: Int32Array | None = None
    weight_indptr: Int32Array | None = None

    @property
    def matrix(self) -> FloatArray | csr_array:
        """B, dense or sparse, (n_rows, n_items)."""
        if self.weight_indptr is None:
            return self.weights
        shape = len(self.weight_indptr) - 1, self.trainset.n_items
        return csr_array((self.weights, self.weight_items, self.weight_indptr), shape=shape)

    def score_all_items(self, users: npt.ArrayLike) -> Float64Array:
        """Return the products for each of these users, (len(users), n_items)."""
        return self._multiply(self.build_left_rows(users))

    def build_left_rows(self, users: npt.ArrayLike) -> csr_array:
        """Return the rows a of these users, (len(users), n_rows), in the dtype of B; empty if unknown."""
        raise NotImplementedError

    def _set_matrix(self, matrix: FloatArray | csr_array) -> None:
        """Set the attributes of B; the columns of a sparse B are sorted.

        Raises:
            DivergedError: an element of a sparse B is not finite. (EASE checks a dense one.)
        """
        if isinstance(matrix, np.ndarray):
            self.weights, self.weight_items, self.weight_indptr = matrix, None, None
            return
        if not np.isfinite(matrix.data).all():
            raise DivergedError(
                f"{type(self).__name__}: weights of interactions are too large for {matrix.dtype}; "
                "use weighting binary"
            )
        matrix.sort_indices()
        self.weights, self.weight_items, self.weight_indptr = matrix.data, matrix.indices, matrix.indptr

    def _multiply(self, rows: csr_array) -> Float64Array:
        """Return the product of sparse rows with B."""
        scores = np.empty((rows.shape[0], self.trainset.n_items), self.weights.dtype)
        run_blocks(partial(multiply_rows, rows, self.matrix, scores), len(scores), USERS_PER_BLOCK)
        return scores.astype(np.float64, copy=False)


class LinearItemModel(ProductRanker):
    r"""Base class of rankers that score an item by a weighted sum over the user's history.

    .. math:: s_{ui} = \sum_j X_{uj} B_{ji}

    where X holds the weights of the interactions, and B (n_items, n_items) is `weights`, dense or sparse.
    """

    def build_stored_scorer(self, noise: float | None) -> ItemWeights | SparseItemWeights:  # noqa: ARG002  part of the interface
        """Return all stored weights, or the largest of each row of a dense B; see the base class."""
        weighting, B = self.build_history_weighting(), self.matrix
        if isinstance(B, np.ndarray):
            return ItemWeights.from_matrix(B, weighting, N_ITEM_WEIGHTS)
        weights = B.data.astype(np.float32, copy=False)
        return SparseItemWeights(B.indptr.astype(np.int64), B.indices.astype(np.int32), weights, weighting)

    def build_served_copy(self) -> Self | None:
        """Return a copy with the weights that are stored; None: all weights are."""
        if not isinstance(self.matrix, np.ndarray) or len(self.weights) <= N_ITEM_WEIGHTS:
            return None
        served = copy(self)
        served._set_matrix(select_largest_weights(self.weights, N_ITEM_WEIGHTS))
        return served

    def build_left_rows(self, users: npt.ArrayLike) -> csr_array:
        """Return the rows of X for these users, (len(users), n_items), in the dtype of the weights."""
        return self._weigh(self._select_histories(users), str(self.weights.dtype))

    def _score_histories(self, histories: SparseRows) -> Float64Array:
        return self._multiply(self._weigh(histories, str(self.weights.dtype)))


def multiply_rows(
    rows: csr_array, matrix: FloatArray | csr_array, out: FloatArray, start: int, stop: int
) -> None:
    """Write rows start..stop of the product of sparse rows with a matrix, dense or sparse."""
    left = rows.indptr, rows.indices, rows.data
    if isinstance(matrix, np.ndarray):
        sum_weighted_rows(*left, matrix, out, start, stop)
    else:
        sum_sparse_rows(*left, matrix.indptr, matrix.indices, matrix.data, out[start:stop], start, stop)


def select_largest_weights(weights: FloatArray, n: int) -> csr_array:
    """Return B with the n weights of each row that have the largest absolute values; others are 0."""
    columns = np.empty((len(weights), min(n, len(weights))), np.int32)
    run_blocks(partial(keep_largest, weights, columns), len(weights), ROWS_PER_BLOCK)
    return to_sparse_rows(columns, np.take_along_axis(weights, columns, axis=1), len(weights))


def to_sparse_rows(columns: Int32Array, values: FloatArray, n_columns: int) -> csr_array:
    """Return a sparse matrix from the columns of its elements, (n_rows, k), and these elements.

    Elements with the column `PADDING` are left out.
    """
    is_filled = columns != PADDING
    indptr = np.concatenate([[0], np.cumsum(is_filled.sum(axis=1))])
    index_type = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64
    arrays = values[is_filled], columns[is_filled].astype(index_type), indptr.astype(index_type)
    matrix = csr_array(arrays, shape=(len(columns), n_columns))
    matrix.sort_indices()
    return matrix
