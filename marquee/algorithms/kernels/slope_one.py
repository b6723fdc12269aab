"""Kernels of Slope One: mean rating differences of all pairs of items, and averages of these differences.

A triangle is the upper half of a square matrix, including the diagonal, stored row by row. Indices in inner
loops are unsigned: checking whether a signed index counts from the end costs as much as the sum.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import (
    add,
    lanes_of,
    load,
    number,
    repeat,
    row_of,
    store,
    where_known,
)
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array


@kernel
def sort_ratings_by_item(
    user_starts: Int64Array,
    item_starts: Int64Array,
    raters: Int32Array,
    values: Float64Array,
    items: Int32Array,
    sorted_values: Float64Array,
    positions: Int32Array,
) -> None:
    """Write the ratings of each user in order of item, given the ratings of each item.

    `positions[t]` is the position in `items` of the first rating of the item by the user of rating `t`.
    """
    free = user_starts[:-1].copy()
    for i in range(len(item_starts) - 1):
        for t in range(item_starts[i], item_starts[i + 1]):
            u = raters[t]
            p = free[u]
            free[u] = p + 1
            items[p] = i
            sorted_values[p] = values[t]
            while p > user_starts[u] and items[p - 1] == i:  # rated twice
                p -= 1
            positions[t] = p


@kernel
def compute_deviations(
    start: int,
    stop: int,
    item_starts: Int64Array,
    raters: Int32Array,
    values: Float64Array,
    positions: Int32Array,
    user_starts: Int64Array,
    items: Int32Array,
    sorted_values: Float64Array,
    freq: Int32Array,
    dev: FloatArray,
) -> None:
    """Compute rows start..stop of two triangles: the numbers of common ratings and the mean differences.

    `freq` counts the pairs of ratings of items i and j by one user; `dev` is the mean of r_i - r_j over these
    pairs, or NaN without any, as in the twin. All sums of a row stay in the L1 cache.
    """
    n_items = len(item_starts) - 1
    total, count = np.zeros(n_items), np.zeros(n_items, np.int32)
    for i in range(start, stop):
        total[i:] = 0
        count[i:] = 0
        for t in range(item_starts[i], item_starts[i + 1]):
            rating = values[t]
            for p in range(np.uint64(positions[t]), np.uint64(user_starts[raters[t] + 1])):
                j = np.uint64(items[p])
                total[j] += rating - sorted_values[p]
                count[j] += 1
        row = i * n_items - i * (i - 1) // 2 - i
        for c in range(i, n_items):
            freq[row + c] = count[c]
            dev[row + c] = total[c] / count[c]
        dev[row + i] = 0


@kernel
def unfold_triangle(
    triangle: FloatArray | Int32Array, start: int, stop: int, sign: int, out: FloatArray | Int32Array
) -> None:
    """Write rows start..stop of the square matrix, which is symmetric, or antisymmetric if `sign` is -1."""
    n_items = out.shape[1]
    for j in range(stop):
        row = j * n_items - j * (j - 1) // 2 - j
        for i in range(max(start, j + 1), stop):
            out[i - start, j] = sign * triangle[row + i]
    for i in range(start, stop):
        row = i * n_items - i * (i - 1) // 2 - i
        for j in range(i, n_items):
            out[i - start, j] = triangle[row + j]


@kernel
def average_pair_deviations(
    rows: FloatArray,
    row_ids: Int32Array,
    users: Int32Array,
    indptr: Int64Array,
    items: Int32Array,
    out: Float64Array,
) -> None:
    """Write, for each pair (row, user), the mean of the row over the user's items, ignoring NaN.

    The mean of no numbers is 0. Four partial sums are interleaved, because a single sum would have to wait
    for each addition.
    """
    for x in range(len(users)):
        row, first, end = rows[row_ids[x]], np.uint64(indptr[users[x]]), np.uint64(indptr[users[x] + 1])
        totals, count = (0.0, 0.0, 0.0, 0.0), 0
        quad_end = end - (end - first) % np.uint64(4)
        for p in range(first, quad_end, np.uint64(4)):
            d0, d1 = row[np.uint64(items[p])], row[np.uint64(items[p + np.uint64(1)])]
            d2, d3 = row[np.uint64(items[p + np.uint64(2)])], row[np.uint64(items[p + np.uint64(3)])]
            t0, t1, t2, t3 = totals
            totals = (
                t0 + _nan_to_zero(d0),
                t1 + _nan_to_zero(d1),
                t2 + _nan_to_zero(d2),
                t3 + _nan_to_zero(d3),
            )
            count += (d0 == d0) + (d1 == d1) + (d2 == d2) + (d3 == d3)  # noqa: PLR0124  not NaN
        total = (totals[0] + totals[1]) + (totals[2] + totals[3])
        for p in range(quad_end, end):
            d = row[np.uint64(items[p])]
            total += _nan_to_zero(d)
            count += d == d  # noqa: PLR0124
        out[x] = total / count if count else 0.0


@kernel
def _nan_to_zero(d: float) -> float:
    """Return the number, or 0 if it is NaN."""
    return d if d == d else 0.0  # noqa: PLR0124


@kernel
def average_all_deviations(
    columns: Float64Array, users: Int32Array, indptr: Int64Array, items: Int32Array, out: Float64Array
) -> None:
    """Write the same means as `average_pair_deviations` for every user and every column.

    `columns` has shape (n_items, width), and `out` has shape (len(users), width).
    """
    width = columns.shape[1]
    total, count = np.empty(width), np.empty(width)
    lanes, ones = lanes_of(total), repeat(1.0)
    vector_end = width // lanes * lanes
    for x in range(len(users)):
        total[:] = 0
        count[:] = 0
        for p in range(np.uint64(indptr[users[x]]), np.uint64(indptr[users[x] + 1])):
            column = row_of(columns, items[p])
            for c in range(0, vector_end, lanes):
                d = load(column, c)
                store(total, c, add(load(total, c), where_known(d, d)))
                store(count, c, add(load(count, c), where_known(d, ones)))
            for c in range(vector_end, width):
                total[c] += _nan_to_zero(number(column, c))
                count[c] += 1.0 if number(column, c) == number(column, c) else 0.0
        for c in range(width):
            out[x, c] = total[c] / count[c] if count[c] > 0 else 0.0
