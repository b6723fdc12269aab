"""Kernels of similarities of all pairs of rows x, computed from sums over the columns y that both rated.

The upper triangle is computed tile by tile, so that a tile's sums stay in the cache. One pass fills the
matrices of all measures that can be computed from its sums. Sums run in the order of y, and formulas are
evaluated in the order of scikit-surprise, so that similarities are equal to the bit and ties are the same.
"""

from math import sqrt

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array

COSINE, MSD, PEARSON = range(3)
SUMS_PER_MEASURE = (4, 2, 6)  # for COSINE, MSD and PEARSON; the sums for PEARSON suffice for all three


@kernel
def fill_similarities(
    indptr: Int64Array,
    raters: Int32Array,
    values: Float64Array,
    start: int,
    stop: int,
    summed_measure: int,
    n_sums: int,
    width: int,
    measures: Int64Array,
    min_support: int,
    shrinkage: float,
    sims: FloatArray,
) -> None:
    """Fill `sims[m]` by `measures[m]` for each pair of a row of start..stop and a later row, both ways.

    The sums are those for the measure `summed_measure`. y was rated by `raters[indptr[y]:indptr[y + 1]]`, in
    ascending order, with parallel `values`. Tiles are `width` columns wide. Pairs with fewer than
    `min_support` common ratings have similarity 0. With a `shrinkage` of 0, similarities are not shrunk.
    """
    n_x, n_y = sims.shape[1], len(indptr) - 1
    row_first, row_last = np.empty(n_y, np.int64), np.empty(n_y, np.int64)
    next_column = np.empty(n_y, np.int64)
    for y in range(n_y):  # bounds of the part of y's list that is in rows start..stop
        row_first[y] = next_column[y] = _find_first(raters, indptr[y], indptr[y + 1], start)
        row_last[y] = _find_first(raters, row_first[y], indptr[y + 1], stop)
    sums = np.empty((stop - start, width * n_sums))
    for left in range(start, n_x, width):
        right = min(left + width, n_x)
        sums[:, : n_sums * (right - left)] = 0
        for y in range(n_y):
            if row_first[y] == row_last[y]:
                continue
            column_first = next_column[y]
            column_last = next_column[y] = _find_first(raters, column_first, indptr[y + 1], right)
            if summed_measure == MSD:
                _add_differences(
                    raters, values, row_first[y], row_last[y], column_first, column_last, start, left, sums
                )
            elif summed_measure == COSINE:
                _add_products(
                    raters, values, row_first[y], row_last[y], column_first, column_last, start, left, sums
                )
            else:
                _add_moments(
                    raters, values, row_first[y], row_last[y], column_first, column_last, start, left, sums
                )
        for m in range(len(measures)):
            _write_tile(
                sums, start, stop, left, right, summed_measure, n_sums,
                measures[m], min_support, shrinkage, sims[m],
            )  # fmt: skip
    for x in range(start, stop):
        sims[:, x, x] = 1


@kernel
def _write_tile(
    sums: Float64Array,
    start: int,
    stop: int,
    left: int,
    right: int,
    summed_measure: int,
    n_sums: int,
    measure: int,
    min_support: int,
    shrinkage: float,
    sim: FloatArray,
) -> None:
    """Write the similarities of a tile, rows start..stop and columns left..right, and their mirror image."""
    for x in range(start, stop):
        for other in range(max(left, x + 1), right):
            at = n_sums * (other - left)
            n, similarity = sums[x - start, at], 0.0
            if n >= max(min_support, 1):
                similarity = _similarity(sums[x - start, at : at + n_sums], summed_measure, measure)
                if shrinkage > 0:
                    similarity *= (n - 1) / (n - 1 + shrinkage)
            sim[x, other] = similarity if np.isfinite(similarity) else 0.0
    for other in range(left, right):
        for x in range(start, min(stop, other)):
            sim[other, x] = sim[x, other]


@kernel
def _find_first(ascending: Int32Array, low: int, high: int, number: int) -> int:
    """Return the position in low..high of the first entry that is at least `number`."""
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low


# The three functions below combine, for one y, each rating in row_first..row_last (the tile's rows) with each
# later rating in column_first..column_last (the tile's columns). Unsigned indices avoid the check for
# negative indices, which takes a quarter of the time.


@kernel
def _add_differences(
    raters: Int32Array,
    values: Float64Array,
    row_first: int,
    row_last: int,
    column_first: int,
    column_last: int,
    start: int,
    left: int,
    sums: Float64Array,
) -> None:
    """Update, for each pair, the number of common ratings and the sum of squared differences."""
    for p in range(row_first, row_last):
        row, value, later_first = sums[raters[p] - start], values[p], max(column_first, p + 1)
        others, other_values = raters[later_first:column_last], values[later_first:column_last]
        for q in range(len(others)):
            at = np.uint64(2 * (others[q] - left))
            difference = value - other_values[q]
            row[at] += 1.0
            row[at + np.uint64(1)] += difference * difference


@kernel
def _add_products(
    raters: Int32Array,
    values: Float64Array,
    row_first: int,
    row_last: int,
    column_first: int,
    column_last: int,
    start: int,
    left: int,
    sums: Float64Array,
) -> None:
    """Update, for each pair, the number of common ratings, the sum of products, and both sums of squares."""
    for p in range(row_first, row_last):
        row, value, later_first = sums[raters[p] - start], values[p], max(column_first, p + 1)
        others, other_values = raters[later_first:column_last], values[later_first:column_last]
        square = value * value
        for q in range(len(others)):
            at = np.uint64(4 * (others[q] - left))
            row[at] += 1.0
            row[at + np.uint64(1)] += value * other_values[q]
            row[at + np.uint64(2)] += square
            row[at + np.uint64(3)] += other_values[q] * other_values[q]


@kernel
def _add_moments(
    raters: Int32Array,
    values: Float64Array,
    row_first: int,
    row_last: int,
    column_first: int,
    column_last: int,
    start: int,
    left: int,
    sums: Float64Array,
) -> None:
    """Update, for each pair, the sums of `_add_products` and both sums of ratings."""
    for p in range(row_first, row_last):
        row, value, later_first = sums[raters[p] - start], values[p], max(column_first, p + 1)
        others, other_values = raters[later_first:column_last], values[later_first:column_last]
        square = value * value
        for q in range(len(others)):
            at = np.uint64(6 * (others[q] - left))
            row[at] += 1.0
            row[at + np.uint64(1)] += value * other_values[q]
            row[at + np.uint64(2)] += square
            row[at + np.uint64(3)] += other_values[q] * other_values[q]
            row[at + np.uint64(4)] += value
            row[at + np.uint64(5)] += other_values[q]


@kernel
def _similarity(sums: Float64Array, summed_measure: int, measure: int) -> float:
    """Return the similarity computed from a pair's sums; not finite if undefined."""
    n: float = sums[0]
    if measure == MSD:
        squares: float = sums[1] if summed_measure == MSD else sums[2] - 2 * sums[1] + sums[3]
        return 1 / (squares / n + 1)
    if measure == COSINE:
        product: float = sums[1]
        return product / sqrt(sums[2] * sums[3])
    covariance: float = n * sums[1] - sums[4] * sums[5]
    variances: float = (n * sums[2] - sums[4] * sums[4]) * (n * sums[3] - sums[5] * sums[5])
    return covariance / sqrt(variances)
