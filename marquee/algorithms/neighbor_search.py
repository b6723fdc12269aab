"""Search for the most similar rows of a sparse matrix of positive weights, such as items by their users.

    similarity of rows a and b, over the columns c
    cosine    sum a_c b_c / (|a| |b|)
    jaccard   sum a_c b_c / (|a|^2 + |b|^2 - sum a_c b_c); with binary weights, the share of common columns
    tf_idf    cosine of sqrt(a_c) idf_c, with idf_c = ln(1 + n_rows / n_c)
    bm25      sum of the products of idf_c a_c (K1 + 1) / (a_c + K1 (1 - B + B length / mean length))

n_c is the number of rows with a weight in column c, and the length of a row is the sum of its weights. A
similarity based on n common columns is multiplied by n / (n + shrinkage), because with few it may be due to
chance: Bell and Koren (2007). Jaccard of weights is the coefficient of Tanimoto (1958). The last two ignore
negative weights; Robertson and Zaragoza (2009), The Probabilistic Relevance Framework: BM25 and Beyond,
equation 3.15, of both rows.
"""

from functools import partial

import numpy as np

from marquee.algorithms.kernels.co_occurrences import PRODUCT, RATIO, select_similar
from marquee.algorithms.kernels.top_n_heaps import PADDING
from marquee.algorithms.parameter_checks import (
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.product_ranker import CsrArray
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float32Array, Float64Array, Int32Array
from marquee.logarithms import log

SIMILARITIES = ("cosine", "jaccard", "tf_idf", "bm25")
K1, B = 1.2, 0.75  # of BM25: how early a large weight saturates; how much a long row is discounted
ROWS_PER_BLOCK = 64  # rows whose neighbors a thread selects at a time


def check_neighbor_parameters(algorithm: Ranker) -> None:
    """Check the attributes `k`, `similarity` and `shrinkage`."""
    check_integer_attributes(algorithm, "k", minimum=1)
    check_choice_attribute(algorithm, "similarity", SIMILARITIES)
    check_number_attributes(algorithm, "shrinkage")


class NeighborSearch:
    """Rows of a matrix, prepared to find those most similar to themselves or to other rows.

    Args:
        rows: weights (n_rows, n_columns), float64, without zeros.
        similarity: one of `SIMILARITIES`.
        shrinkage: number of common columns at which a similarity is halved.
    """

    def __init__(self, rows: CsrArray, similarity: str, shrinkage: float) -> None:
        self._similarity, self._shrinkage = similarity, shrinkage
        counts = np.bincount(rows.indices, minlength=rows.shape[1])
        self._idf = log(1 + rows.shape[0] / np.maximum(counts, 1))
        self._mean_length = max(float(np.maximum(rows.data, 0).sum()) / rows.shape[0], np.finfo(float).tiny)
        self._rows = self._transform(rows)
        self._columns = self._rows.T.tocsr()
        self._terms = self._compute_terms(self._rows)

    def find_neighbors(self, k: int) -> CsrArray:
        """Return the similarities of the k rows most similar to each row, (n_rows, n_rows), float32."""
        return self._select(self._rows, self._terms, k, excludes_diagonal=True)

    def find_neighbors_of(self, rows: CsrArray, k: int) -> CsrArray:
        """Return the similarities of the k rows most similar to each of other rows, (n_others, n_rows)."""
        transformed = self._transform(rows)
        return self._select(transformed, self._compute_terms(transformed), k, excludes_diagonal=False)

    def _select(self, left: CsrArray, terms: Float64Array, k: int, *, excludes_diagonal: bool) -> CsrArray:
        right = self._columns
        measure = RATIO if self._similarity == "jaccard" else PRODUCT
        is_binary = bool((left.data == 1).all() and (right.data == 1).all())
        return select_neighbors(
            left, right, measure, (terms, self._terms), k,
            shrinkage=self._shrinkage, is_binary=is_binary, excludes_diagonal=excludes_diagonal,
        )  # fmt: skip

    def _transform(self, rows: CsrArray) -> CsrArray:
        """Return the rows with the values whose products are summed."""
        if self._similarity in {"cosine", "jaccard"}:
            return rows
        weights, idf = np.maximum(rows.data, 0), self._idf[rows.indices]
        if self._similarity == "tf_idf":
            values = np.sqrt(weights) * idf
        else:
            lengths = np.repeat(_sum_rows(rows, weights), np.diff(rows.indptr)) / self._mean_length
            values = idf * weights * (K1 + 1) / (weights + K1 * (1 - B + B * lengths))
        return CsrArray((values, rows.indices, rows.indptr), shape=rows.shape)

    def _compute_terms(self, rows: CsrArray) -> Float64Array:
        """Return the term of each row in the formula of the similarity, (n_rows,)."""
        if self._similarity == "bm25":
            return np.ones(rows.shape[0])
        squares = _sum_rows(rows, rows.data**2)
        if self._similarity == "jaccard":
            return squares
        return 1 / np.sqrt(np.where(squares > 0, squares, 1.0))


def select_neighbors(
    left: CsrArray,
    right: CsrArray,
    measure: int,
    terms: tuple[Float64Array, Float64Array],
    k: int,
    *,
    shrinkage: float = 0.0,
    is_binary: bool = False,
    excludes_diagonal: bool = True,
) -> CsrArray:
    """Return the k largest positive similarities of each row of `left` to columns of `right`, float32.

    Memory grows with the number of rows times k. Arguments as in `select_similar`; `terms` are those of rows
    and columns.
    """
    shape = left.shape[0], right.shape[1]
    k = min(k, right.shape[1])
    columns, values = np.empty((shape[0], k), np.int32), np.empty((shape[0], k), np.float32)
    arrays = left.indptr, left.indices, left.data, right.indptr, right.indices, right.data
    settings = is_binary, measure, *terms, float(shrinkage), excludes_diagonal
    run_blocks(partial(select_similar, *arrays, *settings, columns, values), shape[0], ROWS_PER_BLOCK)
    return to_sparse_rows(columns, values, shape[1])


def to_sparse_rows(columns: Int32Array, values: Float32Array, n_columns: int) -> CsrArray:
    """Return a sparse matrix from the columns of its elements, (n_rows, k), and these elements.

    Elements with the column `PADDING` are left out.
    """
    is_filled = columns != PADDING
    indptr = np.concatenate([[0], np.cumsum(is_filled.sum(axis=1))])
    index_type = np.int32 if indptr[-1] <= np.iinfo(np.int32).max else np.int64
    arrays = values[is_filled], columns[is_filled].astype(index_type), indptr.astype(index_type)
    matrix = CsrArray(arrays, shape=(len(columns), n_columns))
    matrix.sort_indices()
    return matrix


def _sum_rows(rows: CsrArray, values: Float64Array) -> Float64Array:
    """Return the sum of the values of each row, added in their order, (n_rows,)."""
    row_numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    return np.bincount(row_numbers, weights=values, minlength=rows.shape[0])
