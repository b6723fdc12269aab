"""Kernels of Bayesian matrix factorisation: vectors drawn from their normals, and sums over rating lists.

A vector is a row's bias and its k factors, n_dims = k + 1 numbers. The products of a row's ratings are summed
up rating by rating; the small systems of `LANES` rows are solved side by side, one in each lane. All floats
are of single precision, for the noise of a draw is a million times their rounding.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.vectors import (
    VECTOR_BYTES,
    add,
    inverse_root,
    load,
    load_repeated,
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
from marquee.arrays import Float32Array, Int32Array, Int64Array

TOGETHER = 256  # ratings whose vectors are looked at in one go: they fit the first cache
LANES = VECTOR_BYTES // 4
ROWS = 4  # of a tile of products


@kernel
def draw_rows(
    indptr: Int64Array,
    others: Int32Array,
    residuals: Float32Array,
    theirs: Float32Array,
    precision: Float32Array,
    linear: Float32Array,
    alpha: np.float32,
    noise: Float32Array,
    mean: Float32Array,
    drawn: Float32Array,
    errors: Float32Array,
    start: int,
    stop: int,
) -> None:
    """Draw the vectors t = (bias, factors) of rows start to stop, given those of the other side.

    With x = (1, the other's factors) and y the residual less the other's bias, t is normal with precision
    A = precision + alpha X'X and mean A^-1 (linear + alpha X'y). `mean` and `drawn` get the mean and a
    draw, `errors`, unless it is empty, each row's sum of squared errors y - x't at the draw. All tables are
    (n, n_dims).
    """
    n_dims = theirs.shape[1]
    n_padded = (n_dims + 1 + LANES - 1) // LANES * LANES  # (x, y), then zeros
    X, S = np.zeros((TOGETHER, n_padded), np.float32), np.empty((n_padded, n_padded), np.float32)
    A = np.empty(n_dims * (n_dims + 1) // 2 * LANES, np.float32)  # lower triangles, row by row
    h, e = np.empty(n_dims * LANES, np.float32), np.empty(n_dims * LANES, np.float32)
    factors = np.zeros(n_dims, np.float32)
    for first in range(start, stop, LANES):
        _clear(A, h, e)
        for lane in range(min(LANES, stop - first)):
            n = first + lane
            _add_ratings(indptr[n], indptr[n + 1], others, residuals, theirs, X, S)
            for i in range(n_dims):
                at = i * (i + 1) // 2 * LANES + lane
                for j in range(i + 1):
                    A[at + j * LANES] = precision[i, j] + alpha * S[i, j]
                h[i * LANES + lane] = linear[n, i] + alpha * S[n_dims, i]
                e[i * LANES + lane] = noise[n, i]
        _factorise(A, n_dims)
        _solve(A, h, e, n_dims)
        for lane in range(min(LANES, stop - first)):
            n = first + lane
            for i in range(n_dims):
                mean[n, i] = h[i * LANES + lane]
                drawn[n, i] = h[i * LANES + lane] + e[i * LANES + lane]
            if len(errors):
                factors[1:] = drawn[n, 1:]
                errors[n] = _squared_error(
                    indptr[n], indptr[n + 1], others, residuals, theirs, drawn[n, 0], factors
                )


@kernel
def _clear(A: Float32Array, h: Float32Array, e: Float32Array) -> None:
    """The system 1 x = 0 in every lane: what is left of those that no row takes."""
    A[:] = 0
    h[:] = 0
    e[:] = 0
    for i in range(len(h) // LANES):
        at = (i * (i + 1) // 2 + i) * LANES
        A[at : at + LANES] = 1


@kernel
def _add_ratings(
    start: int, stop: int, others: Int32Array, residuals: Float32Array, theirs: Float32Array, X: Float32Array, S: Float32Array
) -> None:
    """S <- the sum of z z' over the ratings from start to stop, z = (x, y, 0, ...), in the lower triangle.

    X has room for the z of some ratings.
    """
    n_dims = theirs.shape[1]
    S[:] = 0
    for first in range(start, stop, TOGETHER):
        length = min(TOGETHER, stop - first)
        for t in range(length):
            x, z = row_of(theirs, others[first + t]), row_of(X, t)
            for f in range(0, n_dims - LANES + 1, LANES):
                store(z, f, load(x, f))
            for f in range(n_dims // LANES * LANES, n_dims):
                set_number(z, f, number(x, f))
            set_number(z, 0, np.float32(1))
            set_number(z, n_dims, residuals[first + t] - number(x, 0))
        for i in range(0, n_dims + 1, ROWS):
            end = (i + ROWS - 1) // LANES * LANES + LANES  # of the columns that reach the diagonal
            for j in range(0, end - LANES, 2 * LANES):
                _add_wide_tile(X, length, i, j, S)
            if end // LANES % 2:
                _add_narrow_tile(X, length, i, end - LANES, S)


@kernel
def _add_wide_tile(X: Float32Array, length: int, i: int, j: int, S: Float32Array) -> None:
    """Add the sum of z z' over the first rows z of X to `ROWS` rows and two vectors of columns of S."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = repeat(np.float32(0))
    for t in range(length):
        z = row_of(X, t)
        b0, b1 = load(z, j), load(z, j + LANES)
        a = load_repeated(z, i)
        s0, s1 = multiply_add(a, b0, s0), multiply_add(a, b1, s1)
        a = load_repeated(z, i + 1)
        s2, s3 = multiply_add(a, b0, s2), multiply_add(a, b1, s3)
        a = load_repeated(z, i + 2)
        s4, s5 = multiply_add(a, b0, s4), multiply_add(a, b1, s5)
        a = load_repeated(z, i + 3)
        s6, s7 = multiply_add(a, b0, s6), multiply_add(a, b1, s7)
    _add_to(row_of(S, i), j, s0, s1)
    _add_to(row_of(S, i + 1), j, s2, s3)
    _add_to(row_of(S, i + 2), j, s4, s5)
    _add_to(row_of(S, i + 3), j, s6, s7)


