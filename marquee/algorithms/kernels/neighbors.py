"""Kernels of the k-nearest-neighbor models: weighted averages over the k nearest raters.

The k largest of n similarities are selected by a threshold, which is found by bisection: counting the
similarities above a value takes one pass in vector registers, and a dozen such passes cost less than a sort
or a heap. Sums run over all n similarities, with weight 0 for those not selected, so that their order is
fixed.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import (
    add,
    keep_above,
    lanes_of,
    load,
    multiply_add,
    repeat,
    sum_lanes,
    zeros,
)
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array

MAX_STEPWISE_VALUES = 6  # with at most this many values left, they are tried from the highest down
BISECTIONS_PER_ROUND = 8  # bisections before the highest value left is tried, in case it occurs several times


@kernel
def average_neighbor_offsets(
    sim: FloatArray,
    xs: Int32Array,
    ys: Int32Array,
    order: Int64Array,
    indptr: Int64Array,
    raters: Int32Array,
    offsets: Float64Array,
    k: int,
    max_raters: int,
    averages: Float64Array,
    counts: Int32Array,
) -> None:
    """Write, for each pair, the average offset and the number of the neighbors of x among the raters of y.

    Pairs (xs[n], ys[n]) are visited in the given `order`; if it sorts them by x, a row of `sim` stays in the
    cache. y was rated by `raters[indptr[y]:indptr[y + 1]]`, at most `max_raters` of them, with parallel
    `offsets`. The neighbors are the k most similar raters (of equally similar ones, the first in the list),
    without those whose similarity is not positive. The average is weighted by similarity; without neighbors,
    it is 0. If x or y is unknown (negative), the number is -1.
    """
    scratch = np.empty(max_raters)
    for n in order:
        x, y = xs[n], ys[n]
        averages[n], counts[n] = 0.0, -1
        if x < 0 or y < 0:
            continue
        start, stop = indptr[y], indptr[y + 1]
        y_raters, y_offsets, row = raters[start:stop], offsets[start:stop], sim[x]
        s = scratch[: stop - start]
        for j in range(len(s)):
            s[j] = row[np.uint32(y_raters[j])]
        positive = _count_above(s, 0.0)
        threshold, ties = _find_threshold(s, k, positive) if positive > k else (0.0, 0)
        weight, total = _sums_above(s, y_offsets, threshold)
        for j in range(len(s) if ties else 0):
            if s[j] == threshold:
                weight += threshold
                total += threshold * y_offsets[j]
                ties -= 1
                if ties == 0:
                    break
        counts[n] = min(positive, k)
        if weight > 0:
            averages[n] = total / weight


@kernel
def _sums_above(s: Float64Array, y_offsets: Float64Array, threshold: float) -> tuple[float, float]:
    """Return the sum of the similarities above a threshold, and of their products with `y_offsets`."""
    lanes = lanes_of(s)
    bound, w0, w1, t0, t1 = repeat(threshold), zeros(s), zeros(s), zeros(s), zeros(s)
    vector_end = len(s) // (2 * lanes) * (2 * lanes)
    for j in range(0, vector_end, 2 * lanes):
        even, odd = keep_above(load(s, j), bound), keep_above(load(s, j + lanes), bound)
        w0, w1 = add(w0, even), add(w1, odd)
        t0, t1 = multiply_add(even, load(y_offsets, j), t0), multiply_add(odd, load(y_offsets, j + lanes), t1)
    weight, total = sum_lanes(add(w0, w1)), sum_lanes(add(t0, t1))
    for j in range(vector_end, len(s)):
        w = s[j] if s[j] > threshold else 0.0
        weight += w
        total += w * y_offsets[j]
    return weight, total


@kernel
def _find_threshold(s: Float64Array, k: int, positive: int) -> tuple[float, int]:
    """Return v and t such that the k largest are those above v and the first t of those equal to v.

    `positive`, the number of positive similarities, must exceed k.
    """
    bits = s.view(np.int64)
    low, above_low = 0.0, positive
    high, above_high = _highest_at_most(s, bits, np.inf), 0
    while True:  # invariant: low < k-th largest <= high
        for _ in range(BISECTIONS_PER_ROUND):
            middle = 0.5 * (low + high)
            if above_low - above_high <= MAX_STEPWISE_VALUES or not low < middle < high:
                break
            above = _count_above(s, middle)
            if above == k:
                return middle, 0
            if above > k:
                low, above_low = middle, above
            else:
                high, above_high = middle, above
        highest = _highest_at_most(s, bits, high)
        below = np.nextafter(highest, 0.0)
        above = _count_above(s, below)
        if above == k:
            return below, 0
        if above > k:
            return highest, k - above_high
        high, above_high = below, above


@kernel
def _count_above(s: Float64Array, value: float) -> int:
    """Return the number of elements greater than a value."""
    n = 0
    for j in range(len(s)):
        n += s[j] > value
    return n


@kernel
def _highest_at_most(s: Float64Array, bits: Int64Array, bound: float) -> float:
    """Return the highest element that does not exceed a bound; at least one must be positive.

    Positive floats have the order of their bits. The maximum of integers compiles to vector instructions;
    that of floats, which may be NaN, does not.
    """
    highest_bits = np.int64(0)
    for j in range(len(s)):
        candidate = bits[j] if s[j] <= bound else np.int64(0)
        highest_bits = max(highest_bits, candidate)
    result = np.int64(highest_bits)
    return result.view(np.float64)
