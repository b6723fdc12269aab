"""Kernels of SVD and SVD++: epochs of stochastic gradient descent, and predictions.

A step with learning rate g and regularization l is x <- x + g (e y - l x), written here as
x <- decay x + rate e y with rate = g and decay = 1 - g l. All arrays and scalars have the same dtype.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.prefetch import prefetch_row
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
    set_number,
    store,
    sum_lanes,
    zeros,
)
from marquee.array_types import Float64Array, FloatArray, Int32Array, Int64Array

PREFETCH_DISTANCE = 8  # ratings between prefetching an item's factors and using them


@kernel
def run_svd_epoch(
    indptr: Int64Array,
    items: Int32Array,
    values: FloatArray,
    bu: FloatArray,
    bi: FloatArray,
    pu: FloatArray,
    qi: FloatArray,
    mean: np.floating[Any],
    biased: bool,
    rates: FloatArray,
    decays: FloatArray,
) -> float:
    """Update biases and factors at every rating, user by user; return the sum of squared errors.

    Errors are those before the update at the rating. `rates` and `decays` are those of bu, bi, pu, qi. A step
    and the dot product of the user's next rating share one pass over the factors: it takes three loads and
    two stores, while two passes take four loads and two stores.
    """
    rate_bu, rate_bi, rate_p, rate_q = rates
    decay_bu, decay_bi, decay_p, decay_q = decays
    n_factors, n_ratings = pu.shape[1], len(items)
    total = 0.0
    for u in range(len(indptr) - 1):
        p = row_of(pu, u)
        start, stop = indptr[u], indptr[u + 1]
        product = dot(p, row_of(qi, items[start]), n_factors)
        for t in range(start, stop):
            i = items[t]
            q = row_of(qi, i)
            prefetch_row(qi, items[min(t + PREFETCH_DISTANCE, n_ratings - 1)])
            err = values[t] - (mean + bu[u] + bi[i] + product)
            total += err * err
            if biased:
                bu[u] = decay_bu * bu[u] + rate_bu * err
                bi[i] = decay_bi * bi[i] + rate_bi * err
            step_p, step_q = rate_p * err, rate_q * err
            next_item = items[t + 1] if t + 1 < stop else i
            if next_item != i:
                ahead = row_of(qi, next_item)
                product = _step_and_dot(p, q, ahead, n_factors, decay_p, decay_q, step_p, step_q)
            else:  # the user's last rating, or the next rating is of the same item, which this step changes
                _step_and_dot(p, q, p, n_factors, decay_p, decay_q, step_p, step_q)
                product = dot(p, q, n_factors)
    return total


@kernel
def _step_and_dot(
    p: Any, q: Any, ahead: Any, n: int, decay_p: Any, decay_q: Any, step_p: Any, step_q: Any
) -> Any:
    """Update n factors of p and q; return the dot product of the new p and `ahead`, the next item's row.

    All loads precede the stores, because a processor stalls on a load that might read from a pending store.
    """
    lanes = lanes_of(p)
    pair_end, vector_end = n // (2 * lanes) * (2 * lanes), n // lanes * lanes
    d_p, d_q, s_p, s_q = repeat(decay_p), repeat(decay_q), repeat(step_p), repeat(step_q)
    even = odd = zeros(p)
    for f in range(0, pair_end, 2 * lanes):
        g = f + lanes
        p0, p1, q0, q1 = load(p, f), load(p, g), load(q, f), load(q, g)
        a0, a1 = load(ahead, f), load(ahead, g)
        next0, next1 = add(multiply(d_p, p0), multiply(s_p, q0)), add(multiply(d_p, p1), multiply(s_p, q1))
        even, odd = multiply_add(next0, a0, even), multiply_add(next1, a1, odd)
        store(p, f, next0)
        store(p, g, next1)
        store(q, f, add(multiply(d_q, q0), multiply(s_q, p0)))
        store(q, g, add(multiply(d_q, q1), multiply(s_q, p1)))
    if pair_end < vector_end:
        p0, q0, a0 = load(p, pair_end), load(q, pair_end), load(ahead, pair_end)
        next0 = add(multiply(d_p, p0), multiply(s_p, q0))
        even = multiply_add(next0, a0, even)
        store(p, pair_end, next0)
        store(q, pair_end, add(multiply(d_q, q0), multiply(s_q, p0)))
    result = sum_lanes(add(even, odd))
    for f in range(vector_end, n):
        old_p, old_q = number(p, f), number(q, f)
        new_p = decay_p * old_p + step_p * old_q
        result += new_p * number(ahead, f)
        set_number(p, f, new_p)
        set_number(q, f, decay_q * old_q + step_q * old_p)
    return result


@kernel
def run_svdpp_epoch(
    indptr: Int64Array,
    items: Int32Array,
    values: FloatArray,
    bu: FloatArray,
    bi: FloatArray,
    pu: FloatArray,
    qi: FloatArray,
    yj: FloatArray,
    mean: np.floating[Any],
    rates: FloatArray,
    decays: FloatArray,
) -> float:
    r"""Update biases and factors at every rating, user by user; return the sum of squared errors.

    Errors are those before the update at the rating. `rates` and `decays` are those of bu, bi, pu, qi, yj. If
    the user has n ratings and w is the sum of their y_j over sqrt(n), each rating moves all y_j in the same
    way,

        y_j <- decay y_j + (rate e / sqrt(n)) q,   hence   w <- decay w + rate e q,

    so only w is updated at each rating, and all steps are applied to the y_j after the user's last rating:

        y_j <- decay^n y_j + (w_end - decay^n w_start) / sqrt(n).

    This is the same model at the cost of SVD; updating every y_j at each rating costs n times as much. If a
    user rated an item twice, each step moves that item's y_j twice, so the steps are applied one by one.
    """
    rate_bu, rate_bi, rate_p, rate_q, rate_y = rates
    decay_bu, decay_bi, decay_p, decay_q, decay_y = decays
    n_factors = pu.shape[1]
    w, w_start = np.empty_like(pu[0]), np.empty_like(pu[0])
    last_rater = np.full(len(qi), -1, np.int32)
    total = 0.0
    for u in range(len(indptr) - 1):
        p = row_of(pu, u)
        rated_items = items[indptr[u] : indptr[u + 1]]
        root = np.sqrt(pu.dtype.type(len(rated_items)))
        has_repeats = _has_repeats(rated_items, last_rater, u)
        _sum_implicit(rated_items, yj, root, w)
        _copy(w, w_start)
        for t in range(len(rated_items)):
            i = rated_items[t]
            q = row_of(qi, i)
            prefetch_row(qi, rated_items[min(t + PREFETCH_DISTANCE, len(rated_items) - 1)])
            if has_repeats:
                _sum_implicit(rated_items, yj, root, w)
            err = values[indptr[u] + t] - (mean + bu[u] + bi[i] + _dot_of_sum(p, w, q, n_factors))
            total += err * err
            bu[u] = decay_bu * bu[u] + rate_bu * err
            bi[i] = decay_bi * bi[i] + rate_bi * err
            step_p, step_q, step_y = rate_p * err, rate_q * err, rate_y * err
            if has_repeats:
                for j in rated_items:
                    for f in range(n_factors):
                        yj[j, f] = decay_y * yj[j, f] + step_y / root * qi[i, f]
            _step_all(p, q, w, n_factors, decay_p, decay_q, decay_y, step_p, step_q, step_y)
        if not has_repeats:
            decay = decay_y ** len(rated_items)
            for f in range(n_factors):
                w[f] = (w[f] - decay * w_start[f]) / root
            for j in rated_items:
                y = yj[j]
                for f in range(n_factors):
                    y[f] = decay * y[f] + w[f]
    return total


@kernel
def _step_all(
    p: Any,
    q: Any,
    w: FloatArray,
    n: int,
    decay_p: Any,
    decay_q: Any,
    decay_w: Any,
    step_p: Any,
    step_q: Any,
    step_w: Any,
) -> None:
    """Update n factors of p, q and w by one step of gradient descent."""
    lanes = lanes_of(p)
    d_p, d_q, d_w = repeat(decay_p), repeat(decay_q), repeat(decay_w)
    s_p, s_q, s_w = repeat(step_p), repeat(step_q), repeat(step_w)
    vector_end = n // lanes * lanes
    for f in range(0, vector_end, lanes):
        old_p, old_q, old_w = load(p, f), load(q, f), load(w, f)
        store(p, f, add(multiply(d_p, old_p), multiply(s_p, old_q)))
        store(q, f, add(multiply(d_q, old_q), multiply(s_q, add(old_p, old_w))))
        store(w, f, add(multiply(d_w, old_w), multiply(s_w, old_q)))
    for f in range(vector_end, n):
        p_f, q_f, w_f = number(p, f), number(q, f), number(w, f)
        set_number(p, f, decay_p * p_f + step_p * q_f)
        set_number(q, f, decay_q * q_f + step_q * (p_f + w_f))
        set_number(w, f, decay_w * w_f + step_w * q_f)


@kernel
def _dot_of_sum(a: Any, b: FloatArray, c: Any, n: int) -> Any:
    """Return the dot product of the first n numbers of a + b and of c, summed in the order of `dot`."""
    lanes = lanes_of(a)
    pair_end, vector_end = n // (2 * lanes) * (2 * lanes), n // lanes * lanes
    even = odd = zeros(a)
    for f in range(0, pair_end, 2 * lanes):
        even = multiply_add(add(load(a, f), load(b, f)), load(c, f), even)
        odd = multiply_add(add(load(a, f + lanes), load(b, f + lanes)), load(c, f + lanes), odd)
    if pair_end < vector_end:
        even = multiply_add(add(load(a, pair_end), load(b, pair_end)), load(c, pair_end), even)
    result = sum_lanes(add(even, odd))
    for f in range(vector_end, n):
        result += (number(a, f) + number(b, f)) * number(c, f)
    return result


@kernel
def compute_pair_dots(
    pu: FloatArray, users: Int32Array, items: Int32Array, qi: FloatArray, out: Float64Array
) -> None:
    """Write the dot product of each pair's factors, or 0 if the user or the item is unknown (negative)."""
    for n in range(len(users)):
        out[n] = 0
        if users[n] >= 0 and items[n] >= 0:
            out[n] = dot(row_of(pu, users[n]), row_of(qi, items[n]), pu.shape[1])


