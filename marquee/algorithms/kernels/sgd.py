"""Stochastic gradient descent on biases and factors: an epoch of SVD, an epoch of SVD++, and their dots.

A step with learning rate g and regularisation l is x <- x + g (e y - l x), written here as
x <- decay x + rate e y with rate = g and decay = 1 - g l. All arrays and scalars are of one dtype.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.prefetch import prefetch_row
from marquee.arrays import Floats, Indices, Integers, Real

AHEAD = 8  # ratings between asking for an item's factors and using them


@kernel
def svd_epoch(
    indptr: Indices,
    items: Integers,
    values: Real,
    bu: Real,
    bi: Real,
    pu: Real,
    qi: Real,
    mean: np.floating[Any],
    biased: bool,
    rates: Real,
    decays: Real,
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
        p = pu[u]
        start, stop = indptr[u], indptr[u + 1]
        dot = _dot(p, qi[items[start]])
        for t in range(start, stop):
            i = items[t]
            q = qi[i]
            prefetch_row(qi, items[min(t + AHEAD, n_ratings - 1)])
            err = values[t] - (mean + bu[u] + bi[i] + dot)
            total += err * err
            if biased:
                bu[u] = decay_bu * bu[u] + rate_bu * err
                bi[i] = decay_bi * bi[i] + rate_bi * err
            step_p, step_q = rate_p * err, rate_q * err
            following = items[t + 1] if t + 1 < stop else i
            if following != i:
                ahead = qi[following]
                dot = pu.dtype.type(0)
                for f in range(n_factors):
                    was_p, was_q = p[f], q[f]
                    now_p = decay_p * was_p + step_p * was_q
                    dot += now_p * ahead[f]
                    p[f] = now_p
                    q[f] = decay_q * was_q + step_q * was_p
            else:  # the user's last rating, or one that the same item follows, which this step changes
                for f in range(n_factors):
                    was_p, was_q = p[f], q[f]
                    p[f] = decay_p * was_p + step_p * was_q
                    q[f] = decay_q * was_q + step_q * was_p
                dot = _dot(p, q)
    return total


@kernel
def svdpp_epoch(
    indptr: Indices,
    items: Integers,
    values: Real,
    bu: Real,
    bi: Real,
    pu: Real,
    qi: Real,
    yj: Real,
    mean: np.floating[Any],
    rates: Real,
    decays: Real,
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
        p = pu[u]
        rated = items[indptr[u] : indptr[u + 1]]
        root = np.sqrt(pu.dtype.type(len(rated)))
        literal = _marks_twice(rated, last_rater, u)
        _implicit(rated, yj, root, w)
        _copy(w, w_start)
        for t in range(len(rated)):
            i = rated[t]
            q = qi[i]
            prefetch_row(qi, rated[min(t + AHEAD, len(rated) - 1)])
            if literal:
                _implicit(rated, yj, root, w)
            dot = pu.dtype.type(0)
            for f in range(n_factors):
                dot += (p[f] + w[f]) * q[f]
            err = values[indptr[u] + t] - (mean + bu[u] + bi[i] + dot)
            total += err * err
            bu[u] = decay_bu * bu[u] + rate_bu * err
            bi[i] = decay_bi * bi[i] + rate_bi * err
            step_p, step_q, step_y = rate_p * err, rate_q * err, rate_y * err
            if literal:
                for j in rated:
                    for f in range(n_factors):
                        yj[j, f] = decay_y * yj[j, f] + step_y / root * q[f]
            for f in range(n_factors):
                was_p, was_q, was_w = p[f], q[f], w[f]
                p[f] = decay_p * was_p + step_p * was_q
                q[f] = decay_q * was_q + step_q * (was_p + was_w)
                w[f] = decay_y * was_w + step_y * was_q
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
def dots(pu: Real, users: Integers, items: Integers, qi: Real, out: Floats) -> None:
    """The dot product of each pair's factors; 0 where the user or the item is unknown (negative)."""
    for n in range(len(users)):
        out[n] = _dot(pu[users[n]], qi[items[n]]) if users[n] >= 0 and items[n] >= 0 else 0.0


@kernel
def implicit_factors(users: Integers, indptr: Indices, items: Integers, yj: Real, out: Real) -> None:
    """Of each of these users, the sum of the y_j of the rated items over the root of their number."""
    for n in range(len(users)):
        rated = items[indptr[users[n]] : indptr[users[n] + 1]]
        _implicit(rated, yj, np.sqrt(yj.dtype.type(len(rated))), out[n])


@kernel
def _dot(a: Real, b: Real) -> np.floating[Any]:
    total = a.dtype.type(0)
    for f in range(len(a)):
        total += a[f] * b[f]
    return total


@kernel
def _implicit(rated: Integers, yj: Real, root: np.floating[Any], out: Real) -> None:
    out[:] = 0
    for j in rated:
        y = yj[j]
        for f in range(len(out)):
            out[f] += y[f]
    for f in range(len(out)):
        out[f] /= root


@kernel
def _copy(a: Real, out: Real) -> None:
    """As `out[:] = a`, which would take seconds longer to compile."""
    for f in range(len(a)):
        out[f] = a[f]


@kernel
def _marks_twice(rated: Integers, last_rater: Integers, user: int) -> bool:
    """Whether an item is there twice; `last_rater` remembers who met each item last."""
    twice = False
    for j in rated:
        twice = twice or last_rater[j] == user
        last_rater[j] = user
    return twice
