"""Slope One's pairs of items: how far apart they are rated, one triangle of them, and sums of its rows.

A triangle is the upper half of a square matrix, diagonal included, row after row. Numbers that index an
array in an inner loop are made unsigned: a signed one could mean "from the end", and to check costs as
much as to add.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.vectors import (
    add,
    lanes_of,
    load,
    number,
    repeat,
    row_of,
    store,
    where_known,
)
from marquee.arrays import Float64Array, FloatArray, Int32Array, Int64Array


@kernel
def sort_by_item(
    user_starts: Int64Array,
    item_starts: Int64Array,
    raters: Int32Array,
    values: Float64Array,
    items: Int32Array,
    sorted_values: Float64Array,
    places: Int32Array,
) -> None:
    """From the ratings of each item, write the ratings of each user in order of item.

    Where the rating `t` of item i by user u is `items[p]`, the user's first rating of i or of an item
    after it is `places[t]`.
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
            places[t] = p


@kernel
def deviations(
    start: int,
    stop: int,
    item_starts: Int64Array,
    raters: Int32Array,
    values: Float64Array,
    places: Int32Array,
    user_starts: Int64Array,
    items: Int32Array,
    sorted_values: Float64Array,
    freq: Int32Array,
    dev: FloatArray,
) -> None:
    """Rows `start` to `stop` of two triangles: the number of pairs of ratings by one user, of items i and j,
    and the mean of their differences r_i - r_j.

    It is NaN where there is no such pair, as in the twin. All sums of a row stay in the first cache.
    """
    n_items = len(item_starts) - 1
    total, count = np.zeros(n_items), np.zeros(n_items, np.int32)
    for i in range(start, stop):
        total[i:] = 0
        count[i:] = 0
        for t in range(item_starts[i], item_starts[i + 1]):
            rating = values[t]
            for p in range(np.uint64(places[t]), np.uint64(user_starts[raters[t] + 1])):
                j = np.uint64(items[p])
                total[j] += rating - sorted_values[p]
                count[j] += 1
        row = i * n_items - i * (i - 1) // 2 - i
        for c in range(i, n_items):
            freq[row + c] = count[c]
            dev[row + c] = total[c] / count[c]
        dev[row + i] = 0


@kernel
def unfold(triangle: FloatArray | Int32Array, start: int, stop: int, sign: int, out: FloatArray | Int32Array) -> None:
    """Rows `start` to `stop` of the square matrix: symmetric, or with `sign` -1 antisymmetric."""
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
def mean_deviations(
    rows: FloatArray, which: Int32Array, users: Int32Array, indptr: Int64Array, items: Int32Array, out: Float64Array
) -> None:
    """Of each pair (row, user), the mean of the row over those of the user's items where it is a number.

    Where it is none, 0. Four sums run side by side: one waits for every addition.
    """
    for x in range(len(users)):
        row, first, end = rows[which[x]], np.uint64(indptr[users[x]]), np.uint64(indptr[users[x] + 1])
        totals, count = (0.0, 0.0, 0.0, 0.0), 0
        quad_end = end - (end - first) % np.uint64(4)
        for p in range(first, quad_end, np.uint64(4)):
            d0, d1 = row[np.uint64(items[p])], row[np.uint64(items[p + np.uint64(1)])]
            d2, d3 = row[np.uint64(items[p + np.uint64(2)])], row[np.uint64(items[p + np.uint64(3)])]
            t0, t1, t2, t3 = totals
            totals = t0 + _or_zero(d0), t1 + _or_zero(d1), t2 + _or_zero(d2), t3 + _or_zero(d3)
            count += (d0 == d0) + (d1 == d1) + (d2 == d2) + (d3 == d3)  # noqa: PLR0124  not NaN
        total = (totals[0] + totals[1]) + (totals[2] + totals[3])
        for p in range(quad_end, end):
            d = row[np.uint64(items[p])]
            total += _or_zero(d)
            count += d == d  # noqa: PLR0124
        out[x] = total / count if count else 0.0


@kernel
def _or_zero(d: float) -> float:
    """A number, or 0 in place of NaN."""
    return d if d == d else 0.0  # noqa: PLR0124


@kernel
def all_mean_deviations(
    columns: Float64Array, users: Int32Array, indptr: Int64Array, items: Int32Array, out: Float64Array
) -> None:
    """The same for every one of some columns, shape (n_items, width), and every user: (n_users, width)."""
    width = columns.shape[1]
    total, count = np.empty(width), np.empty(width)
    lanes, ones = lanes_of(total), repeat(1.0)
    quad_end = width // lanes * lanes
    for x in range(len(users)):
        total[:] = 0
        count[:] = 0
        for p in range(np.uint64(indptr[users[x]]), np.uint64(indptr[users[x] + 1])):
            column = row_of(columns, items[p])
            for c in range(0, quad_end, lanes):
                d = load(column, c)
                store(total, c, add(load(total, c), where_known(d, d)))
                store(count, c, add(load(count, c), where_known(d, ones)))
            for c in range(quad_end, width):
                total[c] += _or_zero(number(column, c))
                count[c] += 1.0 if number(column, c) == number(column, c) else 0.0
        for c in range(width):
            out[x, c] = total[c] / count[c] if count[c] > 0 else 0.0
