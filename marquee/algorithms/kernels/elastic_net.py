"""Kernels of SLIM: an elastic net for each item, by coordinate descent on products of items (Gram matrix).

The elastic net of an item is the vector w that minimizes w'Gw / 2 - w'g + l1 |w|_1 + l2 |w|^2 / 2, where G
holds the products of the other items with each other, and g those with this item. Friedman, Hastie and
Tibshirani (2010), Regularization Paths for Generalized Linear Models via Coordinate Descent, section 2.2.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float32Array, Float64Array, Int32Array

NOBODY = -1  # end of a chain, and no item to skip


@kernel
def solve_items(
    G: Float32Array,
    l1: float,
    l2: float,
    is_nonnegative: bool,
    tolerance: float,
    max_sweeps: int,
    out: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Write the elastic nets of items start..stop to the rows of `out`; G is symmetric (n_items, n_items)."""
    gradient = np.empty(len(G), np.float32)
    for i in range(start, stop):
        for j in range(len(G)):
            gradient[j], out[i - start, j] = G[i, j], 0
        _descend(G, gradient, i, l1, l2, is_nonnegative, tolerance, max_sweeps, out[i - start])


@kernel
def solve_items_with_candidates(
    G: Float32Array,
    item_indptr: Int32Array,
    item_users: Int32Array,
    item_values: Float64Array,
    n_users: int,
    candidate_indptr: Int32Array,
    candidates: Int32Array,
    l1: float,
    l2: float,
    is_nonnegative: bool,
    tolerance: float,
    max_sweeps: int,
    out: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Write the elastic nets of items start..stop, in which only their candidates have weights.

    The candidates of item i are `candidates[candidate_indptr[i]:candidate_indptr[i + 1]]`; their weights are
    written to the same positions of `out`. G may be empty: then the products are computed from the values of
    the items, and are equal to those in G.
    """
    last_entry = np.full(0 if len(G) else n_users, NOBODY, np.int32)
    for i in range(start, stop):
        first, n = candidate_indptr[i], candidate_indptr[i + 1] - candidate_indptr[i]
        items = np.empty(n + 1, np.int32)
        for a in range(n):
            items[a], out[first + a] = candidates[first + a], 0
        items[n] = i
        square = np.zeros((n + 1, n + 1), np.float64)
        if len(G):
            for a in range(n + 1):
                for b in range(a):
                    square[a, b] = G[items[a], items[b]]
                square[a, a] = G[items[a], items[a]]
        else:
            _sum_products(items, item_indptr, item_users, item_values, last_entry, square)
        products, gradient = np.empty((n, n), np.float32), np.empty(n, np.float32)
        for a in range(n):
            gradient[a] = square[n, a]
            for b in range(n):
                products[a, b] = square[max(a, b), min(a, b)]
        _descend(
            products, gradient, NOBODY, l1, l2, is_nonnegative, tolerance, max_sweeps, out[first : first + n]
        )


@kernel
def _sum_products(
    items: Int32Array,
    item_indptr: Int32Array,
    item_users: Int32Array,
    item_values: Float64Array,
    last_entry: Int32Array,
    square: Float64Array,
) -> None:
    """Write the products of these items to the lower triangle of `square`, summed in the order of users.

    The values of a user's items so far are chained: `last_entry` has the last one of each user, `NOBODY` on
    entry and exit.
    """
    n_entries = 0
    for a in range(len(items)):
        n_entries += item_indptr[items[a] + 1] - item_indptr[items[a]]
    previous, rows, values = np.empty(n_entries, np.int32), np.empty(n_entries, np.int32), np.empty(n_entries)
    n = 0
    for a in range(len(items)):
        for t in range(item_indptr[items[a]], item_indptr[items[a] + 1]):
            user, value = item_users[t], item_values[t]
            previous[n], rows[n], values[n] = last_entry[user], a, value
            last_entry[user] = n
            entry = n
            while entry != NOBODY:
                square[a, rows[entry]] += value * values[entry]
                entry = previous[entry]
            n += 1
    for a in range(len(items)):
        for t in range(item_indptr[items[a]], item_indptr[items[a] + 1]):
            last_entry[item_users[t]] = NOBODY


@kernel
def _descend(
    G: Float32Array,
    gradient: Float32Array,
    skipped: int,
    l1: float,
    l2: float,
    is_nonnegative: bool,
    tolerance: float,
    max_sweeps: int,
    w: Float32Array,
) -> None:
    """Minimize over one weight after the other until no weight changes by more than `tolerance`.

    `w` must be 0, and `gradient` g; it is g - Gw afterwards. Weight `skipped` stays 0.
    """
    for _ in range(max_sweeps):
        largest_change = np.float32(0)
        for j in range(len(w)):
            if j == skipped or G[j, j] + l2 <= 0:
                continue
            target = gradient[j] + G[j, j] * w[j]
            weight = float(max(target - l1, 0.0))
            if not is_nonnegative:
                weight += min(target + l1, 0.0)
            change = np.float32(weight / (G[j, j] + l2) - w[j])
            if change != 0:
                w[j] += change
                _subtract(G[j], change, gradient)
                largest_change = np.float32(max(largest_change, abs(change)))
        if largest_change <= tolerance:
            break


@kernel
def _subtract(row: Float32Array, factor: np.float32, out: Float32Array) -> None:
    """Subtract a multiple of a row."""
    for x in range(len(out)):
        out[x] -= factor * row[x]
