"""Kernels of Bayesian matrix factorization: posterior draws of vectors, and sums over lists of ids.

A row is a user or an item, and the other side is the items or the users. The vector of a row consists of its
bias and its k factors, n_dims = k + 1 numbers. The products of a row's ratings are summed rating by rating.
The small systems of `LANES` rows are solved side by side, one in each lane, so that the order of operations
within a system does not depend on the rows beside it. All floats are single precision: the noise of a draw is
a million times larger than their rounding error.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.normal_equations import add_products
from marquee.algorithms.kernels.simd_vectors import (
    VECTOR_BYTES,
    inverse_root,
    load,
    multiply,
    multiply_add,
    multiply_subtract,
    number,
    repeat,
    row_of,
    set_number,
    store,
    sum_lanes,
)
from marquee.array_types import Float32Array, Int32Array, Int64Array

RATINGS_PER_BATCH = 256  # ratings whose vectors are summed together: they fit into the L1 cache
LANES = VECTOR_BYTES // 4  # float32 numbers per vector


@kernel
def draw_vectors(
    indptr: Int64Array,
    others: Int32Array,
    residuals: Float32Array,
    other_vectors: Float32Array,
    precision: Float32Array,
    linear: Float32Array,
    alpha: np.float32,
    noise: Float32Array,
    mean: Float32Array,
    draws: Float32Array,
    errors: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Draw the vectors t = (bias, factors) of rows start..stop, given `other_vectors` of the other side.

    The ratings of row n are those with `others[indptr[n]:indptr[n + 1]]`; `residuals` are all ratings less
    their mean. With x = (1, factors of the other) and y the residual less the bias of the other, t is normal
    with precision A = precision + alpha X'X and mean A^-1 (linear + alpha X'y); `noise` is standard normal.

    Writes the mean to `mean`, the draw to `draws` and, unless `errors` is empty, each row's sum of squared
    errors y - x't at the draw to `errors`. All matrices but `precision` have shape (n_rows, n_dims).
    """
    n_dims = other_vectors.shape[1]
    n_padded = (n_dims + 1 + LANES - 1) // LANES * LANES  # (x, y), then zeros
    X, S = np.zeros((RATINGS_PER_BATCH, n_padded), np.float32), np.empty((n_padded, n_padded), np.float32)
    A = np.empty(n_dims * (n_dims + 1) // 2 * LANES, np.float32)  # lower triangles, row by row
    # Right-hand sides, replaced by the means, and noise, replaced by the deviations of the draws.
    h, e = np.empty(n_dims * LANES, np.float32), np.empty(n_dims * LANES, np.float32)
    factors = np.zeros(n_dims, np.float32)
    for first in range(start, stop, LANES):
        _reset_systems(A, h, e)
        for lane in range(min(LANES, stop - first)):
            n = first + lane
            _sum_products(indptr[n], indptr[n + 1], others, residuals, other_vectors, X, S)
            for i in range(n_dims):
                at = i * (i + 1) // 2 * LANES + lane
                for j in range(i + 1):
                    A[at + j * LANES] = precision[i, j] + alpha * S[i, j]
                h[i * LANES + lane] = linear[n, i] + alpha * S[n_dims, i]
                e[i * LANES + lane] = noise[n, i]
        _factorize_systems(A, n_dims)
        _solve_systems(A, h, e, n_dims)
        for lane in range(min(LANES, stop - first)):
            n = first + lane
            for i in range(n_dims):
                mean[n, i] = h[i * LANES + lane]
                draws[n, i] = h[i * LANES + lane] + e[i * LANES + lane]
            if len(errors):
                factors[1:] = draws[n, 1:]
                errors[n] = _squared_error(
                    indptr[n], indptr[n + 1], others, residuals, other_vectors, draws[n, 0], factors
                )


@kernel
def _reset_systems(A: Float32Array, h: Float32Array, e: Float32Array) -> None:
    """Set the system of every lane to 1 x = 0, which lanes without a row keep."""
    A[:] = 0
    h[:] = 0
    e[:] = 0
    for i in range(len(h) // LANES):
        at = (i * (i + 1) // 2 + i) * LANES
        A[at : at + LANES] = 1


@kernel
def _sum_products(
    start: int,
    stop: int,
    others: Int32Array,
    residuals: Float32Array,
    other_vectors: Float32Array,
    X: Float32Array,
    S: Float32Array,
) -> None:
    """Set the lower triangle of S to the sum of z z' over ratings start..stop, where z = (x, y, 0, ...).

    `X` is scratch space for the z of `RATINGS_PER_BATCH` ratings.
    """
    n_dims = other_vectors.shape[1]
    S[:] = 0
    for first in range(start, stop, RATINGS_PER_BATCH):
        length = min(RATINGS_PER_BATCH, stop - first)
        for t in range(length):
            x, z = row_of(other_vectors, others[first + t]), row_of(X, t)
            for f in range(0, n_dims - LANES + 1, LANES):
                store(z, f, load(x, f))
            for f in range(n_dims // LANES * LANES, n_dims):
                set_number(z, f, number(x, f))
            set_number(z, 0, np.float32(1))
            set_number(z, n_dims, residuals[first + t] - number(x, 0))
        add_products(X, length, n_dims + 1, S)


@kernel
def _factorize_systems(A: Float32Array, n_dims: int) -> None:
    """Replace the lower triangles A by their Cholesky factors L, with 1 / L_ii on the diagonals."""
    column = np.empty(n_dims * LANES, np.float32)
    for j in range(n_dims):
        at = (j * (j + 1) // 2 + j) * LANES
        inverse = inverse_root(load(A, at))
        store(A, at, inverse)
        for i in range(j + 1, n_dims):
            at = (i * (i + 1) // 2 + j) * LANES
            x = multiply(load(A, at), inverse)
            store(A, at, x)
            store(column, i * LANES, x)
        for i in range(j + 1, n_dims):
            row, x = i * (i + 1) // 2 * LANES, load(column, i * LANES)
            for k in range((j + 1) * LANES, (i + 1) * LANES, LANES):
                store(A, row + k, multiply_subtract(x, load(column, k), load(A, row + k)))


@kernel
def _solve_systems(L: Float32Array, h: Float32Array, e: Float32Array, n_dims: int) -> None:
    """Replace h by the means L'^-1 L^-1 h, and e by L'^-1 e; L has 1 / L_ii on its diagonals."""
    for j in range(n_dims):
        at = (j * (j + 1) // 2 + j) * LANES
        x = multiply(load(h, j * LANES), load(L, at))
        store(h, j * LANES, x)
        for i in range(j + 1, n_dims):
            at = (i * (i + 1) // 2 + j) * LANES
            store(h, i * LANES, multiply_subtract(load(L, at), x, load(h, i * LANES)))
    for i in range(n_dims - 1, -1, -1):
        row, at = i * (i + 1) // 2 * LANES, i * LANES
        x, z = multiply(load(h, at), load(L, row + at)), multiply(load(e, at), load(L, row + at))
        store(h, at, x)
        store(e, at, z)
        for j in range(0, at, LANES):
            store(h, j, multiply_subtract(load(L, row + j), x, load(h, j)))
            store(e, j, multiply_subtract(load(L, row + j), z, load(e, j)))


@kernel
def _squared_error(
    start: int,
    stop: int,
    others: Int32Array,
    residuals: Float32Array,
    other_vectors: Float32Array,
    bias: np.float32,
    factors: Float32Array,
) -> np.float32:
    """Return the sum of squared errors of ratings start..stop; the first of `factors` must be 0."""
    n_dims, total = len(factors), np.float32(0)
    vector_end = n_dims // LANES * LANES
    for t in range(start, stop):
        x, s = row_of(other_vectors, others[t]), repeat(np.float32(0))
        for f in range(0, vector_end, LANES):
            s = multiply_add(load(x, f), load(factors, f), s)
        product = sum_lanes(s)
        for f in range(vector_end, n_dims):
            product += number(x, f) * factors[f]
        error = residuals[t] - number(x, 0) - bias - product
        total += error * error
    return total


@kernel
def add_co_occurrence_weights(
    indptr: Int64Array,
    others: Int32Array,
    other_indptr: Int64Array,
    other_lists: Int32Array,
    other_weights: Float32Array,
    out: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Add to out[a, b] the sum of `other_weights` over the ids shared by lists a and b, for a in start..stop.

    List a is `others[indptr[a]:indptr[a + 1]]`; `other_lists[other_indptr[o]:other_indptr[o + 1]]` are the
    lists that contain id o.
    """
    for a in range(start, stop):
        row = out[a]
        for t in range(indptr[a], indptr[a + 1]):
            o = others[t]
            weight = other_weights[o]
            for s in range(other_indptr[o], other_indptr[o + 1]):
                row[other_lists[s]] += weight
