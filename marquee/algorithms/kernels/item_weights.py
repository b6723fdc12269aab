"""Kernels of item-item models: the Gram matrix of the items, its sparse form, and scores from histories.

Rows are lists of ids with values in CSR form. Each element of a result is a sum in the order of such a list,
so it does not depend on the elements that are computed beside it.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import (
    lanes_of,
    load,
    load_repeated,
    multiply_add,
    number,
    row_of,
    store,
    zeros,
)
from marquee.algorithms.kernels.top_n_heaps import EMPTY_SCORE, PADDING, push_entry
from marquee.array_types import Float64Array, FloatArray, Int32Array

TILE_VECTORS = 8  # vectors of a tile of scores: they stay in registers


@kernel
def compute_gram_rows(
    item_indptr: Int32Array,
    item_users: Int32Array,
    item_values: Float64Array,
    user_indptr: Int32Array,
    user_items: Int32Array,
    user_values: Float64Array,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Write rows start..stop of the lower triangle of X'X, summed in float64 in ascending order of users.

    X is given by item and by user; users of an item and items of a user must be in ascending order.
    """
    row = np.zeros(stop, np.float64)
    for i in range(start, stop):
        for t in range(item_indptr[i], item_indptr[i + 1]):
            user, value = item_users[t], item_values[t]
            for s in range(user_indptr[user], user_indptr[user + 1]):
                j = user_items[s]
                if j > i:
                    break
                row[j] += value * user_values[s]
        for j in range(i + 1):
            out[i, j] = row[j]
            row[j] = 0


@kernel
def sum_weighted_rows(
    indptr: Int32Array,
    items: Int32Array,
    values: FloatArray,
    weights: FloatArray,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Write to out[u], for u in start..stop, the sum of the rows `weights[items[t]]` times `values[t]`.

    The t of list u are `indptr[u]:indptr[u + 1]`. Each tile of columns is computed for all lists at once,
    because the tile of all rows fits into the L2 cache, and a row of the matrix does not.
    """
    n, lanes = weights.shape[1], lanes_of(weights)
    width = TILE_VECTORS * lanes
    tile_end, vector_end = n // width * width, n // lanes * lanes
    for column in range(0, tile_end, width):
        for u in range(start, stop):
            _sum_tile(indptr[u], indptr[u + 1], items, values, weights, column, row_of(out, u), column)
    for u in range(start, stop):
        for column in range(tile_end, vector_end, lanes):
            total = zeros(weights)
            for t in range(indptr[u], indptr[u + 1]):
                total = multiply_add(load_repeated(values, t), load(row_of(weights, items[t]), column), total)
            store(row_of(out, u), column, total)
        for column in range(vector_end, n):
            rest = weights.dtype.type(0)
            for t in range(indptr[u], indptr[u + 1]):
                rest += number(values, t) * number(row_of(weights, items[t]), column)
            out[u, column] = rest


@kernel
def sum_sparse_rows(
    indptr: Int32Array,
    rows: Int32Array,
    values: FloatArray,
    matrix_indptr: Int32Array,
    matrix_columns: Int32Array,
    matrix_values: FloatArray,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Write to out[u - start], for u in start..stop, the sum of these rows of a sparse matrix times `values`.

    The t of list u are `indptr[u]:indptr[u + 1]`: row `rows[t]` is multiplied by `values[t]`.
    """
    for u in range(start, stop):
        totals = out[u - start]
        for c in range(len(totals)):
            totals[c] = 0
        for t in range(indptr[u], indptr[u + 1]):
            row, value = rows[t], values[t]
            for s in range(np.uint64(matrix_indptr[row]), np.uint64(matrix_indptr[row + 1])):
                totals[np.uint32(matrix_columns[s])] += value * matrix_values[s]


@kernel
def keep_largest(matrix: FloatArray, out_columns: Int32Array, start: int, stop: int) -> None:
    """Write the columns of the elements with the largest absolute values in rows start..stop of a matrix.

    Columns of a row are in no particular order. An element that is 0 is not kept: its place is filled with
    `PADDING`. Of equal absolute values, those with the lower hash of row and column are kept.
    """
    k = out_columns.shape[1]
    best, best_columns = np.empty(k, np.float64), np.empty(k, np.int32)
    for row in range(start, stop):
        for x in range(k):
            best[x], best_columns[x] = EMPTY_SCORE, PADDING
        for column in range(matrix.shape[1]):
            size = abs(matrix[row, column])
            if size > 0 and size >= best[0]:
                push_entry(best, best_columns, row, size, column)
        for x in range(k):
            out_columns[row, x] = best_columns[x]


@kernel
def pack_columns(weights: FloatArray, first: int, panels: FloatArray, start: int, stop: int) -> None:
    """Copy columns of a matrix, from `first` on, to panels start..stop, padded with zeros.

    Panels have the shape (n_panels, n_rows, width).
    """
    _, n_rows, width = panels.shape
    for p in range(start, stop):
        column = first + p * width
        n_columns = min(width, weights.shape[1] - column)
        for j in range(n_rows):
            for c in range(n_columns):
                panels[p, j, c] = weights[j, column + c]
            for c in range(n_columns, width):
                panels[p, j, c] = 0


@kernel
def sum_weighted_panel_rows(
    indptr: Int32Array,
    items: Int32Array,
    values: FloatArray,
    panels: FloatArray,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Do the same as `sum_weighted_rows` for packed columns, and write list u to out[u - start].

    Packing pays for many lists: the rows of a panel are together in memory, and stay in the L2 cache. The
    width of the panels must be `TILE_VECTORS` vectors.
    """
    n_panels, _, width = panels.shape
    for p in range(n_panels):
        panel = panels[p]
        for u in range(start, stop):
            target = row_of(out, u - start)
            _sum_tile(indptr[u], indptr[u + 1], items, values, panel, 0, target, p * width)


@kernel
def _sum_tile(
    first: int,
    end: int,
    items: Int32Array,
    values: FloatArray,
    weights: FloatArray,
    column: int,
    out: Any,
    out_column: int,
) -> None:
    """Write `TILE_VECTORS` vectors of a sum of weighted rows to a row, from `out_column` on."""
    lanes = lanes_of(weights)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zeros(weights)
    for t in range(first, end):
        row, value = row_of(weights, items[t]), load_repeated(values, t)
        s0 = multiply_add(value, load(row, column), s0)
        s1 = multiply_add(value, load(row, column + lanes), s1)
        s2 = multiply_add(value, load(row, column + 2 * lanes), s2)
        s3 = multiply_add(value, load(row, column + 3 * lanes), s3)
        s4 = multiply_add(value, load(row, column + 4 * lanes), s4)
        s5 = multiply_add(value, load(row, column + 5 * lanes), s5)
        s6 = multiply_add(value, load(row, column + 6 * lanes), s6)
        s7 = multiply_add(value, load(row, column + 7 * lanes), s7)
    store(out, out_column, s0)
    store(out, out_column + lanes, s1)
    store(out, out_column + 2 * lanes, s2)
    store(out, out_column + 3 * lanes, s3)
    store(out, out_column + 4 * lanes, s4)
    store(out, out_column + 5 * lanes, s5)
    store(out, out_column + 6 * lanes, s6)
    store(out, out_column + 7 * lanes, s7)
