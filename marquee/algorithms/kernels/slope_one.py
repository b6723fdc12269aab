"""Slope One's pairs of items: how far apart they are rated, one triangle of them, and sums of its rows.

A triangle is the upper half of a square matrix, diagonal included, row after row. Numbers that index an
array in an inner loop are made unsigned: a signed one could mean "from the end", and to check costs as
much as to add.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Floats, Indices, Integers, Real


@kernel
def sort_by_item(
    user_starts: Indices,
    item_starts: Indices,
    raters: Integers,
    values: Floats,
    items: Integers,
    sorted_values: Floats,
    places: Integers,
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
    item_starts: Indices,
    raters: Integers,
    values: Floats,
    places: Integers,
    user_starts: Indices,
    items: Integers,
    sorted_values: Floats,
    freq: Integers,
    dev: Real,
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
def unfold(triangle: Real | Integers, start: int, stop: int, sign: int, out: Real | Integers) -> None:
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
    rows: Real, which: Integers, users: Integers, indptr: Indices, items: Integers, out: Floats
) -> None:
    """Of each pair (row, user), the mean of the row over those of the user's items where it is a number.

    Where it is none, 0.
    """
    for x in range(len(users)):
        row = rows[which[x]]
        total, count = 0.0, 0
        for p in range(np.uint64(indptr[users[x]]), np.uint64(indptr[users[x] + 1])):
            d = row[np.uint64(items[p])]
            known = d == d  # noqa: PLR0124  not NaN
            total += d if known else 0.0
            count += 1 if known else 0
        out[x] = total / count if count else 0.0


@kernel
def all_mean_deviations(
    columns: Real, users: Integers, indptr: Indices, items: Integers, out: Floats
) -> None:
    """The same for every one of some columns, shape (n_items, width), and every user: (n_users, width)."""
    width = columns.shape[1]
    total, count = np.empty(width), np.empty(width)
    for x in range(len(users)):
        total[:] = 0
        count[:] = 0
        for p in range(np.uint64(indptr[users[x]]), np.uint64(indptr[users[x] + 1])):
            column = columns[np.uint64(items[p])]
            for c in range(width):
                d = column[c]
                known = d == d  # noqa: PLR0124  not NaN
                total[c] += d if known else 0.0
                count[c] += 1.0 if known else 0.0
        for c in range(width):
            out[x, c] = total[c] / count[c] if count[c] > 0 else 0.0
