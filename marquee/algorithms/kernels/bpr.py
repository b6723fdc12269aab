"""Kernel of Bayesian personalized ranking: one epoch of stochastic gradient ascent.

Random numbers are hashes of a counter, so the rows of later steps are known and can be prefetched, and an
epoch depends only on its number and the seed.
"""

import math
from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.prefetch import prefetch_row
from marquee.algorithms.kernels.simd_vectors import (
    dot,
    lanes_of,
    load,
    multiply,
    multiply_add,
    multiply_subtract,
    number,
    repeat,
    row_of,
    set_number,
    store,
)
from marquee.array_types import FloatArray, Int32Array, Int64Array
from marquee.exponentials import exp_of_remainder
from marquee.logarithms import LN2_HIGH, LN2_LOW

PREFETCH_DISTANCE = 3  # steps between the prefetch of factors and their use
MAX_MARGIN = 500.0  # differences of scores are limited to this size before their exponential
_GOLDEN, _MIX_1, _MIX_2 = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_SHIFT_1, _SHIFT_2, _SHIFT_3, _HALF = (np.uint64(shift) for shift in (30, 27, 31, 32))

_exp_of_remainder = kernel(exp_of_remainder)


@kernel
def run_bpr_epoch(
    users: Int32Array,
    items: Int32Array,
    indptr: Int64Array,
    pu: FloatArray,
    qi: FloatArray,
    bi: FloatArray,
    rate: Any,
    decay: Any,
    n_candidates: int,
    counter: np.uint64,
) -> None:
    """Take as many steps as there are positives, with random numbers from `counter` on.

    A step draws a positive (u, i) and `n_candidates` items. With j the candidate that has the highest score
    and is no positive of u, and z the probability that s_uj > s_ui, it replaces

        p_u by decay p_u + rate z (q_i - q_j)
        q_i, q_j by decay q_i + rate z p_u, decay q_j - rate z p_u
        b_i, b_j by decay b_i + rate z, decay b_j - rate z

    The positives are (users[k], items[k]), in ascending order; user u has those in indptr[u]:indptr[u + 1].
    """
    n, n_items, n_factors = len(items), len(qi), pu.shape[1]
    draws = np.uint64(n_candidates + 1)  # random numbers of a step
    for t in range(n):
        first = counter + np.uint64(t) * draws
        _prefetch_step(users, items, pu, qi, n_candidates, first + np.uint64(PREFETCH_DISTANCE) * draws)
        k = _draw_below(first, n)
        u, i = users[k], items[k]
        p = row_of(pu, u)
        j, best = -1, bi.dtype.type(0)
        for c in range(n_candidates):
            item = _draw_below(first + np.uint64(c + 1), n_items)
            score = bi[item] + dot(p, row_of(qi, item), n_factors)
            if (j < 0 or score > best) and not _contains(items, indptr[u], indptr[u + 1], item):
                j, best = item, score
        if j < 0:  # all candidates are positives
            continue
        margin = bi[i] + dot(p, row_of(qi, i), n_factors) - best
        step = rate * bi.dtype.type(_chance_of_misrank(margin))
        _update_factors(p, row_of(qi, i), row_of(qi, j), n_factors, decay, step)
        bi[i] = decay * bi[i] + step
        bi[j] = decay * bi[j] - step


@kernel
def _prefetch_step(
    users: Int32Array, items: Int32Array, pu: FloatArray, qi: FloatArray, n_candidates: int, first: np.uint64
) -> None:
    """Prefetch the factors that the step with this counter uses."""
    k = _draw_below(first, len(items))
    prefetch_row(pu, users[k])
    prefetch_row(qi, items[k])
    for c in range(n_candidates):
        prefetch_row(qi, _draw_below(first + np.uint64(c + 1), len(qi)))


@kernel
def _draw_below(counter: np.uint64, n: int) -> Any:
    """Return a random number below n < 2^32: the upper half of a hash (SplitMix64), times n / 2^32.

    Steele, Lea and Flood (2014), Fast Splittable Pseudorandom Number Generators, figure 16.
    """
    z = counter * _GOLDEN
    z = (z ^ (z >> _SHIFT_1)) * _MIX_1
    z = (z ^ (z >> _SHIFT_2)) * _MIX_2
    z ^= z >> _SHIFT_3
    return np.int64(((z >> _HALF) * np.uint64(n)) >> _HALF)


@kernel
def _contains(items: Int32Array, start: int, stop: int, item: int) -> bool:
    """Return True if items start..stop, in ascending order, contain an item."""
    end = stop
    while start < stop:
        middle = (start + stop) // 2
        if items[middle] < item:
            start = middle + 1
        else:
            stop = middle
    return start < end and items[start] == item


@kernel
def _chance_of_misrank(margin: float) -> float:
    """Return 1 / (1 + e^margin)."""
    x = min(max(np.float64(margin), -MAX_MARGIN), MAX_MARGIN)
    k = np.rint(x / (LN2_HIGH + LN2_LOW))
    return 1.0 / (1.0 + math.ldexp(_exp_of_remainder(x, k), int(k)))


@kernel
def _update_factors(p: Any, a: Any, b: Any, n: int, decay: Any, step: Any) -> None:
    """Update the n factors of a user, of the positive and of the other item, as in `run_bpr_epoch`."""
    lanes = lanes_of(p)
    end, decays, steps = n // lanes * lanes, repeat(decay), repeat(step)
    for f in range(0, end, lanes):
        x, y, z = load(p, f), load(a, f), load(b, f)
        store(p, f, multiply_subtract(steps, z, multiply_add(steps, y, multiply(decays, x))))
        store(a, f, multiply_add(steps, x, multiply(decays, y)))
        store(b, f, multiply_subtract(steps, x, multiply(decays, z)))
    for f in range(end, n):
        u, v, w = number(p, f), number(a, f), number(b, f)
        set_number(p, f, decay * u + step * v - step * w)
        set_number(a, f, decay * v + step * u)
        set_number(b, f, decay * w - step * u)
