"""Similarities of all pairs of rows from sums over what both rated: one triangle, a tile at a time.

One pass fills the matrices of as many measures as its sums will do for. A tile's sums stay in the cache.
Every sum runs in the order of y, as scikit-surprise's do, and each formula is evaluated in its order: the
bits are the same whatever the ratings, so ties are the same.
"""

from math import sqrt

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Float64Array, FloatArray, Int32Array, Int64Array

COSINE, MSD, PEARSON = range(3)
SUMS = (4, 2, 6)  # how many sums each gathers, of COSINE, MSD, PEARSON; PEARSON's will do for all three


@kernel
def similar_rows(
    indptr: Int64Array,
    raters: Int32Array,
    values: Float64Array,
    start: int,
    stop: int,
    gathered: int,
    n_sums: int,
    width: int,
    measures: Int64Array,
    min_support: int,
    shrinkage: float,
    sims: FloatArray,
) -> None:
    """Fill `sims[m]` by `measures[m]` for each pair of a row of start..stop and a later one, both ways.

    The sums are those of the measure `gathered`. y was rated by `raters[indptr[y]:indptr[y + 1]]`, in
    ascending order, with `values` beside them. Tiles are `width` columns wide. Pairs with fewer than
    `min_support` common ratings have similarity 0. A `shrinkage` of 0 shrinks nothing.
    """
    n_x, n_y = sims.shape[1], len(indptr) - 1
    first, last, here = np.empty(n_y, np.int64), np.empty(n_y, np.int64), np.empty(n_y, np.int64)
    for y in range(n_y):  # of y's list, the part that these rows are in
        first[y] = here[y] = _position(raters, indptr[y], indptr[y + 1], start)
        last[y] = _position(raters, first[y], indptr[y + 1], stop)
    sums = np.empty((stop - start, width * n_sums))
    for left in range(start, n_x, width):
        right = min(left + width, n_x)
        sums[:, : n_sums * (right - left)] = 0
        for y in range(n_y):
            if first[y] == last[y]:
                continue
            begin = here[y]
            end = here[y] = _position(raters, begin, indptr[y + 1], right)
            if gathered == MSD:
                _add_differences(raters, values, first[y], last[y], begin, end, start, left, sums)
            elif gathered == COSINE:
                _add_products(raters, values, first[y], last[y], begin, end, start, left, sums)
            else:
                _add_moments(raters, values, first[y], last[y], begin, end, start, left, sums)
        for m in range(len(measures)):
            _write(
                sums, start, stop, left, right, gathered, n_sums, measures[m], min_support, shrinkage, sims[m]
            )  # fmt: skip
    for x in range(start, stop):
        sims[:, x, x] = 1


@kernel
def _write(
    sums: Float64Array,
    start: int,
    stop: int,
    left: int,
    right: int,
    gathered: int,
    n_sums: int,
    measure: int,
    min_support: int,
    shrinkage: float,
    sim: FloatArray,
) -> None:
    """Write the similarities of a finished tile, rows start..stop and columns left..right, both ways."""
    for x in range(start, stop):
        for other in range(max(left, x + 1), right):
            at = n_sums * (other - left)
            n, similarity = sums[x - start, at], 0.0
            if n >= max(min_support, 1):
                similarity = _similarity(sums[x - start, at : at + n_sums], gathered, measure)
                if shrinkage > 0:
                    similarity *= (n - 1) / (n - 1 + shrinkage)
            sim[x, other] = similarity if np.isfinite(similarity) else 0.0
    for other in range(left, right):
        for x in range(start, min(stop, other)):
            sim[other, x] = sim[x, other]


@kernel
def _position(ascending: Int32Array, low: int, high: int, number: int) -> int:
    """Where between low and high the first entry of at least that number is."""
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low


# Of one y, each rating first..last of the tile's rows meets each rating begin..end of its columns, if that is
# later in the list. An unsigned index spares the check for a negative one: a quarter of the time.


@kernel
def _add_differences(
    raters: Int32Array,
    values: Float64Array,
    first: int,
    last: int,
    begin: int,
    end: int,
    start: int,
    left: int,
    sums: Float64Array,
) -> None:
    """Add to number of common ratings and sum of squared differences."""
    for p in range(first, last):
        row, mine, later = sums[raters[p] - start], values[p], max(begin, p + 1)
        others, theirs = raters[later:end], values[later:end]
        for q in range(len(others)):
            at = np.uint64(2 * (others[q] - left))
            difference = mine - theirs[q]
            row[at] += 1.0
            row[at + np.uint64(1)] += difference * difference


@kernel
def _add_products(
    raters: Int32Array,
    values: Float64Array,
    first: int,
    last: int,
    begin: int,
    end: int,
    start: int,
    left: int,
    sums: Float64Array,
) -> None:
    """Add to number, sum of products, and sums of squares of both."""
    for p in range(first, last):
        row, mine, later = sums[raters[p] - start], values[p], max(begin, p + 1)
        others, theirs = raters[later:end], values[later:end]
        square = mine * mine
        for q in range(len(others)):
            at = np.uint64(4 * (others[q] - left))
            row[at] += 1.0
            row[at + np.uint64(1)] += mine * theirs[q]
            row[at + np.uint64(2)] += square
            row[at + np.uint64(3)] += theirs[q] * theirs[q]


@kernel
def _add_moments(
    raters: Int32Array,
    values: Float64Array,
    first: int,
    last: int,
    begin: int,
    end: int,
    start: int,
    left: int,
    sums: Float64Array,
) -> None:
    """Add to number, sum of products, sums of squares, and sums of both."""
    for p in range(first, last):
        row, mine, later = sums[raters[p] - start], values[p], max(begin, p + 1)
        others, theirs = raters[later:end], values[later:end]
        square = mine * mine
        for q in range(len(others)):
            at = np.uint64(6 * (others[q] - left))
            row[at] += 1.0
            row[at + np.uint64(1)] += mine * theirs[q]
            row[at + np.uint64(2)] += square
            row[at + np.uint64(3)] += theirs[q] * theirs[q]
            row[at + np.uint64(4)] += mine
            row[at + np.uint64(5)] += theirs[q]


@kernel
def _similarity(sums: Float64Array, gathered: int, measure: int) -> float:
    """The similarity that a pair's sums give; not finite where it is not defined."""
    n: float = sums[0]
    if measure == MSD:
        squares: float = sums[1] if gathered == MSD else sums[2] - 2 * sums[1] + sums[3]
        return 1 / (squares / n + 1)
    if measure == COSINE:
        product: float = sums[1]
        return product / sqrt(sums[2] * sums[3])
    covariance: float = n * sums[1] - sums[4] * sums[5]
    variances: float = (n * sums[2] - sums[4] * sums[4]) * (n * sums[3] - sums[5] * sums[5])
    return covariance / sqrt(variances)
