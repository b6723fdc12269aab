"""Kernels of non-negative matrix factorization: updates of the factors of one side, and of the biases."""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.simd_vectors import (
    add,
    dot,
    lanes_of,
    load,
    multiply,
    multiply_add,
    number,
    repeat,
    row_of,
    store,
    sum_lanes,
    zeros,
)
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array

WIDTH_MULTIPLE = 8  # factors are padded to a multiple of this width: whole vectors in both precisions


@kernel
def update_factors(
    start: int,
    stop: int,
    indptr: Int64Array,
    others: Int32Array,
    values: FloatArray,
    estimates: FloatArray,
    factors: FloatArray,
    other_factors: FloatArray,
    reg: float,
    out: FloatArray,
    squared_errors: Float64Array,
) -> None:
    """Write the updated factors of rows start..stop, and each row's sum of squared errors before the update.

    `estimates` are parallel to `values`; if they are empty, dot products of the factors take their place.
    Four ratings are added at a time, because loading and storing the sums for each rating took twice as long.
    A factor of 0 stays 0, so factors may be padded with zeros.
    """
    width = factors.shape[1]
    has_estimates = len(estimates) > 0
    numerator, denominator = np.empty_like(factors[0]), np.empty_like(factors[0])
    for g in range(start, stop):
        own = row_of(factors, g)
        numerator[:] = 0
        denominator[:] = 0
        total = 0.0
        first, end = indptr[g], indptr[g + 1]
        for t in range(first, end - 3, 4):
            a, b = row_of(other_factors, others[t]), row_of(other_factors, others[t + 1])
            c, d = row_of(other_factors, others[t + 2]), row_of(other_factors, others[t + 3])
            ra, rb, rc, rd = values[t], values[t + 1], values[t + 2], values[t + 3]
            if has_estimates:
                ea, eb, ec, ed = estimates[t], estimates[t + 1], estimates[t + 2], estimates[t + 3]
            else:
                ea, eb, ec, ed = _four_dots(own, a, b, c, d, width)
            _add_four(numerator, a, b, c, d, ra, rb, rc, rd)
            _add_four(denominator, a, b, c, d, ea, eb, ec, ed)
            total += (ra - ea) ** 2 + (rb - eb) ** 2 + (rc - ec) ** 2 + (rd - ed) ** 2
        for t in range(end - (end - first) % 4, end):
            a, ra = row_of(other_factors, others[t]), values[t]
            ea = estimates[t] if has_estimates else dot(own, a, width)
            for f in range(width):
                numerator[f] += number(a, f) * ra
                denominator[f] += number(a, f) * ea
            total += (ra - ea) ** 2
        squared_errors[g] = total
        shrink = reg * (end - first)
        for f in range(width):
            x = number(own, f)
            out[g, f] = x * numerator[f] / (denominator[f] + shrink * x) if x != 0 else x


@kernel
def _four_dots(own: Any, a: Any, b: Any, c: Any, d: Any, width: int) -> tuple[Any, Any, Any, Any]:
    """Return the dot products of `own` with four rows; the width must be a multiple of `WIDTH_MULTIPLE`."""
    sa = sb = sc = sd = zeros(own)
    for f in range(0, width, lanes_of(own)):
        x = load(own, f)
        sa, sb = multiply_add(x, load(a, f), sa), multiply_add(x, load(b, f), sb)
        sc, sd = multiply_add(x, load(c, f), sc), multiply_add(x, load(d, f), sd)
    return sum_lanes(sa), sum_lanes(sb), sum_lanes(sc), sum_lanes(sd)


@kernel
def _add_four(out: FloatArray, a: Any, b: Any, c: Any, d: Any, xa: Any, xb: Any, xc: Any, xd: Any) -> None:
    """Add xa a + xb b + xc c + xd d to `out`, whose length is a multiple of `WIDTH_MULTIPLE`."""
    xa, xb, xc, xd = repeat(xa), repeat(xb), repeat(xc), repeat(xd)
    for f in range(0, len(out), lanes_of(out)):
        ab = multiply_add(load(b, f), xb, multiply(load(a, f), xa))
        abc = multiply_add(load(c, f), xc, ab)
        store(out, f, add(load(out, f), multiply_add(load(d, f), xd, abc)))


@kernel
def update_biases_and_estimates(
    indptr: Int64Array,
    items: Int32Array,
    values: Float64Array,
    mean: float,
    rates: Float64Array,
    decays: Float64Array,
    bu: FloatArray,
    bi: FloatArray,
    estimates: Float64Array,
) -> None:
    """Update the biases by SGD at every rating, user by user, and turn dot products into estimates.

    `estimates` holds the dot products; the mean and the biases before the update are added to them in place.
    `rates` and `decays` are those of bu and bi.
    """
    rate_u, rate_i = rates
    decay_u, decay_i = decays
    for u in range(len(indptr) - 1):
        b = bu[u]
        for t in range(indptr[u], indptr[u + 1]):
            i = items[t]
            estimate = estimates[t] + mean + bi[i] + b
            err = values[t] - estimate
            estimates[t] = estimate
            b = decay_u * b + rate_u * err
            bi[i] = decay_i * bi[i] + rate_i * err
        bu[u] = b
