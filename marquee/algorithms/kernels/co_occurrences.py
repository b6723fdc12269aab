"""Kernels of co-occurrences: the columns most similar to each row, from a product of two sparse matrices.

A row of the product is computed, its largest similarities are kept, and the row is cleared for the next one.
So a thread needs memory for one row, and nobody for the whole product.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.top_n_heaps import EMPTY_SCORE, PADDING, push_entry
from marquee.array_types import Float32Array, Float64Array, Int32Array

PRODUCT, RATIO = range(2)


@kernel
def select_similar(
    left_indptr: Int32Array,
    left_indices: Int32Array,
    left_values: Float64Array,
    right_indptr: Int32Array,
    right_indices: Int32Array,
    right_values: Float64Array,
    is_binary: bool,
    measure: int,
    row_terms: Float64Array,
    column_terms: Float64Array,
    shrinkage: float,
    excludes_diagonal: bool,
    out_columns: Int32Array,
    out_values: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Write the columns with the largest positive similarities to rows start..stop, and these similarities.

    Let s be the element of the product of `left` and `right` in row r and column c, summed in float64 in the
    order of `left_indices`, and n the number of its terms. The similarity is one of these, times
    n / (n + `shrinkage`):

        PRODUCT    s * row_terms[r] * column_terms[c]
        RATIO      s / (row_terms[r] + column_terms[c] - s)

    If both matrices are binary, s is n, and the values are not read. A row of the results is in no particular
    order and padded with `PADDING`. Of equal similarities, those with the lower hash of the column are kept,
    so that the result of a row does not depend on its number.
    """
    n_columns, k = len(column_terms), out_columns.shape[1]
    counts, columns = np.zeros(n_columns, np.int32), np.empty(n_columns, np.int32)
    sums = np.zeros(0 if is_binary else n_columns, np.float64)
    best, best_columns = np.empty(k, np.float64), np.empty(k, np.int32)
    for r in range(start, stop):
        rows = left_indices[left_indptr[r] : left_indptr[r + 1]]
        n = _count_terms(rows, right_indptr, right_indices, counts, columns)
        if not is_binary:
            factors = left_values[left_indptr[r] : left_indptr[r + 1]]
            _add_products(rows, factors, right_indptr, right_indices, right_values, sums)
        for x in range(k):
            best[x], best_columns[x] = EMPTY_SCORE, PADDING
        for x in range(n):
            c = columns[x]
            n_terms, total = counts[c], float(counts[c]) if is_binary else sums[c]
            counts[c] = 0
            if not is_binary:
                sums[c] = 0
            if total <= 0 or (excludes_diagonal and c == r):
                continue
            if measure == RATIO:
                similarity = total / (row_terms[r] + column_terms[c] - total)
            else:
                similarity = total * row_terms[r] * column_terms[c]
            if shrinkage > 0:
                similarity *= n_terms / (n_terms + shrinkage)
            if best[0] <= similarity < np.inf:  # false for NaN, after an overflow of weights
                push_entry(best, best_columns, 0, similarity, c)
        for x in range(k):
            out_columns[r, x], out_values[r, x] = best_columns[x], best[x]


@kernel
def _count_terms(
    rows: Int32Array,
    right_indptr: Int32Array,
    right_indices: Int32Array,
    counts: Int32Array,
    columns: Int32Array,
) -> int:
    """Count the elements in these rows of a sparse matrix by column; return the number of columns with any.

    These columns are written to `columns`. The counts must be 0 before.
    """
    n_terms = n = 0
    for t in range(len(rows)):
        n_terms += right_indptr[rows[t] + 1] - right_indptr[rows[t]]
    is_dense = n_terms >= len(counts)
    for t in range(len(rows)):
        # Unsigned indices avoid the check for negative ones.
        for s in range(np.uint64(right_indptr[rows[t]]), np.uint64(right_indptr[rows[t] + 1])):
            column = np.uint32(right_indices[s])
            if not is_dense:
                columns[n] = column
                n += counts[column] == 0
            counts[column] += np.int32(1)
    if is_dense:
        for c in range(len(counts)):
            columns[n] = c
            n += counts[c] != 0
    return n


@kernel
def _add_products(
    rows: Int32Array,
    factors: Float64Array,
    right_indptr: Int32Array,
    right_indices: Int32Array,
    right_values: Float64Array,
    sums: Float64Array,
) -> None:
    """Add these rows of a sparse matrix, times `factors`, to `sums`."""
    for t in range(len(rows)):
        factor = factors[t]
        for s in range(np.uint64(right_indptr[rows[t]]), np.uint64(right_indptr[rows[t] + 1])):
            sums[np.uint32(right_indices[s])] += factor * right_values[s]