@kernel
def compute_implicit_factors(
    users: Int32Array, indptr: Int64Array, items: Int32Array, yj: FloatArray, out: FloatArray
) -> None:
    """Write, for each user, the sum of y_j over the n rated items, divided by sqrt(n)."""
    for n in range(len(users)):
        rated_items = items[indptr[users[n]] : indptr[users[n] + 1]]
        _sum_implicit(rated_items, yj, np.sqrt(yj.dtype.type(len(rated_items))), out[n])


@kernel
def _sum_implicit(rated_items: Int32Array, yj: FloatArray, root: np.floating[Any], out: FloatArray) -> None:
    out[:] = 0
    for j in rated_items:
        y = yj[j]
        for f in range(len(out)):
            out[f] += y[f]
    for f in range(len(out)):
        out[f] /= root


@kernel
def _copy(a: FloatArray, out: FloatArray) -> None:
    """Copy a to `out`; the equivalent `out[:] = a` takes seconds more to compile."""
    for f in range(len(a)):
        out[f] = a[f]


@kernel
def _has_repeats(rated_items: Int32Array, last_rater: Int32Array, user: int) -> bool:
    """Return True if the user rated an item twice; `last_rater` holds the last user seen for each item."""
    has_repeats = False
    for j in rated_items:
        has_repeats = has_repeats or last_rater[j] == user
        last_rater[j] = user
    return has_repeats
