"""Kernels of iALS: the vectors of users, or items, given those of the other side.

A row is a user or an item. Its interactions have weights w: positive in preference 1, negative in
preference 0. With the vectors q of the other side, the vector p of a row with regularization r minimizes

    sum over interactions of |w| (x - q'p)^2  +  p'Gp  +  r p'p

where G, `gram`, is the Gram matrix of all vectors of the other side, times the weight of unobserved pairs.
"""

from typing import Any

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.algorithms.kernels.linear_algebra import cholesky_factorize, solve_in_place
from marquee.algorithms.kernels.normal_equations import add_products, factorize_systems, solve_systems
from marquee.algorithms.kernels.prefetch import prefetch_row
from marquee.algorithms.kernels.simd_vectors import (
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
from marquee.array_types import FloatArray, Int32Array, Int64Array

BATCH = 128  # interactions whose products are summed together: their vectors fit into the L1 cache
GRAM_ROWS = 2048  # rows of a block of a Gram matrix
PREFETCH_DISTANCE = 12  # interactions between the prefetch of a vector and its use


@kernel
def compute_gram_blocks(
    numbers: Int32Array, weights: FloatArray, vectors: FloatArray, out: FloatArray, start: int, stop: int
) -> None:
    """Write the lower triangle of the Gram matrix of each block of `GRAM_ROWS` vectors to `out`.

    `out` has the shape (n_blocks, n_padded, n_padded), where n_padded is the number of factors, rounded up to
    a multiple of the lanes; start and stop are numbers of blocks. `numbers` must be those of all vectors, in
    order, and the weights 1.
    """
    n_padded = out.shape[1]
    X, h = np.zeros((BATCH, n_padded), vectors.dtype), np.zeros(n_padded, vectors.dtype)
    for block in range(start, stop):
        S = out[block]
        S[:] = 0
        end = min((block + 1) * GRAM_ROWS, len(vectors))
        for first in range(block * GRAM_ROWS, end, BATCH):
            length = min(BATCH, end - first)
            _gather(numbers, weights, first, length, vectors, X, h)
            add_products(X, length, n_padded, S)


@kernel
def solve_rows(
    indptr: Int64Array,
    others: Int32Array,
    weights: FloatArray,
    vectors: FloatArray,
    gram: FloatArray,
    regs: FloatArray,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Write the vectors of rows start..stop to `out`, (n_rows, n_factors); rows without interactions get 0.

    Row n has the interactions `indptr[n]:indptr[n + 1]` with the vectors `vectors[others[t]]`, and the
    regularization `regs[n]`. `gram` is (n_padded, n_padded): its lower triangle is read, and its diagonal
    must be 1 in the rows beyond n_factors.
    """
    (n_padded, _), n_factors, lanes = gram.shape, vectors.shape[1], lanes_of(gram)
    X, S = np.zeros((BATCH, n_padded), gram.dtype), np.empty((n_padded, n_padded), gram.dtype)
    A = np.empty(n_padded * (n_padded + 1) // 2 * lanes, gram.dtype)
    h, linear = np.zeros(n_padded * lanes, gram.dtype), np.empty(n_padded, gram.dtype)
    for first in range(start, stop, lanes):
        for lane in range(lanes):
            n = min(first + lane, stop - 1)  # lanes beyond the last row repeat it
            linear[:] = 0
            for i in range(n_padded):  # an assignment of arrays would compile for a second
                for j in range(n_padded):
                    S[i, j] = gram[i, j]
            for t in range(indptr[n], indptr[n + 1], BATCH):
                length = min(BATCH, indptr[n + 1] - t)
                _gather(others, weights, t, length, vectors, X, linear)
                add_products(X, length, n_padded, S)
            for i in range(n_padded):
                S[i, i] += regs[n]
                at = i * (i + 1) // 2 * lanes + lane
                for j in range(i + 1):
                    A[at + j * lanes] = S[i, j]
                h[i * lanes + lane] = linear[i]
        factorize_systems(A, n_padded)
        solve_systems(A, h, n_padded)
        for lane in range(min(lanes, stop - first)):
            n = first + lane
            for i in range(n_factors):
                out[n, i] = h[i * lanes + lane] if indptr[n] < indptr[n + 1] else 0


@kernel
def _gather(
    others: Int32Array,
    weights: FloatArray,
    start: int,
    length: int,
    vectors: FloatArray,
    X: FloatArray,
    linear: FloatArray,
) -> None:
    """Write the vectors of interactions start..start + length, times the root of |w|, to X.

    Adds those of interactions with positive weights, times w, to `linear`.
    """
    lanes, n_factors, total = lanes_of(X), vectors.shape[1], len(others)
    end = n_factors // lanes * lanes
    for t in range(length):
        prefetch_row(vectors, others[min(start + t + PREFETCH_DISTANCE, total - 1)])
        x, z, w = row_of(vectors, others[start + t]), row_of(X, t), weights[start + t]
        root = np.sqrt(abs(w))
        for f in range(0, end, lanes):
            store(z, f, multiply(load(x, f), repeat(root)))
        for f in range(end, n_factors):
            set_number(z, f, number(x, f) * root)
        if w > 0:
            for f in range(0, end, lanes):
                store(linear, f, multiply_add(load(x, f), repeat(w), load(linear, f)))
            for f in range(end, n_factors):
                linear[f] += number(x, f) * w


@kernel
def improve_rows(
    indptr: Int64Array,
    others: Int32Array,
    weights: FloatArray,
    vectors: FloatArray,
    gram: FloatArray,
    regs: FloatArray,
    block_size: int,
    out: FloatArray,
    start: int,
    stop: int,
) -> None:
    """Minimize over each block of `block_size` factors in turn, for rows start..stop of `out`, in place.

    Arguments as in `solve_rows`, but `gram` must be complete. A minimum over a block is one Newton step.
    """
    n_factors, lanes = vectors.shape[1], lanes_of(gram)
    width = (block_size + lanes - 1) // lanes * lanes
    X, S = np.zeros((BATCH, width), gram.dtype), np.empty((width, width), gram.dtype)
    longest = 0
    for n in range(start, stop):
        longest = max(longest, indptr[n + 1] - indptr[n])
    errors, step = np.empty(longest, gram.dtype), np.zeros(width, gram.dtype)
    for n in range(start, stop):
        first, length, p = indptr[n], indptr[n + 1] - indptr[n], out[n]
        if length == 0:
            p[:] = 0
            continue
        for t in range(length):
            q = row_of(vectors, others[first + t])
            errors[t] = (1 if weights[first + t] > 0 else 0) - dot(q, row_of(out, n), n_factors)
        for f in range(0, n_factors, block_size):
            size = min(block_size, n_factors - f)
            S[:], step[:] = 0, 0
            for t in range(0, length, BATCH):
                count = min(BATCH, length - t)
                _gather_block(others, weights, errors, first, t, count, vectors, f, size, X, step)
                add_products(X, count, width, S)
            for i in range(size):
                step[i] -= regs[n] * p[f + i] + dot(row_of(gram, f + i), row_of(out, n), n_factors)
                for j in range(i + 1):
                    S[i, j] += gram[f + i, f + j]
                S[i, i] += regs[n]
            if not cholesky_factorize(S, 0, size):
                step[:] = np.nan
            solve_in_place(S, step[:size])
            for i in range(size):
                p[f + i] += step[i]
            for t in range(length):
                errors[t] -= _dot_from(row_of(vectors, others[first + t]), f, step, size)


@kernel
def _gather_block(
    others: Int32Array,
    weights: FloatArray,
    errors: FloatArray,
    first: int,
    start: int,
    length: int,
    vectors: FloatArray,
    f: int,
    size: int,
    X: FloatArray,
    linear: FloatArray,
) -> None:
    """Write factors f..f + size of a row's interactions start..start + length, times root |w|, to X.

    Adds these factors, times |w| and the error, to `linear`. The row's interactions begin at `first`.
    """
    lanes = lanes_of(X)
    end = size // lanes * lanes
    for t in range(length):
        q, z, w = row_of(vectors, others[first + start + t]), row_of(X, t), abs(weights[first + start + t])
        root, pull = np.sqrt(w), w * errors[start + t]
        for i in range(0, end, lanes):
            x = load(q, f + i)
            store(z, i, multiply(x, repeat(root)))
            store(linear, i, multiply_add(x, repeat(pull), load(linear, i)))
        for i in range(end, size):
            set_number(z, i, number(q, f + i) * root)
            linear[i] += number(q, f + i) * pull
        for i in range(size, X.shape[1]):
            set_number(z, i, 0)


@kernel
def _dot_from(q: Any, f: int, step: FloatArray, size: int) -> Any:
    """Return the dot product of factors f..f + size of a row with a step."""
    lanes, total = lanes_of(step), zeros(step)
    end = size // lanes * lanes
    for i in range(0, end, lanes):
        total = multiply_add(load(q, f + i), load(step, i), total)
    result = sum_lanes(total)
    for i in range(end, size):
        result += number(q, f + i) * step[i]
    return result