@kernel
def _add_narrow_tile(X: Float32Array, length: int, i: int, j: int, S: Float32Array) -> None:
    """The same for one vector of columns."""
    s0 = s1 = s2 = s3 = repeat(np.float32(0))
    for t in range(length):
        z = row_of(X, t)
        b = load(z, j)
        s0, s1 = multiply_add(load_repeated(z, i), b, s0), multiply_add(load_repeated(z, i + 1), b, s1)
        s2, s3 = multiply_add(load_repeated(z, i + 2), b, s2), multiply_add(load_repeated(z, i + 3), b, s3)
    _add_one(row_of(S, i), j, s0)
    _add_one(row_of(S, i + 1), j, s1)
    _add_one(row_of(S, i + 2), j, s2)
    _add_one(row_of(S, i + 3), j, s3)


@kernel
def _add_to(row: Any, j: int, left: Any, right: Any) -> None:
    _add_one(row, j, left)
    _add_one(row, j + LANES, right)


@kernel
def _add_one(row: Any, j: int, vector: Any) -> None:
    store(row, j, add(load(row, j), vector))


@kernel
def _factorise(A: Float32Array, n_dims: int) -> None:
    """A <- the lower triangles L with L L' = A, with 1 / L_ii on the diagonals."""
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
def _solve(L: Float32Array, h: Float32Array, e: Float32Array, n_dims: int) -> None:
    """H <- L'^-1 L^-1 h, the means, and e <- L'^-1 e, the noise; L has 1 / L_ii on its diagonals."""
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
    theirs: Float32Array,
    bias: np.float32,
    factors: Float32Array,
) -> np.float32:
    """Sum of squared errors of the ratings start..stop; `factors` must be 0 in place of the bias."""
    n_dims, total = len(factors), np.float32(0)
    vector_end = n_dims // LANES * LANES
    for t in range(start, stop):
        x, s = row_of(theirs, others[t]), repeat(np.float32(0))
        for f in range(0, vector_end, LANES):
            s = multiply_add(load(x, f), load(factors, f), s)
        product = sum_lanes(s)
        for f in range(vector_end, n_dims):
            product += number(x, f) * factors[f]
        error = residuals[t] - number(x, 0) - bias - product
        total += error * error
    return total


@kernel
def sum_rows(
    indptr: Int64Array, others: Int32Array, weights: Float32Array, table: Float32Array, out: Float32Array, start: int, stop: int
) -> None:
    """out[n] <- weights[n] times the sum of the table's rows that list n names, for n from start to stop."""
    width = table.shape[1]
    wide, vector_end = width // (4 * LANES) * (4 * LANES), width // LANES * LANES
    for n in range(start, stop):
        first, end, o, weight = indptr[n], indptr[n + 1], row_of(out, n), repeat(weights[n])
        for f in range(0, wide, 4 * LANES):
            s0 = s1 = s2 = s3 = repeat(np.float32(0))
            for t in range(first, end):
                row = row_of(table, others[t])
                s0, s1 = add(s0, load(row, f)), add(s1, load(row, f + LANES))
                s2, s3 = add(s2, load(row, f + 2 * LANES)), add(s3, load(row, f + 3 * LANES))
            store(o, f, multiply(s0, weight))
            store(o, f + LANES, multiply(s1, weight))
            store(o, f + 2 * LANES, multiply(s2, weight))
            store(o, f + 3 * LANES, multiply(s3, weight))
        for f in range(wide, vector_end, LANES):
            s0 = repeat(np.float32(0))
            for t in range(first, end):
                s0 = add(s0, load(row_of(table, others[t]), f))
            store(o, f, multiply(s0, weight))
        for f in range(vector_end, width):
            s = np.float32(0)
            for t in range(first, end):
                s += table[others[t], f]
            out[n, f] = s * weights[n]


@kernel
def co_occurrences(
    indptr: Int64Array,
    others: Int32Array,
    other_indptr: Int64Array,
    back: Int32Array,
    other_weights: Float32Array,
    out: Float32Array,
    start: int,
    stop: int,
) -> None:
    """out[a, b] <- the sum of `other_weights` over what lists a and b share, for a from start to stop.

    `back[other_indptr[o]:other_indptr[o + 1]]` are the lists that name o.
    """
    for a in range(start, stop):
        row = out[a]
        for t in range(indptr[a], indptr[a + 1]):
            o = others[t]
            weight = other_weights[o]
            for s in range(other_indptr[o], other_indptr[o + 1]):
                row[back[s]] += weight
