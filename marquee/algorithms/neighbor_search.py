"""Search for the most similar rows of a sparse matrix, such as items by their users.

The formulas are those of `marquee.model.neighbor_similarity`.
"""

from functools import partial

import numpy as np
from scipy.sparse import csr_array

from marquee.algorithms.kernels.co_occurrences import PRODUCT, RATIO, select_similar
from marquee.algorithms.parameter_checks import (
    check_choice_attribute,
    check_integer_attributes,
    check_number_attributes,
)
from marquee.algorithms.product_ranker import to_sparse_rows
from marquee.algorithms.ranking_base import Ranker
from marquee.algorithms.threads import run_blocks
from marquee.array_types import Float64Array
from marquee.model.neighbor_similarity import SIMILARITIES, NeighborSimilarity, compute_idf

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

    Attributes:
        formula: the similarity.
        idf: inverse document frequency of each column (n_columns,).
        columns: transposed matrix of the transformed values (n_columns, n_rows).
        terms: term of each row in the formula (n_rows,).
    """

    def __init__(self, rows: csr_array, similarity: str, shrinkage: float) -> None:
        mean_length = float(np.maximum(rows.data, 0).sum()) / rows.shape[0]
        self.formula = NeighborSimilarity(similarity, float(shrinkage), mean_length)
        self.idf = compute_idf(np.bincount(rows.indices, minlength=rows.shape[1]), rows.shape[0])
        self._rows = self._transform(rows)
        self.columns, self.terms = self._rows.T.tocsr(), self._compute_terms(self._rows)

    def find_neighbors(self, k: int) -> csr_array:
        """Return the similarities of the k rows most similar to each row, (n_rows, n_rows), float32."""
        return self._select(self._rows, self.terms, k, excludes_diagonal=True)

    def find_neighbors_of(self, rows: csr_array, k: int) -> csr_array:
        """Return the similarities of the k rows most similar to each of other rows, (n_others, n_rows)."""
        transformed = self._transform(rows)
        return self._select(transformed, self._compute_terms(transformed), k, excludes_diagonal=False)

    def _select(self, left: csr_array, terms: Float64Array, k: int, *, excludes_diagonal: bool) -> csr_array:
        measure = RATIO if self.formula.is_ratio else PRODUCT
        is_binary = bool((left.data == 1).all() and (self.columns.data == 1).all())
        return select_neighbors(
            left, self.columns, measure, (terms, self.terms), k,
            shrinkage=self.formula.shrinkage, is_binary=is_binary, excludes_diagonal=excludes_diagonal,
        )  # fmt: skip

    def _transform(self, rows: csr_array) -> csr_array:
        """Return the rows with the values whose products are summed."""
        lengths = np.repeat(_sum_rows(rows, np.maximum(rows.data, 0)), np.diff(rows.indptr))
        values = self.formula.transform(rows.data, self.idf[rows.indices], lengths)
        return csr_array((values, rows.indices, rows.indptr), shape=rows.shape)

    def _compute_terms(self, rows: csr_array) -> Float64Array:
        with np.errstate(over="ignore"):  # rows of such weights have no neighbors
            return self.formula.compute_terms(_sum_rows(rows, rows.data**2))


def select_neighbors(
    left: csr_array,
    right: csr_array,
    measure: int,
    terms: tuple[Float64Array, Float64Array],
    k: int,
    *,
    shrinkage: float = 0.0,
    is_binary: bool = False,
    excludes_diagonal: bool = True,
) -> csr_array:
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


def _sum_rows(rows: csr_array, values: Float64Array) -> Float64Array:
    """Return the sum of the values of each row, added in their order, (n_rows,)."""
    row_numbers = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    sums: Float64Array = np.bincount(row_numbers, weights=values, minlength=rows.shape[0]).astype(np.float64)
    return sums
