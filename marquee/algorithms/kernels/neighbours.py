"""Weighted averages over the k nearest neighbours that rated: selection by threshold, without sorting.

Of n similarities the k largest are those above the k-th largest, which is found by bisection: counting
how many exceed a value takes one pass in vector registers, so a dozen passes cost less than one sort or
heap. Sums run over all n, with weight 0 for what is not chosen.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.vectors import (
    add,
    keep_above,
    lanes_of,
    load,
    multiply_add,
    repeat,
    sum_lanes,
    zeros,
)
from marquee.arrays import Float64Array, FloatArray, Int32Array, Int64Array

NARROW = 6  # so few values left between the bounds: take them one by one, from the top
HALVINGS = 8  # of the bounds, before a look at the highest value between them, which may be tied


@kernel
def average_pairs(
    sim: FloatArray,
    xs: Int32Array,
    ys: Int32Array,
    order: Int64Array,
    indptr: Int64Array,
    raters: Int32Array,
    offsets: Float64Array,
    k: int,
    longest: int,
    averages: Float64Array,
    counts: Int32Array,
) -> None:
    """Average offset of y's raters nearest to x, and how many they are, for each pair.

    Pairs (xs[n], ys[n]) are visited in this `order`: one sorted by x keeps a row of `sim` in the cache.
    y was rated by `raters[indptr[y]:indptr[y + 1]]`, at most `longest` of them, with `offsets` beside them.
    Of the k most similar (of equals, the first in the list) those with a positive similarity count. No
    such neighbour: the average is 0. x or y unknown (negative): the number is -1.
    """
    scratch = np.empty(longest)
    for n in order:
        x, y = xs[n], ys[n]
        averages[n], counts[n] = 0.0, -1
        if x < 0 or y < 0:
            continue
        start, stop = indptr[y], indptr[y + 1]
        who, what, row = raters[start:stop], offsets[start:stop], sim[x]
        s = scratch[: stop - start]
        for j in range(len(s)):
            s[j] = row[np.uint32(who[j])]
        positive = _above(s, 0.0)
        limit, ties = _limit(s, k, positive) if positive > k else (0.0, 0)
        weight, total = _sums_above(s, what, limit)
        for j in range(len(s) if ties else 0):
            if s[j] == limit:
                weight += limit
                total += limit * what[j]
                ties -= 1
                if ties == 0:
                    break
        counts[n] = min(positive, k)
        if weight > 0:
            averages[n] = total / weight


@kernel
def _sums_above(s: Float64Array, what: Float64Array, limit: float) -> tuple[float, float]:
    """The sum of the similarities above a limit, and of their products with `what` stands beside them."""
    lanes = lanes_of(s)
    bound, w0, w1, t0, t1 = repeat(limit), zeros(s), zeros(s), zeros(s), zeros(s)
    vector_end = len(s) // (2 * lanes) * (2 * lanes)
    for j in range(0, vector_end, 2 * lanes):
        even, odd = keep_above(load(s, j), bound), keep_above(load(s, j + lanes), bound)
        w0, w1 = add(w0, even), add(w1, odd)
        t0, t1 = multiply_add(even, load(what, j), t0), multiply_add(odd, load(what, j + lanes), t1)
    weight, total = sum_lanes(add(w0, w1)), sum_lanes(add(t0, t1))
    for j in range(vector_end, len(s)):
        w = s[j] if s[j] > limit else 0.0
        weight += w
        total += w * what[j]
    return weight, total


@kernel
def _limit(s: Float64Array, k: int, positive: int) -> tuple[float, int]:
    """A value v and a number t: the k largest are those above v, and the first t of those equal to v.

    More than k are `positive`.
    """
    bits = s.view(np.int64)
    low, above_low = 0.0, positive
    high, above_high = _highest(s, bits, np.inf), 0
    while True:  # the k-th largest is above low, and not above high
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            if above_low - above_high <= NARROW or not low < middle < high:
                break
            above = _above(s, middle)
            if above == k:
                return middle, 0
            if above > k:
                low, above_low = middle, above
            else:
                high, above_high = middle, above
        highest = _highest(s, bits, high)
        below = np.nextafter(highest, 0.0)
        above = _above(s, below)
        if above == k:
            return below, 0
        if above > k:
            return highest, k - above_high
        high, above_high = below, above


@kernel
def _above(s: Float64Array, value: float) -> int:
    """How many are greater than that value."""
    n = 0
    for j in range(len(s)):
        n += s[j] > value
    return n


@kernel
def _highest(s: Float64Array, bits: Int64Array, bound: float) -> float:
    """The highest that is not above a bound; at least one is positive.

    Positive floats are ordered as their bits are, and unlike floats, which may be NaN, integers have a
    maximum that runs in vector registers.
    """
    most = np.int64(0)
    for j in range(len(s)):
        candidate = bits[j] if s[j] <= bound else np.int64(0)
        most = max(most, candidate)
    found = np.int64(most)
    return found.view(np.float64)
