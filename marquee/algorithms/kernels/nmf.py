"""Non-negative factors: the multiplicative update of one side, and the estimates that biases move."""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Floats, Indices, Integers, Real

LANES = 8  # factors are padded to a multiple of this, for the compiler adds up so many at a time


@kernel
def update_factors(
    start: int,
    stop: int,
    indptr: Indices,
    others: Integers,
    values: Real,
    estimates: Real,
    factors: Real,
    other_factors: Real,
    reg: float,
    out: Real,
    squared_errors: Floats,
) -> None:
    """Write the next factors of the groups from `start` to `stop`, and the squared error that each met.

    `estimates` beside the `values` are taken as they are; none at all (length 0) means that they are the
    dot products of the factors. Four ratings are added up at a time: to load and store the sums for each
    took twice as long. A factor of 0 stays 0, so factors may be padded with zeros.
    """
    width, zero = factors.shape[1], factors.dtype.type(0)
    given = len(estimates) > 0
    numerator, denominator = np.empty_like(factors[0]), np.empty_like(factors[0])
    for g in range(start, stop):
        own = factors[g]
        numerator[:] = 0
        denominator[:] = 0
        total = 0.0
        first, end = indptr[g], indptr[g + 1]
        for t in range(first, end - 3, 4):
            a, b, c, d = others[t], others[t + 1], others[t + 2], others[t + 3]
            fa, fb, fc, fd = other_factors[a], other_factors[b], other_factors[c], other_factors[d]
            ra, rb, rc, rd = values[t], values[t + 1], values[t + 2], values[t + 3]
            if given:
                ea, eb, ec, ed = estimates[t], estimates[t + 1], estimates[t + 2], estimates[t + 3]
            else:
                ea, eb, ec, ed = zero, zero, zero, zero
                for f in range(width):
                    ea += own[f] * fa[f]
                    eb += own[f] * fb[f]
                    ec += own[f] * fc[f]
                    ed += own[f] * fd[f]
            for f in range(width):
                numerator[f] += fa[f] * ra + fb[f] * rb + fc[f] * rc + fd[f] * rd
                denominator[f] += fa[f] * ea + fb[f] * eb + fc[f] * ec + fd[f] * ed
            total += (ra - ea) ** 2 + (rb - eb) ** 2 + (rc - ec) ** 2 + (rd - ed) ** 2
        for t in range(end - (end - first) % 4, end):
            fa, ra, ea = other_factors[others[t]], values[t], zero
            if given:
                ea = estimates[t]
            else:
                for f in range(width):
                    ea += own[f] * fa[f]
            for f in range(width):
                numerator[f] += fa[f] * ra
                denominator[f] += fa[f] * ea
            total += (ra - ea) ** 2
        squared_errors[g] = total
        shrink = reg * (end - first)
        for f in range(width):
            x = own[f]
            out[g, f] = x * numerator[f] / (denominator[f] + shrink * x) if x != 0 else x


@kernel
def move_biases(
    indptr: Indices,
    items: Integers,
    values: Floats,
    mean: float,
    rates: Floats,
    decays: Floats,
    bu: Real,
    bi: Real,
    estimates: Floats,
) -> None:
    """Visit every rating once, user by user: add mean and biases to the dot product, then step the biases.

    `estimates` holds the dot products and becomes the estimates. `rates` and `decays` are those of bu, bi.
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
