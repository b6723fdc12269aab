"""Stochastic gradient descent on biases and factors: an epoch of SVD, an epoch of SVD++, and their dots.

A step with learning rate g and regularisation l is x <- x + g (e y - l x), written here as
x <- decay x + rate e y with rate = g and decay = 1 - g l. All arrays and scalars are of one dtype.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.prefetch import prefetch_row
from marquee.algorithms.kernels.vectors import (
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
from marquee.arrays import Float64Array, FloatArray, Int32Array, Int64Array

AHEAD = 8  # ratings between asking for an item's factors and using them


@kernel
def svd_epoch(
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
    """Visit every rating once, user by user; return the sum of the squared errors met.

    `rates` and `decays` are those of bu, bi, pu, qi. A step and the dot product of the user's next rating
    share one pass over the factors: three loads and two stores where two passes take four and two.
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
            prefetch_row(qi, items[min(t + AHEAD, n_ratings - 1)])
            err = values[t] - (mean + bu[u] + bi[i] + product)
            total += err * err
            if biased:
                bu[u] = decay_bu * bu[u] + rate_bu * err
                bi[i] = decay_bi * bi[i] + rate_bi * err
            step_p, step_q = rate_p * err, rate_q * err
            following = items[t + 1] if t + 1 < stop else i
            if following != i:
                ahead = row_of(qi, following)
                product = _step_and_dot(p, q, ahead, n_factors, decay_p, decay_q, step_p, step_q)
            else:  # the user's last rating, or one that the same item follows, which this step changes
                _step_and_dot(p, q, p, n_factors, decay_p, decay_q, step_p, step_q)
                product = dot(p, q, n_factors)
    return total


@kernel
def _step_and_dot(
    p: Any, q: Any, ahead: Any, n: int, decay_p: Any, decay_q: Any, step_p: Any, step_q: Any
) -> Any:
    """Step n factors of p and q; return the dot product of the new p and the row that comes next."""
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
        was_p, was_q = number(p, f), number(q, f)
        now_p = decay_p * was_p + step_p * was_q
        result += now_p * number(ahead, f)
        set_number(p, f, now_p)
        set_number(q, f, decay_q * was_q + step_q * was_p)
    return result


@kernel
def svdpp_epoch(
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
    r"""Visit every rating once, user by user; return the sum of the squared errors met.

    `rates` and `decays` are those of bu, bi, pu, qi, yj. With n ratings of the user and w the sum of
    their y_j over sqrt(n), a rating's step moves every one of the y_j in the same way,

        y_j <- decay y_j + (rate e / sqrt(n)) q,   hence   w <- decay w + rate e q,

    so w alone is carried through the user's ratings, and all steps are applied to the y_j at once:

        y_j <- decay^n y_j + (w_end - decay^n w_start) / sqrt(n).

    This is the same model at the cost of SVD, where visiting every y_j at each rating costs n times it.
    A user who rated an item twice moves that item's y_j twice a step: for him the steps are taken literally.
    """
    rate_bu, rate_bi, rate_p, rate_q, rate_y = rates
    decay_bu, decay_bi, decay_p, decay_q, decay_y = decays
    n_factors = pu.shape[1]
    w, w_start = np.empty_like(pu[0]), np.empty_like(pu[0])
    last_rater = np.full(len(qi), -1, np.int32)
    total = 0.0
    for u in range(len(indptr) - 1):
        p = row_of(pu, u)
        rated = items[indptr[u] : indptr[u + 1]]
        root = np.sqrt(pu.dtype.type(len(rated)))
        literal = _marks_twice(rated, last_rater, u)
        _implicit(rated, yj, root, w)
        _copy(w, w_start)
        for t in range(len(rated)):
            i = rated[t]
            q = row_of(qi, i)
            prefetch_row(qi, rated[min(t + AHEAD, len(rated) - 1)])
            if literal:
                _implicit(rated, yj, root, w)
            err = values[indptr[u] + t] - (mean + bu[u] + bi[i] + _dot_of_sum(p, w, q, n_factors))
            total += err * err
            bu[u] = decay_bu * bu[u] + rate_bu * err
            bi[i] = decay_bi * bi[i] + rate_bi * err
            step_p, step_q, step_y = rate_p * err, rate_q * err, rate_y * err
            if literal:
                for j in rated:
                    for f in range(n_factors):
                        yj[j, f] = decay_y * yj[j, f] + step_y / root * qi[i, f]
            _step_all(p, q, w, n_factors, decay_p, decay_q, decay_y, step_p, step_q, step_y)
        if not literal:
            decay = decay_y ** len(rated)
            for f in range(n_factors):
                w[f] = (w[f] - decay * w_start[f]) / root
            for j in rated:
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
    """Step n factors of p, q and w."""
    lanes = lanes_of(p)
    d_p, d_q, d_w = repeat(decay_p), repeat(decay_q), repeat(decay_w)
    s_p, s_q, s_w = repeat(step_p), repeat(step_q), repeat(step_w)
    vector_end = n // lanes * lanes
    for f in range(0, vector_end, lanes):
        was_p, was_q, was_w = load(p, f), load(q, f), load(w, f)
        store(p, f, add(multiply(d_p, was_p), multiply(s_p, was_q)))
        store(q, f, add(multiply(d_q, was_q), multiply(s_q, add(was_p, was_w))))
        store(w, f, add(multiply(d_w, was_w), multiply(s_w, was_q)))
    for f in range(vector_end, n):
        one_p, one_q, one_w = number(p, f), number(q, f), number(w, f)
        set_number(p, f, decay_p * one_p + step_p * one_q)
        set_number(q, f, decay_q * one_q + step_q * (one_p + one_w))
        set_number(w, f, decay_w * one_w + step_w * one_q)


@kernel
def _dot_of_sum(a: Any, b: FloatArray, c: Any, n: int) -> Any:
    """The dot product of the first n numbers of a + b and of c, in the order of `dot`."""
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
def dots(pu: FloatArray, users: Int32Array, items: Int32Array, qi: FloatArray, out: Float64Array) -> None:
    """The dot product of each pair's factors; 0 where the user or the item is unknown (negative)."""
    for n in range(len(users)):
        out[n] = 0
        if users[n] >= 0 and items[n] >= 0:
            out[n] = dot(row_of(pu, users[n]), row_of(qi, items[n]), pu.shape[1])


@kernel
def implicit_factors(users: Int32Array, indptr: Int64Array, items: Int32Array, yj: FloatArray, out: FloatArray) -> None:
    """Of each of these users, the sum of the y_j of the rated items over the root of their number."""
    for n in range(len(users)):
        rated = items[indptr[users[n]] : indptr[users[n] + 1]]
        _implicit(rated, yj, np.sqrt(yj.dtype.type(len(rated))), out[n])


@kernel
def _implicit(rated: Int32Array, yj: FloatArray, root: np.floating[Any], out: FloatArray) -> None:
    out[:] = 0
    for j in rated:
        y = yj[j]
        for f in range(len(out)):
            out[f] += y[f]
    for f in range(len(out)):
        out[f] /= root


@kernel
def _copy(a: FloatArray, out: FloatArray) -> None:
    """As `out[:] = a`, which would take seconds longer to compile."""
    for f in range(len(a)):
        out[f] = a[f]


@kernel
def _marks_twice(rated: Int32Array, last_rater: Int32Array, user: int) -> bool:
    """Whether an item is there twice; `last_rater` remembers who met each item last."""
    twice = False
    for j in rated:
        twice = twice or last_rater[j] == user
        last_rater[j] = user
    return twice
